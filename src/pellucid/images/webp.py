"""WebP files, chunk by chunk.

The specification: RFC 9649, WebP Image Format.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["WebpParts", "into_webp", "parts_of_webp"]

_HAS_ICC, _HAS_ALPHA, _HAS_EXIF, _HAS_XMP = 0x20, 0x10, 0x08, 0x04


@dataclass
class WebpParts:
    """What a WebP file holds beside its pixels."""

    exif: bytes = b""
    xmp: bytes = b""
    lossless: bool = False
    unread: tuple[str, ...] = ()


def parts_of_webp(data: bytes) -> WebpParts:
    """What is in a WebP file."""
    found, unread = WebpParts(), []
    for name, body in _chunks(data):
        if name == b"EXIF":
            found.exif = body.removeprefix(b"Exif\0\0")
        elif name == b"XMP ":
            found.xmp = body
        elif name == b"ANMF":
            found.lossless |= any(inner == b"VP8L" for inner, _ in _chunks(body, 16))
        elif name == b"VP8L":
            found.lossless = True
        elif name == b"C2PA":
            unread.append("content credentials (C2PA)")
        elif name not in (b"VP8X", b"VP8 ", b"ALPH", b"ICCP", b"ANIM"):
            unread.append(f"WebP chunk {name.decode('latin-1').strip()}")
    found.unread = tuple(dict.fromkeys(unread))
    return found


def into_webp(saved: bytes, exif: bytes, xmp: bytes, icc: bytes, width: int, height: int, *, alpha: bool) -> bytes:
    """A WebP file of one picture with its metadata in it."""
    coded = [(name, body) for name, body in _chunks(saved) if name in (b"VP8 ", b"VP8L", b"ALPH")]
    flags = alpha * _HAS_ALPHA | bool(icc) * _HAS_ICC | bool(exif) * _HAS_EXIF | bool(xmp) * _HAS_XMP
    if not flags & ~_HAS_ALPHA:
        return saved
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    rows = [(b"VP8X", bytes((flags, 0, 0, 0)) + sides)]
    rows += [(b"ICCP", icc)] if icc else []
    rows += coded
    rows += [(b"EXIF", exif)] if exif else []
    rows += [(b"XMP ", xmp)] if xmp else []
    body = b"WEBP" + b"".join(
        name + struct.pack("<L", len(part)) + part + b"\0" * (len(part) % 2) for name, part in rows
    )
    return b"RIFF" + struct.pack("<L", len(body)) + body


def _chunks(data: bytes, at: int = 12) -> Iterator[tuple[bytes, bytes]]:
    """Each chunk (name, body) from `at` on."""
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sL", data, at)
        yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
