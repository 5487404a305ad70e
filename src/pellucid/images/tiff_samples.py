"""The samples of TIFF files that the wheel of libvips cannot read, or reads wrongly, by tifffile.

These are compressions that it does not know, channels one after the other in tiles, depths such as 4, 12 or 64 bits,
and L*a*b* but for its plainest form. What the samples mean is undone here as libvips would: palettes, luma and chroma,
paper that is 0, alpha that the colours are multiplied by.

The specifications: TIFF 6.0; Adobe Photoshop TIFF Technical Notes for ICC L*a*b*.
"""

from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import ImageError, MissingExtraError, one_line
from pellucid.images.large_file import Content, LargeFile
from pellucid.scratch import belongs_on_disk, temporary_file

__all__ = ["TiffSamples", "tiff_samples", "tifffile_unpacks"]

# No compression packs more into a byte, but for pictures that are all one colour, and those may still be large.
_MOST_RATIO, _MOST_BYTES = 2000, 2**30
_PAPER, _PALETTE, _INKS, _LUMA_CHROMA, _LAB, _ICC_LAB = 0, 3, 5, 6, 8, 9


@dataclass(frozen=True)
class TiffSamples:
    """The samples of a page."""

    array: NDArray[Any]
    """(H, W, C) of uint8, uint16 or float32; alpha no longer multiplied in. L*a*b* is float32, beside it channels of 0
    to 65535."""
    meaning: str
    """`colours` of grey or RGB, `inks` of CMYK, or `lab`."""


def tifffile_unpacks(compression: int) -> bool:
    """Whether tifffile can undo a compression of TIFF: the simplest ones by itself, the others with imagecodecs."""
    return compression in (1, 8, 32773, 32946) or find_spec("imagecodecs") is not None


def tiff_samples(data: Content, name: str, page: int, branch: int, memory: int | None = None) -> TiffSamples:
    """The samples of a page of the file `name`, or of a table below it; integers of 32 bits become 16, floats 32 bits.

    A page that needs more than so many bytes of memory is unpacked on the disk.

    Raises:
        ImageError: they are damaged, or of a sort that is not known.
    """
    import tifffile

    try:
        with closing(tifffile.TiffFile(data.file if isinstance(data, LargeFile) else BytesIO(data))) as file:
            found: Any = file.pages[page]
            found = found if branch < 0 else found.pages[branch]
            if found.nbytes > _MOST_BYTES + _MOST_RATIO * len(data):
                size = f"{found.imagewidth} x {found.imagelength}"
                raise ImageError(f"{name}: claims {size} pixels, in a file of {len(data)} bytes")
            large = belongs_on_disk(found.imagelength, found.imagewidth, memory)
            array: NDArray[Any] = found.asarray(out=_on_disk(found.shape, found.dtype) if large else None)
            planes_first = array.ndim == 3 and found.planarconfig == 2
            extra = tuple(int(kind) for kind in found.extrasamples)
            photometric, bits, colours = int(found.photometric), found.bitspersample, getattr(found, "colormap", None)
            if found.compression in (6, 7) and photometric == _LUMA_CHROMA:
                photometric = 2  # the decoder of JPEG gives RGB
    except (ValueError, KeyError, IndexError, OSError, TypeError, AttributeError, tifffile.TiffFileError) as error:
        if "requires the 'imagecodecs' package" in str(error):
            raise ImageError(f"{name}: {MissingExtraError('imagecodecs', 'jxl')}") from error
        raise ImageError(f"{name}: truncated, damaged or of an unknown sort of tiff ({one_line(error)})") from error
    array = np.moveaxis(array, 0, -1) if planes_first else array
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.dtype.kind not in "buf" or array.dtype.name == "uint64":
        raise ImageError(f"{name}: cannot read samples of {array.dtype} and shape {array.shape}")
    if photometric == _PALETTE and colours is not None:
        return TiffSamples(_of_palette(array, colours, bits), "colours")
    if photometric == _ICC_LAB or (photometric == _LAB and array.dtype.kind == "u"):
        return TiffSamples(_lab(array, signed=photometric == _LAB), "lab")
    array = _of_whole_bytes(array, bits)
    if photometric == _LUMA_CHROMA:
        array = _of_luma_and_chroma(array, name)
    if photometric == _PAPER and array.dtype.kind == "u":
        array = np.concatenate([~array[..., :1], array[..., 1:]], -1) if extra else ~array
    if 1 in extra:
        array = _without_alpha_in_it(array, array.shape[2] - len(extra), extra.index(1))
    return TiffSamples(array, "inks" if photometric == _INKS else "colours")


