"""WebP files, chunk by chunk.

The specification: RFC 9649, WebP Image Format.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["WebpParts", "chunks_of_webp", "framed_webp", "into_webp", "parts_of_webp"]

_HAS_ICC, _HAS_ALPHA, _HAS_EXIF, _HAS_XMP, _HAS_FRAMES = 0x20, 0x10, 0x08, 0x04, 0x02


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
    for name, body in chunks_of_webp(data):
        if name == b"EXIF":
            found.exif = body.removeprefix(b"Exif\0\0")
        elif name == b"XMP ":
            found.xmp = body
        elif name == b"ANMF":
            found.lossless |= any(inner == b"VP8L" for inner, _ in chunks_of_webp(body, 16))
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
    coded = [(name, body) for name, body in chunks_of_webp(saved) if name in (b"VP8 ", b"VP8L", b"ALPH")]
    flags = alpha * _HAS_ALPHA | bool(icc) * _HAS_ICC | bool(exif) * _HAS_EXIF | bool(xmp) * _HAS_XMP
    if not flags & ~_HAS_ALPHA:
        return saved
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    rows = [(b"VP8X", bytes((flags, 0, 0, 0)) + sides)]
    rows += [(b"ICCP", icc)] if icc else []
    rows += coded
    rows += [(b"EXIF", exif)] if exif else []
    rows += [(b"XMP ", xmp)] if xmp else []
    body = b"WEBP" + _laid(rows)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def framed_webp(files: Sequence[Sequence[tuple[bytes, bytes]]], durations: Sequence[int], loops: int) -> bytes:
    """The chunks of files of one picture each as the frames of one file, with what else is in the first.

    Args:
        files: of one size; the chunks of each.
        durations: of the frames, in milliseconds.
        loops: how often all are shown; 0 is for ever.
    """
    sides, flags = _sides(files[0]), _HAS_FRAMES
    known = {b"ICCP": _HAS_ICC, b"EXIF": _HAS_EXIF, b"XMP ": _HAS_XMP}
    others = dict(pair for pair in files[0] if pair[0] in known)
    frames = []
    for chunks, duration in zip(files, durations, strict=True):
        coded = [(name, body) for name, body in chunks if name in (b"VP8 ", b"VP8L", b"ALPH")]
        clear = any(name == b"ALPH" or (name == b"VP8L" and body[4] & 0x10) for name, body in coded)
        flags |= clear * _HAS_ALPHA
        head = bytes(6) + sides + duration.to_bytes(3, "little") + b"\2"  # at the corner; not blended, not disposed of
        frames.append((b"ANMF", head + _laid(coded)))
    flags |= sum(known[name] for name in others)
    rows = [(b"VP8X", bytes((flags, 0, 0, 0)) + sides)]
    rows += [(b"ICCP", others[b"ICCP"])] if b"ICCP" in others else []
    rows += [(b"ANIM", b"\0\0\0\0" + min(loops, 65535).to_bytes(2, "little")), *frames]
    rows += [(name, others[name]) for name in (b"EXIF", b"XMP ") if name in others]
    body = b"WEBP" + _laid(rows)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def _sides(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Width and height, each less one, as an extended header and a frame hold them."""
    for name, body in chunks:
        if name == b"VP8X":
            return body[4:10]
        if name == b"VP8L":
            bits = int.from_bytes(body[1:5], "little")
            return (bits & 0x3FFF).to_bytes(3, "little") + (bits >> 14 & 0x3FFF).to_bytes(3, "little")
        if name == b"VP8 ":
            wide, high = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
            return (wide - 1).to_bytes(3, "little") + (high - 1).to_bytes(3, "little")
    raise ValueError("no picture in it")


def _laid(rows: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Chunks one behind the other, each at an even place."""
    return b"".join(name + struct.pack("<L", len(part)) + part + b"\0" * (len(part) % 2) for name, part in rows)


def chunks_of_webp(data: bytes, at: int = 12) -> Iterator[tuple[bytes, bytes]]:
    """Each chunk (name, body) from `at` on."""
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sL", data, at)
        yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
