"""Camera raw files: what they say beside what the sensor measured. Most are TIFF files by another name; CR3 has its
tables in boxes, RAF a JPEG file in front.

Where these lie is not published by the makers; it is what ExifTool documents of them.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from pellucid.images.exif import DESCRIPTIVE, EXIF_TABLE, GPS_TABLE, MAKER_NOTE, ExifTables, exif_block, exif_tables
from pellucid.images.jpeg import parts_of_jpeg
from pellucid.images.tiff import parts_of_tiff
from pellucid.images.tiff_tables import Structure

__all__ = ["RawParts", "parts_of_raw"]

_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_LIKE_TIFF = {b"IIRO": b"II*\0", b"IIRS": b"II*\0", b"MMOR": b"MM\0*", b"IIU\0": b"II*\0"}
"""The first bytes of Olympus' and Panasonic's files, and of what they are otherwise."""


@dataclass
class RawParts:
    """What a camera raw file says beside its values."""

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    unread: tuple[str, ...] = ()


def parts_of_raw(data: bytes) -> RawParts:
    """What is in a file; damage ends the search."""
    if data.startswith(b"FUJIFILMCCD-RAW"):
        begin, size = struct.unpack_from(">LL", data.ljust(92, b"\0"), 84)
        preview = parts_of_jpeg(data[begin : begin + size])
        found = RawParts(preview.exif, preview.xmp, preview.iptc)
    elif data[4:12] == b"ftypcrx ":
        found = _of_boxes(data)
    else:
        tiff = parts_of_tiff(_LIKE_TIFF.get(data[:4], data[:4]) + data[4:])
        found = RawParts(tiff.exif, tiff.xmp, tiff.iptc)
    found.unread = () if found.exif else ("EXIF",)
    return found


def _of_boxes(data: bytes) -> RawParts:
    """Canon's CR3: the first table, those of the camera and of the place each lie in a box of their own."""
    found, blocks = RawParts(), dict[bytes, bytes]()
    for name, body in _boxes(data, 0, len(data)):
        if name == b"uuid" and body.startswith(_XMP):
            found.xmp = body[16:]
        for inner, part in _boxes(body, 0, len(body)) if name == b"moov" else ():
            if inner == b"uuid" and part.startswith(_CANON):
                blocks |= dict(_boxes(part, 16, len(part)))
    tables = ExifTables()
    with suppress(struct.error):
        tables = exif_tables(Structure(blocks.get(b"CMT1", b"")))
    tables = replace(tables, first={tag: entry for tag, entry in tables.first.items() if tag in DESCRIPTIVE})
    for name, tag in ((b"CMT2", EXIF_TABLE), (b"CMT4", GPS_TABLE)):
        with suppress(struct.error):
            structure = Structure(blocks.get(name, b""))
            table = structure.table(structure.first)
            table.pop(MAKER_NOTE, None)  # it lies in CMT3, and its offsets count from there
            tables.below[tag] = table
    if tables.first or tables.below:
        found.exif, _ = exif_block(tables)
    return found


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Each box (name, body) between two offsets."""
    while at + 8 <= end:
        size, name = struct.unpack_from(">L4s", data, at)
        head = 8
        if size == 1 and at + 16 <= end:
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        size = size or end - at
        if size < head or at + size > end:
            return
        yield name, data[at + head : at + size]
        at += size