def _on_disk(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array in a file without a name."""
    with temporary_file() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def _of_whole_bytes(array: NDArray[Any], bits: int) -> NDArray[Any]:
    """Samples as uint8, uint16 or float32, of the same brightness."""
    if array.dtype.kind == "f":
        return array.astype(np.float32, copy=False)
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if bits in (8, 16):
        return array
    most = 255 if bits < 8 else 65535
    whole: NDArray[Any] = np.rint(array * (most / (2**bits - 1))).astype(np.uint8 if bits < 8 else np.uint16)
    return whole


def _of_palette(array: NDArray[Any], colours: NDArray[Any], bits: int) -> NDArray[Any]:
    """The colours that the samples are numbers of, of 8 bits, or of 16 where the numbers are; grey where all of them
    are."""
    table = colours.T if bits == 16 else (colours >> 8).astype(np.uint8).T
    grey = bool((table == table[:, :1]).all())
    shown: NDArray[Any] = table[array[..., 0]]
    shown = shown[..., :1] if grey else shown
    others = _of_whole_bytes(array[..., 1:], bits)
    return np.concatenate([shown, others], -1, dtype=shown.dtype) if others.shape[2] else shown


def _of_luma_and_chroma(array: NDArray[Any], name: str) -> NDArray[Any]:
    """RGB of luma and chroma of ITU-R BT.601 in the full range, at full resolution."""
    if array.dtype != np.uint8 or array.shape[2] < 3:
        raise ImageError(f"{name}: cannot read luma and chroma of {array.shape[2]} channels of {array.dtype}")
    luma, blue, red = (array[..., index].astype(np.float32) for index in range(3))
    blue, red = blue - 128, red - 128
    colours = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], -1)
    return np.concatenate([np.rint(colours).clip(0, 255).astype(np.uint8), array[..., 3:]], -1)


def _lab(array: NDArray[Any], *, signed: bool) -> NDArray[Any]:
    """L*, a* and b* as numbers: TIFF's own store the last two with a sign, those of ICC count from the middle."""
    wide = array.dtype.itemsize == 2
    step = 256.0 if wide else 1.0
    lightness = array[..., :1] * np.float32(100 / ((65535 if signed else 65280) if wide else 255))
    if signed:
        colours = array[..., 1:3].view(np.int16 if wide else np.int8).astype(np.float32)
    else:
        colours = array[..., 1:3].astype(np.float32) - np.float32(128 * step)
    others = array[..., 3:] * np.float32(1 if wide else 257)
    return np.concatenate([lightness, colours / np.float32(step), others], -1, dtype=np.float32)


def _without_alpha_in_it(array: NDArray[Any], colours: int, place: int) -> NDArray[Any]:
    """Samples whose colours were multiplied by the channel at that place behind them."""
    floating = array.dtype.kind == "f"
    most = 1 if floating else np.iinfo(array.dtype).max
    alpha = array[..., colours + place].astype(np.float64)[..., None] / most
    free = array[..., :colours] / np.where(alpha > 0, alpha, 1)
    array = array.copy()
    array[..., :colours] = np.where(alpha > 0, free if floating else np.rint(np.minimum(free, most)), 0)
    return array
