"""PNG files, chunk by chunk, wherever in the file the chunks lie.

The specification: Portable Network Graphics (Third Edition), W3C; the text profiles are a habit of ImageMagick and
exiv2.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from pellucid.images.large_file import Content
from pellucid.images.photoshop import sorted_resources

__all__ = ["SIGNATURE", "PngParts", "chunk", "chunks_of", "into_png", "parts_of_png", "text_profile", "texts_of"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = 33  # bytes of a PNG file before its first optional chunk
_COLOUR = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
# What is made anew, belongs to the pixels as they were coded, or is read elsewhere.
_MADE_ANEW = {
    b"IHDR",
    b"IDAT",
    b"IEND",
    b"PLTE",
    b"tRNS",
    b"iCCP",
    b"pHYs",
    b"sBIT",
    b"hIST",
    b"sPLT",
    b"iDOT",
}
_MADE_ANEW |= {b"acTL", b"fcTL", b"fdAT"}
_MOST = 2**26  # no text is longer; what unpacks to more is an attack


@dataclass
class PngParts:
    """What a PNG file holds beside its pixels."""

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    resources: bytes = b""
    icc: bytes = b""
    """The profile, in its own chunk or in a text; libpng refuses one that does not fit the channels."""
    chunks: bytes = b""
    """Texts, tags of the colour, and small facts such as the time of the last change, as they lie in the file."""
    frames: int = 1
    """How many pictures it has, one that is no frame included."""
    still: bool = False
    """Whether the first picture is no frame, but what programs show that know no frames."""
    dpi: tuple[float, float] | None = None
    shape: tuple[float, float] | None = None
    """Pixels across and down an unknown length, where they are not square."""
    unread: tuple[str, ...] = ()
    """Names of chunks that cannot stay true."""


def parts_of_png(data: Content) -> PngParts:
    """What is in a PNG file; a chunk that is damaged is left out."""
    found, unread = PngParts(), []
    raw: dict[str, bytes] = {}
    animated, before = False, True  # whether nothing of a picture has come yet
    plain = False  # whether samples come back as they are, without a palette
    for name, body, whole in chunks_of(data):
        if name == b"eXIf":
            found.exif = body.removeprefix(b"Exif\0\0")
        elif name == b"iCCP":
            found.icc = _unpacked(body.partition(b"\0")[2][1:])
        elif name == b"IHDR" and len(body) == 13:
            plain = body[8] >= 8 and body[9] != 3
        elif name == b"pHYs" and len(body) == 9:
            across, down = struct.unpack_from(">LL", body)
            if body[8] == 1:
                found.dpi = (across * 0.0254, down * 0.0254)
            elif across and down and across != down:
                found.shape = (across, down)
        elif name == b"bKGD" and plain:
            found.chunks += whole
        elif name == b"acTL" and len(body) >= 8:
            found.frames, animated = max(1, struct.unpack_from(">L", body)[0]), True
        elif name in (b"fcTL", b"IDAT") and before:
            before, found.still = False, animated and name == b"IDAT"
        elif name in (b"tEXt", b"zTXt", b"iTXt"):
            keyword = body.split(b"\0", 1)[0]
            if keyword == b"XML:com.adobe.xmp":
                found.xmp = _text(name, body) or found.xmp
            elif keyword.lower().startswith(b"raw profile type "):
                raw[keyword[17:].decode("latin-1").lower()] = _profile(_text(name, body))
            else:
                found.chunks += whole
        elif name in _COLOUR:
            found.chunks += whole
        elif name == b"caBX":
            unread.append("content credentials (C2PA)")
        elif name in _MADE_ANEW:
            continue
        elif (
            name[3:4].islower() or name == b"tIME"
        ):  # safe to copy, says the specification, whatever becomes of the pixels
            found.chunks += whole
        else:
            unread.append(f"PNG chunk {name.decode('latin-1')}")
    for kind in ("exif", "app1"):
        profile = raw.get(kind, b"")
        if profile.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            found.xmp = found.xmp or profile[29:]
        else:
            found.exif = found.exif or profile.removeprefix(b"Exif\0\0")
    found.xmp = found.xmp or raw.get("xmp", b"")
    found.icc = found.icc or raw.get("icc", b"") or raw.get("icm", b"")
    for kind in ("iptc", "8bim"):
        profile = raw.get(kind, b"")
        if profile.startswith(b"\x1c"):
            found.iptc = found.iptc or profile
        elif profile:
            iptc, others = sorted_resources(profile)
            found.iptc, found.resources = found.iptc or iptc, found.resources or others
    found.unread = tuple(dict.fromkeys(unread))
    found.frames += found.still
    return found


def texts_of(chunks: bytes) -> list[tuple[str, bytes]]:
    """The keywords and the texts in chunks of a PNG file."""
    texts = ((name, body) for name, body, _ in chunks_of(chunks, 0) if name in (b"tEXt", b"zTXt", b"iTXt"))
    return [(body.split(b"\0", 1)[0].decode("latin-1"), _text(name, body)) for name, body in texts]


def into_png(saved: bytes, chunks: bytes) -> bytes:
    """A PNG file as libvips wrote it with more chunks in it, behind the header, and without the resolution that it
    gave."""
    kept, at = [saved[:_HEADER], chunks], _HEADER
    while saved[at + 4 : at + 8] not in (b"IDAT", b""):
        end = at + 12 + int.from_bytes(saved[at : at + 4], "big")
        if saved[at + 4 : at + 8] != b"pHYs":
            kept.append(saved[at:end])
        at = end
    return b"".join([*kept, saved[at:]])


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def text_profile(kind: bytes, profile: bytes) -> bytes:
    """A profile as a compressed text chunk, as ImageMagick and exiv2 write and read it."""
    digits = profile.hex().encode()
    lines = b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = b"\n%s\n%8d\n%s\n" % (kind, len(profile), lines)
    return chunk(b"zTXt", b"Raw profile type " + kind + b"\0\0" + zlib.compress(text))


def chunks_of(data: Content, at: int = 8, *, pixels: bool = False) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Each chunk (name, body, all of its bytes) whose checksum is right, from `at` on; those of pixels only with their
    names, where they are not asked for."""
    while at + 12 <= len(data):
        size, name = struct.unpack(">L4s", data[at : at + 8])
        if at + 12 + size > len(data):
            return
        if name in (b"IDAT", b"fdAT") and not pixels:
            yield name, b"", b""
            at += 12 + size
            continue
        whole = data[at : at + 12 + size]
        if zlib.crc32(whole[4:-4]) == int.from_bytes(whole[-4:], "big"):
            yield name, whole[8:-4], whole
        at += 12 + size


def _text(name: bytes, body: bytes) -> bytes:
    """The text of a text chunk; empty where it is damaged."""
    _, _, rest = body.partition(b"\0")
    if name == b"tEXt":
        return rest
    packed = name == b"zTXt"
    if packed:
        rest = rest[1:]
    else:
        packed = rest[:1] == b"\1"
        rest = rest[2:].split(b"\0", 2)[-1]  # behind the language and the translated keyword
    return _unpacked(rest) if packed else rest


def _unpacked(data: bytes) -> bytes:
    """Data that were compressed; empty where they are damaged."""
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(data, _MOST)
    return b""


def _profile(text: bytes) -> bytes:
    """The bytes of a raw profile: its name, their number, and hexadecimal digits, on lines."""
    found = re.match(rb"\s*[^\n]*\n\s*(\d+)\s+([0-9a-fA-F\s]*)", text)
    if not found:
        return b""
    digits = re.sub(rb"\s", b"", found[2])
    with suppress(ValueError):
        return bytes.fromhex(digits.decode()[: 2 * int(found[1])])
    return b""
