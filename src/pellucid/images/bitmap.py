"""BMP files, which libvips' wheel does not know: read and written by Pillow, whose 8 bits are all that the format
has."""

import struct
from io import BytesIO

import numpy as np
import pyvips
from PIL import Image, UnidentifiedImageError

from pellucid.errors import ImageError

__all__ = ["load_bitmap", "profile_of_bitmap", "save_bitmap"]


def load_bitmap(data: bytes, name: str) -> pyvips.Image:
    """The picture in the bytes of a BMP file called `name`: grey, RGB or RGBA of 8 bits.

    Raises:
        ImageError: the bytes are damaged, cut off, or of a sort of BMP that Pillow does not know.
    """
    try:
        with Image.open(BytesIO(data), formats=["BMP"]) as picture:
            dpi = picture.info.get("dpi", (0.0, 0.0))
            array = np.asarray(picture if picture.mode in ("L", "RGB", "RGBA") else picture.convert(_mode(picture)))
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ImageError(f"{name}: truncated, damaged or of an unknown sort of bmp ({error})") from error
    height, width = array.shape[:2]
    bands = 1 if array.ndim == 2 else array.shape[2]
    image = pyvips.Image.new_from_memory(np.ascontiguousarray(array), width, height, bands, "uchar")
    across, down = (value / 25.4 if value else 1.0 for value in dpi)
    return image.copy(interpretation="b-w" if bands == 1 else "srgb", xres=across, yres=down)


def profile_of_bitmap(data: bytes) -> bytes:
    """The ICC profile in a BMP file of version 5; empty where it has none."""
    if len(data) < 138 or struct.unpack_from("<L", data, 14)[0] < 124 or data[70:74] != b"DEBM":
        return b""
    begin, size = struct.unpack_from("<LL", data, 126)
    return data[14 + begin : 14 + begin + size]


def save_bitmap(image: pyvips.Image) -> bytes:
    """The bytes of a BMP file of a grey or RGB picture of 8 bits, with its resolution."""
    shape = (image.height, image.width) if image.bands == 1 else (image.height, image.width, image.bands)
    buffer = BytesIO()
    picture = Image.fromarray(image.numpy().reshape(shape))
    picture.save(buffer, "BMP", dpi=(image.xres * 25.4, image.yres * 25.4))
    return buffer.getvalue()


def _mode(picture: Image.Image) -> str:
    """A palette of greys or black and white becomes grey, any other palette colour."""
    if picture.mode == "1":
        return "L"
    colours = picture.getpalette() or []
    return "L" if colours[0::3] == colours[1::3] == colours[2::3] else "RGB"
