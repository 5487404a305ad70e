"""The image resources of Photoshop (8BIM), in which JPEG, TIFF and PNG files keep IPTC, clipping paths, the copyright
flag; and the records of IPTC.

The specifications: Adobe Photoshop File Formats Specification, "Image resource blocks"; IPTC-NAA Information
Interchange Model, version 4.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress

__all__ = ["resources_with_iptc", "sorted_resources", "without_preview"]

_SIGNATURES = (b"8BIM", b"PHUT", b"AgHg", b"DCSR", b"MeSa")
_IPTC, _ICC, _EXIF, _EXIF_TOO, _XMP = 0x0404, 0x040F, 0x0422, 0x0423, 0x0424
_THUMBNAILS = (0x0409, 0x040C)
_RESOLUTION = 0x03ED
_PREVIEW = ((2, 200), (2, 201), (2, 202))  # its format, its version, itself


def sorted_resources(block: bytes) -> tuple[bytes, bytes]:
    """The IPTC records in a block of resources, and the other resources that stay true, as they lie there.

    Thumbnails are stale, and what has another place in the file is taken from there.
    """
    iptc, others = b"", b""
    for number, data, whole in _resources(block.removeprefix(b"Photoshop 3.0\0")):
        if number == _IPTC:
            iptc = iptc or data
        elif number not in (*_THUMBNAILS, _ICC, _EXIF, _EXIF_TOO, _XMP, _RESOLUTION):
            others += whole
    return iptc, others


def without_preview(iptc: bytes) -> bytes:
    """The records of IPTC without the little picture of what is no longer there; as they are where they are damaged."""
    kept, at = [], 0
    while at + 5 <= len(iptc) and iptc[at] == 0x1C:
        record, number, size = struct.unpack_from(">BBH", iptc, at + 1)
        begin = at + 5
        if size & 0x8000:  # so many bytes tell the size
            size, begin = int.from_bytes(iptc[begin : begin + (size & 0x7FFF)], "big"), begin + (size & 0x7FFF)
        if begin + size > len(iptc):
            return iptc
        if (record, number) not in _PREVIEW:
            kept.append(iptc[at : begin + size])
        at = begin + size
    return b"".join([*kept, iptc[at:]])


def resources_with_iptc(others: bytes, iptc: bytes) -> bytes:
    """A block of resources; empty where there are none."""
    if iptc:
        others = b"8BIM\x04\x04\0\0" + struct.pack(">L", len(iptc)) + iptc + b"\0" * (len(iptc) % 2) + others
    return others


def _resources(block: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each resource (number, data, all of its bytes, of even length); damage ends them."""
    at = 0
    with suppress(struct.error):
        while block[at : at + 4] in _SIGNATURES:
            number, letters = struct.unpack_from(">HB", block, at + 4)
            begin = at + 6 + (letters + 2 & ~1)
            (size,) = struct.unpack_from(">L", block, begin)
            data = block[begin + 4 : begin + 4 + size]
            if len(data) < size:
                return
            yield number, data, block[at : begin + 4 + size] + b"\0" * (size % 2)
            at = begin + 4 + size + size % 2
