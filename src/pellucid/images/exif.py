"""An EXIF block, a TIFF structure without the `Exif\\0\\0` before it: made true for upright pixels of another size."""

import struct
from contextlib import suppress

from pellucid.images.tiff_tables import entries, header, integers, set_integers

__all__ = ["EXIF_TABLE", "resolution", "sized", "tidied"]

EXIF_TABLE = 0x8769
"""The tag in the first table that points at the table of the camera's settings."""

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x0112, 0x011A, 0x011B, 0x0128
_THUMBNAIL_START, _THUMBNAIL_SIZE = 0x0201, 0x0202
_PIXELS_ACROSS, _PIXELS_DOWN = 0xA002, 0xA003


def tidied(exif: bytes) -> bytes:
    """`exif` with orientation 1 and its thumbnail wiped, in place; nothing where it cannot be understood."""
    data = bytearray(exif)
    try:
        order, start = header(data)
        set_integers(data, start, order, {_ORIENTATION: 1})
        link = start + 2 + 12 * struct.unpack_from(order + "H", data, start)[0]
        (second,) = struct.unpack_from(order + "L", data, link)
        struct.pack_into(order + "L", data, link, 0)
    except struct.error:
        return b""
    with suppress(struct.error):
        thumbnail = integers(data, second, order) if second else {}
        at, size = thumbnail.get(_THUMBNAIL_START, 0), thumbnail.get(_THUMBNAIL_SIZE, 0)
        if 8 <= at < len(data):
            data[at : at + size] = bytes(min(size, len(data) - at))  # an old picture must not live on in unused bytes
    return bytes(data)


def sized(exif: bytes, width: int, height: int) -> bytes:
    """`exif` with the size of the picture in pixels, where it tells one."""
    data = bytearray(exif)
    with suppress(struct.error):
        order, start = header(data)
        tables = integers(data, start, order)
        if EXIF_TABLE in tables:
            set_integers(data, tables[EXIF_TABLE], order, {_PIXELS_ACROSS: width, _PIXELS_DOWN: height})
    return bytes(data)


def resolution(exif: bytes) -> tuple[float, float]:
    """The horizontal and vertical resolution that `exif` tells, or 72, in dots per inch."""
    with suppress(struct.error, ZeroDivisionError, KeyError):
        order, start = header(exif)
        found = {tag: where for tag, kind, number, where in entries(exif, start, order) if kind == 5 and number}
        ratios = [struct.unpack_from(order + "LL", exif, found[tag]) for tag in (_X_RESOLUTION, _Y_RESOLUTION)]
        inch = 2.54 if integers(exif, start, order).get(_RESOLUTION_UNIT) == 3 else 1.0
        across, down = (inch * above / below for above, below in ratios)
        return across, down
    return 72.0, 72.0
