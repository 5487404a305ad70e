"""The image contract, and the one door between files and tensors.

**In memory an image is a float32 tensor (B, 3, H, W), RGB in [0, 1], display-encoded**: the values of an ordinary 8-bit
file divided by 255, never linear light. Values may lie outside [0, 1] on the way (unclipped noise); they are clipped
when they become integers.

What a file goes through, and what it keeps:

- *Colour.* An RGB or grey file keeps its own encoding and its own ICC profile, byte for byte: a Display P3 photograph
  is computed on as it is and comes back as Display P3. Only what is neither (CMYK, Lab) is converted to sRGB on
  reading, with its embedded profile or, for CMYK without one, libvips' own, and is written as sRGB. A grey file has
  three equal channels in memory and is written grey again.
- *Depth.* 8 and 16 bits come back exactly in PNG and TIFF; JPEG and WebP hold 8 bits, AVIF 10, rounded to nearest. A
  float TIFF is taken as display-encoded, stays float in TIFF and becomes 16-bit in PNG. Palette and 1-bit files become
  ordinary 8-bit ones.
- *Alpha* is kept apart and never restored. Colours under alpha 0 are arbitrary, so `fill_hidden` replaces them with
  those of their visible neighbours, before anything can smear them over an edge. JPEG has no alpha: there the picture
  is laid over white.
- *Metadata.* EXIF, XMP, IPTC, ICC, dots per inch, PNG texts and colour tags are carried over, also between formats,
  where the format has a place for them (IPTC: JPEG and TIFF). The EXIF orientation is applied once and then says 1; the
  stale thumbnail is removed and the size corrected; the rest of EXIF stays byte for byte in JPEG and PNG, maker notes
  included (in WebP and AVIF libexif rewrites it; in and out of TIFF its tables are moved).
- *Pages.* Of an animation or a multi-page file the first page is read (AVIF: the primary one); `Photograph.pages` says
  how many there are.

What goes wrong with a file is an `ImageError` of one line that names the file.
"""

import os
import re
import secrets
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar, cast

import numpy as np
import pyvips
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import ImageError, SettingsError

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "SUFFIXES",
    "Metadata",
    "Photograph",
    "fill_hidden",
    "like",
    "quantise",
    "read",
    "supported",
    "to_tensor",
    "write",
]

SUFFIXES: Mapping[str, str] = {
    ".avif": "avif",
    ".jpeg": "jpeg",
    ".jpg": "jpeg",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
}
"""Suffixes of the files that are read and written, in small letters, and their formats."""

