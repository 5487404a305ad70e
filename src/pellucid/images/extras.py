"""Formats that libvips' wheel cannot read, by the packages of extras, which are imported when needed.

- HEIC by pi-heif (libheif and libde265, no encoder): 8 to 12 bits.
- JPEG XL by imagecodecs (libjxl).
- Camera raw files by rawpy (LibRaw): developed to 16 bits in sRGB, with the white balance of the camera.
"""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import ImageError, MissingExtraError, one_line

__all__ = ["LOADERS", "without_brotli"]

Samples = tuple[NDArray[Any], list[str]]
"""(H, W, C) of uint8, uint16 or float32, upright; and what is lost by reading, in words."""


def _heic(data: bytes, name: str) -> Samples:
    try:
        import pi_heif
    except ImportError as error:
        raise _missing(name, "pi-heif", "heic") from error
    try:
        picture = pi_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=True)
        array = np.asarray(picture)
    except (OSError, ValueError, SyntaxError, RuntimeError, EOFError) as error:
        raise ImageError(f"{name}: truncated, damaged or of an unknown sort of heic ({one_line(error)})") from error
    return array[..., None] if array.ndim == 2 else array, []


def _jxl(data: bytes, name: str) -> Samples:
    try:
        import imagecodecs
    except ImportError as error:
        raise _missing(name, "imagecodecs", "jxl") from error
    try:
        array = imagecodecs.jpegxl_decode(data, index=0)
    except (imagecodecs.JpegxlError, ValueError, RuntimeError, IndexError) as error:
        raise ImageError(f"{name}: truncated, damaged or of an unknown sort of jxl ({one_line(error)})") from error
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    if array.ndim != 3 or array.shape[2] > 4:
        raise ImageError(f"{name}: cannot read samples of shape {array.shape}")
    return array, []


def without_brotli(data: bytes) -> bytes:
    """Data that Brotli had packed; nothing where they are damaged, or imagecodecs is not installed."""
    try:
        import imagecodecs

        return bytes(imagecodecs.brotli_decode(data))
    except (ImportError, RuntimeError, ValueError):
        return b""


def _raw(data: bytes, name: str) -> Samples:
    try:
        import rawpy
    except ImportError as error:
        raise _missing(name, "rawpy", "raw") from error
    try:
        with rawpy.imread(BytesIO(data)) as raw:
            array = raw.postprocess(
                use_camera_wb=True,
                no_auto_bright=True,
                output_bps=16,
                output_color=rawpy.ColorSpace.sRGB,
                gamma=(2.4, 12.92),
            )
    except (rawpy.LibRawError, OSError, ValueError) as error:
        raise ImageError(f"{name}: a camera raw file that cannot be developed ({_reason(error)})") from error
    return array, ["the raw values (developed to 16 bits with the white balance of the camera)"]


LOADERS: Mapping[str, Callable[[bytes, str], Samples]] = {"heic": _heic, "jxl": _jxl, "raw": _raw}
"""Readers of the formats that need an extra, by the format's name."""


def _missing(name: str, package: str, extra: str) -> ImageError:
    return ImageError(f"{name}: {MissingExtraError(package, extra)}")


def _reason(error: Exception) -> str:
    text = error.args[0] if error.args else error
    return text.decode("latin-1") if isinstance(text, bytes) else str(text)
