"""What TIFF, JPEG and PNG files hold beside their pixels and libvips would drop or change: taken out, and put in."""

import struct
import zlib
from contextlib import suppress

from pellucid.images.exif import EXIF_TABLE
from pellucid.images.tiff_tables import Table, header, integers, table_at, with_tables

__all__ = [
    "chunks_of_png",
    "exif_and_iptc_of_tiff",
    "into_jpeg",
    "into_png",
    "into_tiff",
    "iptc_of_photoshop",
    "photoshop_of_iptc",
]

_GPS_TABLE, _INTEROPERABILITY_TABLE, _IPTC, _DESCRIPTION = 0x8825, 0xA005, 0x83BB, 270
# What the first table of a TIFF file says about the photograph, not about how its pixels lie: description, maker,
# model, software, date, artist, computer, ratings, copyright, and the title, comment, author, keywords, subject of
# Windows.
_DESCRIPTIVE = {_DESCRIPTION, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095}

_PNG_HEADER = 33  # bytes of a PNG file before its first optional chunk


def exif_and_iptc_of_tiff(data: bytes) -> tuple[bytes, bytes]:
    """What a TIFF file says in its EXIF, GPS and descriptive tags, as one EXIF block, and its IPTC."""
    try:
        first, below = _tables(data)
    except struct.error:  # a BigTIFF, for one
        return b"", b""
    said = {tag: entry for tag, entry in first.items() if tag in _DESCRIPTIVE}
    if _DESCRIPTION in said and said[_DESCRIPTION][2].startswith(b'{"shape"'):
        del said[_DESCRIPTION]  # tifffile's own description of how the pixels lie
    exif = with_tables(b"II*\0" + bytes(4), said, below) if said or below else b""
    iptc = first[_IPTC][2] if _IPTC in first else b""
    return exif, iptc


def into_tiff(saved: bytes, exif: bytes, iptc: bytes) -> bytes:
    """A TIFF file with EXIF and IPTC in it; as it was where it is a BigTIFF or the EXIF cannot be understood."""
    if not saved.startswith(b"II*\0") or not (exif or iptc):
        return saved
    try:
        first, _ = _tables(saved)
        said, below = _tables(exif) if exif else ({}, {})
    except struct.error:
        return saved
    said = {tag: entry for tag, entry in said.items() if tag in _DESCRIPTIVE}
    if iptc:
        said[_IPTC] = (7, len(iptc), iptc)
    return with_tables(saved, {**said, **first}, below)


def into_jpeg(saved: bytes, exif: bytes, dpi: tuple[float, float]) -> bytes:
    """A JPEG file with its resolution and EXIF in it, in the first two segments."""
    across, down = (min(max(round(value), 1), 65535) for value in dpi)
    segments = struct.pack(">HH5sHBHHBB", 0xFFE0, 16, b"JFIF\0", 0x0102, 1, across, down, 0, 0)
    if 0 < len(exif) <= 65535 - 8:  # a segment cannot hold more; in a JPEG from a camera it never is
        segments += struct.pack(">HH6s", 0xFFE1, len(exif) + 8, b"Exif\0\0") + exif
    start = 2
    if saved[2:4] == b"\xff\xe0":
        start = 4 + struct.unpack_from(">H", saved, 4)[0]
    return b"".join([saved[:2], segments, saved[start:]])


def into_png(saved: bytes, exif: bytes, chunks: bytes) -> bytes:
    """A PNG file with its EXIF and other chunks in it, behind the header."""
    if exif:
        chunks += struct.pack(">L", len(exif)) + b"eXIf" + exif + struct.pack(">L", zlib.crc32(b"eXIf" + exif))
    return b"".join([saved[:_PNG_HEADER], chunks, saved[_PNG_HEADER:]])


def chunks_of_png(data: bytes) -> bytes:
    """The texts and the colour tags of a PNG file, as they lie there, but for texts that hold XMP, EXIF or IPTC."""
    kept, at = [], _PNG_HEADER
    while at + 12 <= len(data):
        size, name = struct.unpack_from(">L4s", data, at)
        text = name in (b"tEXt", b"zTXt", b"iTXt")
        known = text and data.startswith((b"XML:com.adobe.xmp\0", b"Raw profile type "), at + 8)
        if (text and not known) or name in (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"):
            kept.append(data[at : at + 12 + size])
        at += 12 + size
    return b"".join(kept)


def iptc_of_photoshop(block: bytes) -> bytes:
    """The IPTC records in a Photoshop block, which is a row of (8BIM, number, name, size, data)."""
    block = block.removeprefix(b"Photoshop 3.0\0")
    at = 0
    with suppress(struct.error):
        while block[at : at + 4] == b"8BIM":
            number, letters = struct.unpack_from(">HB", block, at + 4)
            at += 6 + (letters + 2 & ~1)
            (size,) = struct.unpack_from(">L", block, at)
            if number == 0x0404:
                return block[at + 4 : at + 4 + size]
            at += 4 + size + size % 2
    return b""


def photoshop_of_iptc(iptc: bytes) -> bytes:
    """A Photoshop block with the IPTC records and nothing else: its own thumbnail would be stale."""
    head = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">L", len(iptc))
    return head + iptc + b"\0" * (len(iptc) % 2)


def _tables(data: bytes) -> tuple[Table, dict[int, Table]]:
    """The first table of a TIFF structure and the EXIF and GPS tables it points at. Raises struct.error."""
    order, start = header(data)
    links = integers(data, start, order)
    below = {tag: table_at(data, links[tag], order) for tag in (EXIF_TABLE, _GPS_TABLE) if tag in links}
    for table in below.values():
        table.pop(_INTEROPERABILITY_TABLE, None)  # points at one more table, which only names the rules it follows
    return table_at(data, start, order), below