# What a file is, is decided by its first bytes. Only these loaders are ever called: no SVG, no PDF, nothing that could
# run code or fetch a file.
_SIGNATURES = (
    ("jpeg", re.compile(rb"\xff\xd8\xff")),
    ("png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("tiff", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("avif", re.compile(rb"....ftyp(avif|avis|mif1|msf1|hei[cxms])", re.DOTALL)),
    ("gif", re.compile(rb"GIF8")),
)
_LOADERS = {
    "jpeg": "jpegload",
    "png": "pngload",
    "tiff": "tiffload",
    "webp": "webpload",
    "avif": "heifload",
    "gif": "gifload",
}
# Camera raw files look like TIFF; what would be read from them is their little preview.
_RAW = {".3fr", ".arw", ".cr2", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".nef", ".nrw", ".pef", ".sr2", ".srw"}

_BITS = {"uchar": 8, "ushort": 16, "float": 32}
_MOST_BITS = {"jpeg": 8, "png": 16, "tiff": 32, "webp": 8, "avif": 16}
_FARTHEST = 4.0
"""How far outside [0, 1] a value may lie and still be noise, not a picture in 0..255."""

Picture = TypeVar("Picture")


@dataclass(frozen=True)
class Metadata:
    """What a file says beside its pixels; empty where it says nothing."""

    exif: bytes = b""
    """A TIFF structure (without the leading `Exif\\0\\0`): orientation 1 or absent, no thumbnail."""
    xmp: bytes = b""
    """The XMP packet."""
    iptc: bytes = b""
    """The IPTC-IIM records, without the Photoshop block around them."""
    icc: bytes = b""
    """The ICC profile of the pixels."""
    dpi: tuple[float, float] = (72.0, 72.0)
    """Horizontal and vertical resolution, in dots per inch."""
    chunks: bytes = b""
    """What only PNG has a place for, as it lies in the file: texts, and tags of the colour that are no ICC profile."""


@dataclass(frozen=True, eq=False)
class Photograph:
    """A picture from a file, with all that is needed to write it again."""

    pixels: Tensor
    """float32 (1, 3, H, W), RGB in [0, 1]."""
    alpha: Tensor | None = None
    """float32 (1, 1, H, W) in [0, 1], 1 is opaque; None where the file has none."""
    grey: bool = False
    """Whether the file holds one channel, and is written so again."""
    bits: int = 8
    """8, 16, or 32 for float: the depth it is written with where the format allows."""
    metadata: Metadata = field(default_factory=Metadata)
    """EXIF, XMP, IPTC, ICC, resolution, PNG chunks."""
    format: str = "png"
    """The format of the file it was read from: avif, gif, jpeg, png, tiff or webp."""
    pages: int = 1
    """How many pages or frames the file has; the first is here."""

    def with_pixels(self, pixels: Tensor) -> "Photograph":
        """The same photograph with other pixels, (1, 3, H, W); the alpha is resized where the size changed."""
        _check_pixels(pixels, "the new pixels")
        height, width = pixels.shape[-2:]
        return replace(self, pixels=pixels, alpha=_resized(self.alpha, height, width))


def supported(path: str | os.PathLike[str]) -> bool:
    """Whether the suffix of `path` is one of `SUFFIXES`; the file is not looked at."""
    return Path(path).suffix.lower() in SUFFIXES


def read(path: str | os.PathLike[str]) -> Photograph:
    """Reads the picture in the file at `path`, upright, whatever characters its name has.

    Raises `ImageError` where there is no such file, or it is empty, truncated, damaged, or not a picture.
    """
    name = _name(path)
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ImageError(f"{name}: cannot be read: {_why(error)}") from error
    if not data:
        raise ImageError(f"{name}: the file is empty")
    kind = next((kind for kind, signature in _SIGNATURES if signature.match(data)), None)
    if kind is None:
        raise ImageError(f"{name}: not a picture that can be read; known: {', '.join(_LOADERS)}")
    if kind == "tiff" and Path(path).suffix.lower() in _RAW:
        raise ImageError(f"{name}: a camera raw file cannot be read; develop it to TIFF first")
    try:
        return _decode(data, kind, name)
    except (pyvips.Error, UnicodeDecodeError) as error:  # the second where libvips quotes the damaged bytes
        raise ImageError(f"{name}: truncated, damaged or of an unknown sort of {kind} ({_why(error)})") from error
    except MemoryError as error:
        raise ImageError(f"{name}: the picture is too large for the memory of this machine") from error


def write(photograph: Photograph, path: str | os.PathLike[str], *, quality: int = 95, overwrite: bool = True) -> None:
    """Writes `photograph` to the file at `path`, in the format of its suffix.

    `quality` (1 to 100) is that of JPEG (chroma at full resolution), WebP and AVIF; PNG and TIFF are lossless. The file
    appears whole or not at all: it is written beside its place under another name and then moved there. With
    `overwrite=False` an existing file is left alone, and that is an error.

    Raises `ImageError` where the suffix is unknown, the pixels hold NaN, or the file cannot be written, and
    `SettingsError` for a wrong quality.
    """
    name, target = _name(path), Path(path)
    kind = SUFFIXES.get(target.suffix.lower())
    if kind is None:
        raise ImageError(f"{name}: cannot write files with the suffix {target.suffix!r}; known: {', '.join(SUFFIXES)}")
    if not 1 <= quality <= 100:
        raise SettingsError(f"the quality must lie in 1 to 100, got {quality}")
    _check_pixels(photograph.pixels, name)
    try:
        data = _encode(photograph, kind, quality)
    except pyvips.Error as error:
        raise ImageError(f"{name}: cannot be written as {kind}: {_why(error)}") from error
    try:
        if target.exists() and not (overwrite and target.is_file()):
            raise ImageError(f"{name}: {'exists already' if target.is_file() else 'is a folder or a device'}")
        _replace(target, data)
    except (OSError, ValueError) as error:
        raise ImageError(f"{name}: cannot be written: {_why(error)}") from error


def quantise(image: Tensor, bits: int = 8) -> Tensor:
    """`image` clipped to [0, 1] and rounded to the nearest of the 2^bits values k / (2^bits - 1).

    Any shape; the floating dtype is kept. What lies half-way goes to the even k.
    """
    steps = 2**bits - 1
    return image.clamp(0, 1).mul(steps).round().div(steps)


def fill_hidden(pixels: Tensor, alpha: Tensor) -> Tensor:
    """`pixels` (B, 3, H, W) with the colours where `alpha` (B, 1, H, W) is 0 taken from the visible neighbours.

    Every hidden pixel beside visible ones gets their average, weighted by alpha; for those that are still left, the
    same is done at half the size. Visible pixels are untouched; an image that is hidden as a whole becomes black.
    """
    return pixels if bool((alpha > 0).all()) else _fill(pixels.clone(), alpha)


def to_tensor(picture: object) -> Tensor:
    """`picture` as float32 RGB (B, 3, H, W); `like` goes back. Grey becomes three equal channels, alpha is left out.

    - a `Photograph`: its pixels;
    - a Pillow image of mode L, LA, RGB, RGBA, I;16, CMYK, P or 1, as it lies (its EXIF orientation is not applied);
    - a numpy array (H, W) or (H, W, C), with C = 1, 2 (grey, alpha), 3 or 4 (RGB, alpha), of uint8, uint16, or float in
      [0, 1];
    - a floating torch tensor (B, 3, H, W) or (B, 1, H, W) in [0, 1], on any device.

    Raises `ImageError` for another type, shape or range, and for NaN.
    """
    if isinstance(picture, Photograph):
        return picture.pixels
    if isinstance(picture, Tensor):
        return _tensor_in(picture)
    if isinstance(picture, np.ndarray):
        pixels, alpha = _split(_planes(picture, "the array"))
        return pixels if alpha is None else _fill(pixels, alpha)
    if _is_pillow(picture):
        return to_tensor(_pillow_array(picture))
    raise ImageError(
        f"cannot take a picture from {type(picture).__name__}; known: Photograph, PIL image, numpy array, torch tensor"
    )


def like(tensor: Tensor, picture: Picture) -> Picture:
    """`tensor` (B, 3, H, W) as the same kind as `picture`: type, dtype, device, mode and number of channels.

    What `to_tensor` took from `picture` comes back exactly, but for colours hidden under alpha 0. Integers are clipped
    and rounded to nearest; floats are neither. The alpha is that of `picture`, resized where the size changed. Pillow
    images of mode P and 1 come back as RGB(A) and L, since neither a palette nor one bit can hold a restored picture;
    Pillow's `info` is kept.
    """
    back: Any
    if isinstance(picture, Photograph):
        back = picture.with_pixels(tensor)
    elif isinstance(picture, Tensor):
        back = (tensor.mean(1, keepdim=True) if picture.shape[1] == 1 else tensor).to(picture)
    elif isinstance(picture, np.ndarray):
        back = _array_out(tensor, picture)
    elif _is_pillow(picture):
        back = _pillow_out(tensor, picture)
    else:
        raise ImageError(f"cannot give a picture back as {type(picture).__name__}")
    return cast(Picture, back)


# --- kinds of pictures in memory --------------------------------------------------------------------------------------


def _check_pixels(pixels: Tensor, what: str) -> None:
    """Refuses what is not one RGB image of finite numbers."""
    if pixels.ndim != 4 or pixels.shape[:2] != (1, 3) or pixels.numel() == 0:
        raise ImageError(f"{what}: expected pixels of shape (1, 3, H, W), got {tuple(pixels.shape)}")
    if not all(bound.isfinite() for bound in torch.aminmax(pixels.detach())):
        raise ImageError(f"{what}: the pixels hold NaN or infinity")


def _check_range(values: Tensor, what: str) -> None:
    """Refuses NaN, and floats that are clearly not in [0, 1]."""
    low, high = (bound.item() for bound in torch.aminmax(values.detach()))
    if not np.isfinite(low + high):
        raise ImageError(f"{what}: holds NaN or infinity")
    if low < -_FARTHEST or high > 1 + _FARTHEST:
        raise ImageError(
            f"{what}: values from {low:.4g} to {high:.4g}, expected [0, 1]; "
            "divide values of 8 bits by 255, of 16 bits by 65535"
        )


def _tensor_in(image: Tensor) -> Tensor:
    shape = tuple(image.shape)
    if image.ndim == 3 and shape[0] in (1, 3):
        raise ImageError(
            f"expected a tensor (B, 3, H, W), got {shape}; for a single image add a batch axis with x[None]"
        )
    if image.ndim != 4 or shape[1] not in (1, 3) or image.numel() == 0:
        raise ImageError(f"expected a tensor of shape (B, 3, H, W) or (B, 1, H, W), none of them 0, got {shape}")
    if not image.is_floating_point():
        raise ImageError(f"expected a floating tensor in [0, 1], got {image.dtype}; for 8 bits use x.float() / 255")
    _check_range(image, "the tensor")
    image = image.float()
    return image.repeat(1, 3, 1, 1) if shape[1] == 1 else image


def _planes(array: NDArray[Any], what: str) -> Tensor:
    """An array (H, W) or (H, W, 1..4) of uint8, uint16 or float as float32 (1, C, H, W)."""
    channels = array if array.ndim == 3 else array[..., None]
    if channels.ndim != 3 or channels.shape[2] not in (1, 2, 3, 4) or channels.size == 0:
        remedy = (
            "; channels come last: use x.transpose(1, 2, 0)" if array.ndim == 3 and array.shape[0] in (1, 3, 4) else ""
        )
        raise ImageError(f"{what}: expected shape (H, W) or (H, W, 1 to 4), got {array.shape}{remedy}")
    if array.dtype.kind != "f" and (array.dtype.kind, array.dtype.itemsize) not in (("u", 1), ("u", 2)):
        raise ImageError(f"{what}: expected uint8, uint16 or float in [0, 1], got {array.dtype}")
    planes = torch.empty(1, channels.shape[2], *channels.shape[:2])
    out = planes[0].numpy()
    out[...] = channels.transpose(2, 0, 1)
    if array.dtype.kind == "f":
        _check_range(planes, what)
    else:
        # Divided, not multiplied by the inverse: k / 255 is then the float32 nearest to the true value.
        np.divide(out, np.iinfo(array.dtype).max, out=out)
    return planes


def _split(planes: Tensor) -> tuple[Tensor, Tensor | None]:
    """Planes (1, C, H, W) of grey, grey-alpha, RGB or RGBA as RGB pixels and alpha."""
    colours = 1 if planes.shape[1] < 3 else 3
    alpha = planes[:, colours:] if planes.shape[1] > colours else None
    return planes[:, :colours].repeat(1, 3 // colours, 1, 1) if colours == 1 else planes[:, :3], alpha


def _fill(pixels: Tensor, alpha: Tensor) -> Tensor:
    """`fill_hidden` into `pixels` itself, one channel after the other, so that it takes little memory."""
    for channel in range(pixels.shape[1]):
        pixels[:, channel : channel + 1] = _filled(pixels[:, channel : channel + 1], alpha)
    return pixels


def _filled(plane: Tensor, alpha: Tensor) -> Tensor:
    """One plane (B, 1, H, W) with its hidden values filled."""
    visible = alpha > 0
    if bool(visible.all()):
        return plane
    weight = F.avg_pool2d(alpha, 3, 1, 1)
    filled = F.avg_pool2d(plane * alpha, 3, 1, 1).div_(weight.clamp_min(1e-30))
    torch.where(visible, plane, filled, out=filled)
    torch.where(visible, alpha, weight, out=weight)
    reached = weight > 0
    height, width = alpha.shape[-2:]
    if bool(reached.all()) or height == width == 1:
        return filled
    coarse = F.avg_pool2d(filled * weight, 2, ceil_mode=True, count_include_pad=False)
    weight = F.avg_pool2d(weight, 2, ceil_mode=True, count_include_pad=False)
    coarse = _filled(coarse.div_(weight.clamp_min(1e-30)), weight)
    coarse = F.interpolate(coarse, (height, width), mode="bilinear")
    return torch.where(reached, filled, coarse, out=filled)


def _resized(alpha: Tensor | None, height: int, width: int) -> Tensor | None:
    if alpha is None or alpha.shape[-2:] == (height, width):
        return alpha
    return F.interpolate(alpha, (height, width), mode="bilinear", antialias=True).clamp_(0, 1)


def _samples(planes: Sequence[Tensor], bits: int) -> NDArray[Any]:
    """Planes (H, W) in [0, 1] as one array (H, W, C): uint8 or uint16, clipped and rounded, or float32 as they are."""
    dtype = {8: np.uint8, 16: np.uint16, 32: np.float32}[bits]
    array = np.empty((*planes[0].shape, len(planes)), dtype)
    for channel, plane in enumerate(planes):  # one at a time, so that only one plane is ever held twice
        values = plane.detach().to("cpu", torch.float32)
        if bits < 32:
            values = values.clamp(0, 1).mul_(2**bits - 1).round_()
        array[..., channel] = values.numpy()
    return array


def _array_out(tensor: Tensor, picture: NDArray[Any]) -> NDArray[Any]:
    _check_pixels(tensor, "the tensor")
    pixels = tensor[0].detach().to("cpu", torch.float32)
    count = picture.shape[2] if picture.ndim == 3 else 1
    planes = list(pixels) if count > 2 else [pixels.mean(0)]
    if count in (2, 4):
        alpha = _resized(_planes(picture[..., -1], "the alpha"), *pixels.shape[1:])
        planes.append(cast(Tensor, alpha)[0, 0])
    if picture.dtype.kind == "f":
        array = np.stack([plane.numpy() for plane in planes], -1).astype(picture.dtype)
    else:
        array = _samples(planes, 8 * picture.dtype.itemsize).astype(picture.dtype, copy=False)
    return array if picture.ndim == 3 else array[..., 0]


def _is_pillow(picture: object) -> "TypeGuard[Image.Image]":
    """Whether `picture` is a Pillow image; Pillow is not imported for that: who has an image has imported it."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(picture, pillow.Image)


def _pillow_array(picture: "Image.Image") -> NDArray[Any]:
    """A Pillow image as an array of one to four channels."""
    mode = picture.mode
    clear = mode in ("P", "PA") and (mode == "PA" or "transparency" in picture.info)
    working = {"1": "L", "P": "RGBA" if clear else "RGB", "PA": "RGBA", "CMYK": "RGB"}.get(mode, mode)
    if working not in ("L", "LA", "RGB", "RGBA", "I;16"):
        raise ImageError(f"cannot take a Pillow image of mode {mode}; convert it first: picture.convert('RGB')")
    try:
        return np.asarray(picture if working == mode else picture.convert(working))
    except OSError as error:  # Pillow decodes on first use
        raise ImageError(f"the Pillow image is truncated or damaged ({_why(error)})") from error


def _pillow_out(tensor: Tensor, picture: "Image.Image") -> "Image.Image":
    from PIL import Image

    array = _array_out(tensor, _pillow_array(picture))
    image = Image.fromarray(array)
    if picture.mode == "CMYK":
        image = image.convert("CMYK")
    # A transparent colour key would make holes wherever a restored colour hits it.
    image.info = {key: value for key, value in picture.info.items() if key != "transparency"}
    return image


# --- files ------------------------------------------------------------------------------------------------------------


def _name(path: str | os.PathLike[str]) -> str:
    """The path as one line of text, whatever is in it."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)


def _why(error: Exception) -> str:
    """The reason of an error in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = error.detail or error.message if isinstance(error, pyvips.Error) else str(error)
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)


def _blob(image: pyvips.Image, name: str) -> bytes:
    """A block of bytes among the fields of a pyvips image; empty where there is none."""
    return bytes(image.get(name)) if image.get_typeof(name) else b""


def _decode(data: bytes, kind: str, name: str) -> Photograph:
    """The photograph in the bytes of a file. Raises pyvips.Error where they are no such picture."""
    source = pyvips.Source.new_from_memory(data)
    image = pyvips.Operation.call(f"{_LOADERS[kind]}_source", source, fail_on="error", access="sequential")
    pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
    if image.get_typeof("orientation") and image.get("orientation") > 1:
        image = image.copy_memory().autorot()
    metadata = _metadata(image, data, kind)
    shown = _as_rgb(image)
    if shown is not image:
        metadata = replace(metadata, icc=_blob(shown, "icc-profile-data") if image.interpretation == "cmyk" else b"")
    if shown.format not in _BITS or not 1 <= shown.bands <= 4:
        raise ImageError(
            f"{name}: cannot read {shown.bands} channels of {shown.format}; convert to RGB of 8 or 16 bits"
        )
    planes = _planes(shown.numpy().reshape(shown.height, shown.width, shown.bands), name)
    pixels, alpha = _split(planes)
    return Photograph(
        pixels if alpha is None else _fill(pixels, alpha),
        alpha,
        grey=shown.bands < 3,
        bits=_BITS[shown.format],
        metadata=metadata,
        format=kind,
        pages=pages,
    )


def _as_rgb(image: pyvips.Image) -> pyvips.Image:
    """`image` itself where it is grey or RGB, else converted to sRGB."""
    if image.interpretation == "cmyk":
        return image.icc_transform(
            "srgb",
            embedded=True,
            input_profile="cmyk",
            intent="relative",
            black_point_compensation=True,
            depth=8 if image.format == "uchar" else 16,
        )
    if image.interpretation in ("lab", "labq", "labs", "lch", "xyz", "yxy"):
        return image.colourspace("rgb16")
    return image


def _metadata(image: pyvips.Image, data: bytes, kind: str) -> Metadata:
    """All that the file says beside its pixels, made true for upright pixels without a thumbnail."""
    exif, iptc = _blob(image, "exif-data").removeprefix(b"Exif\0\0"), b""
    if kind == "tiff":
        exif, iptc = _exif_of_tiff(data)
    elif kind == "jpeg":
        iptc = _iptc_of_photoshop(_blob(image, "iptc-data"))
    exif = _tidy_exif(exif)
    dpi = (image.xres * 25.4, image.yres * 25.4)
    if image.xres == 1.0:  # libvips' way to say that the container has no resolution
        dpi = _exif_dpi(exif)
    if not all(1 <= value <= 1e5 for value in dpi):
        dpi = Metadata.dpi
    xmp = _blob(image, "xmp-data")
    xmp = re.sub(rb"(tiff:Orientation(?:=[\"']|>))[2-8]", rb"\g<1>1", xmp)
    chunks = _chunks_of_png(data) if kind == "png" else b""
    icc = _blob(image, "icc-profile-data")
    size = int.from_bytes(icc[:4], "big")
    icc = icc[:size] if 128 < size <= len(icc) else b""  # PNG cannot hold one whose header is wrong about its length
    return Metadata(exif, xmp, iptc, icc, dpi, chunks)


def _encode(photograph: Photograph, kind: str, quality: int) -> bytes:
    """The bytes of the file. Raises pyvips.Error where the format cannot hold the picture."""
    bits = min(photograph.bits, _MOST_BITS[kind])
    pixels, alpha = photograph.pixels[0].detach().float(), photograph.alpha
    planes = [pixels.mean(0)] if photograph.grey else list(pixels)
    if alpha is not None and kind == "jpeg":
        planes = [torch.lerp(torch.ones_like(plane), plane, alpha[0, 0].to(plane)) for plane in planes]
    elif alpha is not None:
        planes.append(alpha[0, 0])
    image = _vips(_samples(planes, bits), photograph.grey).copy(
        xres=photograph.metadata.dpi[0] / 25.4, yres=photograph.metadata.dpi[1] / 25.4
    )
    metadata = replace(photograph.metadata, exif=_sized_exif(photograph.metadata.exif, image.width, image.height))
    keep = "icc|xmp|iptc|other"
    blobs = {"xmp-data": metadata.xmp, "icc-profile-data": metadata.icc}
    if kind == "jpeg" and metadata.iptc:
        blobs["iptc-data"] = _photoshop_of_iptc(metadata.iptc)
    if kind in ("webp", "avif") and metadata.exif:
        keep += "|exif"
        blobs["exif-data"] = b"Exif\0\0" + metadata.exif
    for name, blob in blobs.items():
        if blob:
            image.set_type(pyvips.GValue.blob_type, name, blob)
    if kind in ("webp", "avif") and metadata.icc[16:20] == b"GRAY":
        # These formats hold no grey, so a grey profile would not fit: the values change so that the colours do not.
        image = image.icc_transform("srgb", embedded=True, intent="relative", depth=bits)
    return _saved(image, kind, quality, keep, metadata)


def _vips(array: NDArray[Any], grey: bool) -> pyvips.Image:
    """A pyvips image on an array (H, W, C)."""
    height, width, bands = array.shape
    sort = {np.dtype(np.uint8): "uchar", np.dtype(np.uint16): "ushort", np.dtype(np.float32): "float"}[array.dtype]
    greys = {"uchar": "b-w", "ushort": "grey16", "float": "b-w"}
    colours = {"uchar": "srgb", "ushort": "rgb16", "float": "scrgb"}
    image = pyvips.Image.new_from_memory(array, width, height, bands, sort)
    return image.copy(interpretation=(greys if grey else colours)[sort])


def _saved(image: pyvips.Image, kind: str, quality: int, keep: str, metadata: Metadata) -> bytes:
    """`image` as a file of the format, with the EXIF where libvips would drop or change it."""
    if kind == "jpeg":
        saved = image.jpegsave_buffer(Q=quality, subsample_mode="off", optimize_coding=True, keep=keep)
        return _into_jpeg(saved, metadata.exif, metadata.dpi)
    if kind == "png":
        return _into_png(image.pngsave_buffer(keep=keep), metadata.exif, metadata.chunks)
    if kind == "tiff":
        predictor = "none" if image.format == "float" else "horizontal"  # few readers know the one for floats
        size = image.width * image.height * image.bands * {"uchar": 1, "ushort": 2, "float": 4}[image.format]
        saved = image.tiffsave_buffer(
            compression="deflate", predictor=predictor, resunit="inch", bigtiff=size > 2**31, keep=keep
        )
        return _into_tiff(saved, metadata.exif, metadata.iptc)
    if kind == "webp":
        return bytes(image.webpsave_buffer(Q=quality, keep=keep))
    depth = 8 if image.format == "uchar" else 10
    return bytes(image.heifsave_buffer(Q=quality, bitdepth=depth, compression="av1", subsample_mode="off", keep=keep))


def _replace(target: Path, data: bytes) -> None:
    """Puts `data` in the file `target` in one step; on any failure the target is as before and nothing else is left."""
    target = Path(os.path.realpath(target))  # a link stays a link
    beside = target.with_name(f".pellucid-{secrets.token_hex(6)}.tmp")
    try:
        with open(beside, "xb") as file:
            file.write(data)
        if target.exists():
            os.chmod(beside, target.stat().st_mode)
        os.replace(beside, target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


# --- EXIF and IPTC ----------------------------------------------------------------------------------------------------
# EXIF is a TIFF structure: a table of (tag, type, count, value or where it lies), which points at further tables.
# Values are changed in place, since maker notes hold offsets into the whole: moving anything would break them. Only
# from and to TIFF files, where there is no other way, tables are moved.

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x0112, 0x011A, 0x011B, 0x0128
_THUMBNAIL_START, _THUMBNAIL_SIZE = 0x0201, 0x0202
_EXIF_TABLE, _GPS_TABLE, _INTEROPERABILITY_TABLE, _IPTC = 0x8769, 0x8825, 0xA005, 0x83BB
_PIXELS_ACROSS, _PIXELS_DOWN = 0xA002, 0xA003
# What the first table of a TIFF file says about the photograph, not about how its pixels lie: description, maker,
# model, software, date, artist, computer, ratings, copyright, and the title, comment, author, keywords, subject of
# Windows.
_DESCRIPTIVE = {270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # bytes of each type
_UNITS = {**_SIZES, 5: 4, 10: 4}  # what is swapped between byte orders: a rational is two numbers

_PNG_HEADER = 33  # bytes of a PNG file before its first optional chunk

_Table = dict[int, tuple[int, int, bytes]]
"""The entries of one table by tag: type, count, and the values in little-endian bytes."""


def _order(data: bytes | bytearray) -> str:
    """The byte order of a classic TIFF structure, for struct. Raises struct.error for anything else."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
        raise struct.error("not a TIFF structure")
    return order


def _entries(data: bytes | bytearray, start: int, order: str) -> Iterator[tuple[int, int, int, int]]:
    """The entries (tag, type, count, where the values lie) of the table at `start`, but those that point outside."""
    (count,) = struct.unpack_from(order + "H", data, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(order + "HHL", data, at)
        size = _SIZES.get(kind, 1) * number
        where = at + 8 if size <= 4 else struct.unpack_from(order + "L", data, at + 8)[0]
        if kind in _SIZES and where + size <= len(data):
            yield tag, kind, number, where


def _integer(data: bytes | bytearray, order: str, kind: int, where: int) -> int:
    return int(struct.unpack_from(order + ("H" if kind == 3 else "L"), data, where)[0])


def _integers(data: bytes | bytearray, start: int, order: str) -> dict[int, int]:
    """The first value of each SHORT, LONG and IFD entry in the table at `start`."""
    found = _entries(data, start, order)
    return {
        tag: _integer(data, order, kind, where) for tag, kind, number, where in found if kind in (3, 4, 13) and number
    }


def _set_integers(data: bytearray, start: int, order: str, values: Mapping[int, int]) -> None:
    """Overwrites the entries of the table at `start` that are in `values` and in the table."""
    for tag, kind, number, where in _entries(data, start, order):
        if tag in values and kind in (3, 4) and number:
            struct.pack_into(order + ("H" if kind == 3 else "L"), data, where, values[tag])


def _tidy_exif(exif: bytes) -> bytes:
    """`exif` with orientation 1 and its thumbnail wiped, in place; nothing where it cannot be understood."""
    data = bytearray(exif)
    try:
        order = _order(data)
        (start,) = struct.unpack_from(order + "L", data, 4)
        _set_integers(data, start, order, {_ORIENTATION: 1})
        link = start + 2 + 12 * struct.unpack_from(order + "H", data, start)[0]
        (second,) = struct.unpack_from(order + "L", data, link)
        struct.pack_into(order + "L", data, link, 0)
    except struct.error:
        return b""
    with suppress(struct.error):
        thumbnail = _integers(data, second, order) if second else {}
        at, size = thumbnail.get(_THUMBNAIL_START, 0), thumbnail.get(_THUMBNAIL_SIZE, 0)
        if 8 <= at < len(data):
            data[at : at + size] = bytes(min(size, len(data) - at))  # an old picture must not live on in unused bytes
    return bytes(data)


def _sized_exif(exif: bytes, width: int, height: int) -> bytes:
    """`exif` with the size of the picture, where it tells one."""
    data = bytearray(exif)
    with suppress(struct.error):
        order = _order(data)
        (start,) = struct.unpack_from(order + "L", data, 4)
        tables = _integers(data, start, order)
        if _EXIF_TABLE in tables:
            _set_integers(data, tables[_EXIF_TABLE], order, {_PIXELS_ACROSS: width, _PIXELS_DOWN: height})
    return bytes(data)


def _exif_dpi(exif: bytes) -> tuple[float, float]:
    """The resolution that `exif` tells, or 72 dots per inch."""
    with suppress(struct.error, ZeroDivisionError, KeyError):
        order = _order(exif)
        (start,) = struct.unpack_from(order + "L", exif, 4)
        found = {tag: where for tag, kind, number, where in _entries(exif, start, order) if kind == 5 and number}
        ratios = [struct.unpack_from(order + "LL", exif, found[tag]) for tag in (_X_RESOLUTION, _Y_RESOLUTION)]
        inch = 2.54 if _integers(exif, start, order).get(_RESOLUTION_UNIT) == 3 else 1.0
        across, down = (inch * above / below for above, below in ratios)
        return across, down
    return 72.0, 72.0


def _table(data: bytes, start: int, order: str) -> _Table:
    """The table at `start`, taken out of the structure."""
    table = {}
    for tag, kind, number, where in _entries(data, start, order):
        raw = data[where : where + _SIZES[kind] * number]
        values = np.frombuffer(raw, f"{order}u{_UNITS[kind]}")
        table[tag] = kind, number, values.astype(f"<u{_UNITS[kind]}").tobytes()
    return table


def _exif_tables(data: bytes) -> tuple[_Table, dict[int, _Table]]:
    """The first table of a TIFF structure and the EXIF and GPS tables it points at. Raises struct.error."""
    order = _order(data)
    (start,) = struct.unpack_from(order + "L", data, 4)
    tables = _integers(data, start, order)
    below = {tag: _table(data, tables[tag], order) for tag in (_EXIF_TABLE, _GPS_TABLE) if tag in tables}
    for table in below.values():
        table.pop(_INTEROPERABILITY_TABLE, None)  # points at one more table, which only names the rules it follows
    return _table(data, start, order), below


def _table_bytes(table: _Table, at: int) -> bytes:
    """A table to be put at the even offset `at`: the entries, no next table, the values that do not fit into them."""
    head, tail = struct.pack("<H", len(table)), b""
    behind = at + 2 + 12 * len(table) + 4
    for tag, (kind, number, values) in sorted(table.items()):
        head += struct.pack("<HHL", tag, kind, number)
        if len(values) <= 4:
            head += values.ljust(4, b"\0")
        else:
            head += struct.pack("<L", behind + len(tail))
            tail += values + b"\0" * (len(values) % 2)
    return head + bytes(4) + tail


def _with_tables(data: bytes, first: _Table, below: Mapping[int, _Table]) -> bytes:
    """The little-endian TIFF structure `data` with the tables put behind it, and its header pointing at the first."""
    parts, at = [b"\0" * (len(data) % 2)], len(data) + len(data) % 2
    for tag, table in below.items():
        parts.append(_table_bytes(table, at))
        first = {**first, tag: (4, 1, struct.pack("<L", at))}
        at += len(parts[-1])
    parts.append(_table_bytes(first, at))
    return b"".join([data[:4], struct.pack("<L", at), data[8:], *parts])


def _exif_of_tiff(data: bytes) -> tuple[bytes, bytes]:
    """What a TIFF file says in its EXIF, GPS and descriptive tags, as one EXIF block, and its IPTC."""
    try:
        first, below = _exif_tables(data)
    except struct.error:  # a BigTIFF, for one
        return b"", b""
    said = {tag: entry for tag, entry in first.items() if tag in _DESCRIPTIVE}
    if said.get(270, (0, 0, b""))[2].startswith(b'{"shape"'):
        del said[270]  # tifffile's own description of how the pixels lie
    iptc = first.get(_IPTC, (0, 0, b""))[2]
    return _with_tables(b"II*\0" + bytes(4), said, below) if said or below else b"", iptc


def _into_tiff(saved: bytes, exif: bytes, iptc: bytes) -> bytes:
    """A TIFF file with EXIF and IPTC in it."""
    try:
        first, _ = _exif_tables(saved)
        if not saved.startswith(b"II*\0") or not (exif or iptc):
            return saved
        said, below = _exif_tables(exif) if exif else ({}, {})
    except struct.error:  # a BigTIFF
        return saved
    said = {tag: entry for tag, entry in said.items() if tag in _DESCRIPTIVE}
    if iptc:
        said[_IPTC] = (7, len(iptc), iptc)
    return _with_tables(saved, {**said, **first}, below)


def _into_jpeg(saved: bytes, exif: bytes, dpi: tuple[float, float]) -> bytes:
    """A JPEG file with its resolution and EXIF in it, in the first two segments."""
    across, down = (min(max(round(value), 1), 65535) for value in dpi)
    segments = struct.pack(">HH5sHBHHBB", 0xFFE0, 16, b"JFIF\0", 0x0102, 1, across, down, 0, 0)
    if 0 < len(exif) <= 65535 - 8:  # a segment cannot hold more; in a JPEG from a camera it never is
        segments += struct.pack(">HH6s", 0xFFE1, len(exif) + 8, b"Exif\0\0") + exif
    start = 2
    if saved[2:4] == b"\xff\xe0":
        start = 4 + struct.unpack_from(">H", saved, 4)[0]
    return b"".join([saved[:2], segments, saved[start:]])


def _into_png(saved: bytes, exif: bytes, chunks: bytes) -> bytes:
    """A PNG file with its EXIF and other chunks in it, behind the header."""
    if exif:
        chunks += struct.pack(">L", len(exif)) + b"eXIf" + exif + struct.pack(">L", zlib.crc32(b"eXIf" + exif))
    return b"".join([saved[:_PNG_HEADER], chunks, saved[_PNG_HEADER:]])


def _chunks_of_png(data: bytes) -> bytes:
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


def _iptc_of_photoshop(block: bytes) -> bytes:
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


def _photoshop_of_iptc(iptc: bytes) -> bytes:
    """A Photoshop block with the IPTC records and nothing else: its own thumbnail would be stale."""
    head = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">L", len(iptc))
    return head + iptc + b"\0" * (len(iptc) % 2)
