"""The image resources of Photoshop (8BIM), in which JPEG, TIFF and PNG files keep IPTC, clipping paths, the copyright
flag.

The specification: Adobe Photoshop File Formats Specification, "Image resource blocks".
"""

import struct
from collections.abc import Iterator
from contextlib import suppress

__all__ = ["resources_with_iptc", "sorted_resources"]

_SIGNATURES = (b"8BIM", b"PHUT", b"AgHg", b"DCSR", b"MeSa")
_IPTC, _ICC, _EXIF, _EXIF_TOO, _XMP = 0x0404, 0x040F, 0x0422, 0x0423, 0x0424
_THUMBNAILS = (0x0409, 0x040C)
_RESOLUTION = 0x03ED


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
