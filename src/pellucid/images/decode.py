"""From the bytes of a file to a photograph."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyvips
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import ImageError
from pellucid.images import extras
from pellucid.images.alpha import fill_hidden_in_place
from pellucid.images.bitmap import load_bitmap, profile_of_bitmap
from pellucid.images.colour import ADOBE_RGB, colour_of_cicp, colour_of_png, grey_from_rgb, is_linear
from pellucid.images.exif import orientation_of, resolution, says_adobe_rgb, tidied, turned, with_sides_exchanged
from pellucid.images.gif import parts_of_gif
from pellucid.images.isobmff import parts_of_heif
from pellucid.images.jpeg import Piece, parts_of_jpeg, replaced, with_segments_of
from pellucid.images.jxl import parts_of_jxl
from pellucid.images.large_file import Content, LargeFile
from pellucid.images.photograph import Beyond, Coding, Metadata, Photograph
from pellucid.images.photoshop import without_preview
from pellucid.images.png import parts_of_png
from pellucid.images.raw import parts_of_raw
from pellucid.images.tiff import TiffParts, parts_of_tiff
from pellucid.images.tiff_samples import tiff_samples, tifffile_unpacks
from pellucid.images.turning import turned_planes
from pellucid.images.values import check_samples, light_of, planes_of_samples, values_of
from pellucid.images.webp import parts_of_webp
from pellucid.images.xmp import (
    joined_xmp,
    mentions_further,
    orientation_in,
    resized_item,
    turned_depth,
    turned_xmp,
    without_further,
    without_thumbnails,
)
from pellucid.scratch import bands, belongs_on_disk, mapped, on_disk, release, total, zeros_on_disk

__all__ = ["decode", "format_of"]

# What a file is, is decided by its first bytes. Only these loaders of libvips are ever called: no SVG, no PDF, nothing
# that could run code or fetch a file. The others are read by Pillow, or by what an extra brings.
_FORMATS = {
    "jpeg": (rb"\xff\xd8\xff", "jpegload_source"),
    "png": (rb"\x89PNG\r\n\x1a\n", "pngload_source"),
    "tiff": (rb"II[*+]\0|MM\0[*+]", "tiffload_source"),
    "webp": (rb"RIFF....WEBP", "webpload_source"),
    "heic": (rb"....ftyp(hei[cxms]|hev[cxms])", None),
    "raw": (rb"....ftypcrx |FUJIFILMCCD-RAW|IIR[OS]|IIU\0|MMOR|FOVb|\0MRM", None),
    "avif": (rb"....ftyp(avif|avis|mif1|msf1)", "heifload_source"),
    "gif": (rb"GIF8", "gifload_source"),
    "jxl": (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", None),
    "bmp": (rb"BM", None),
}

# The compressions of TIFF that the wheel of libvips can undo; tiles of another it would read as black.
_KNOWN_TO_LIBVIPS = {1, 2, 3, 4, 5, 6, 7, 8, 32946, 32771, 32773, 50001}

# No compression packs more into a byte, but for pictures that are all one colour, and those may still be large.
_MOST_RATIO, _MOST_BYTES = 2000, 2**30

_AT_ONCE = 2**21  # values that are changed at once, where they lie on the disk

# Camera raw files that look like TIFF; what would be read from them is their little preview.
_RAW = {".3fr", ".arw", ".cr2", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".nef", ".nrw", ".pef"}
_RAW |= {".raw", ".rwl", ".sr2", ".srw"}


@dataclass
class _Parts:
    """What was found in a file beside its pixels."""

    metadata: Metadata = field(default_factory=Metadata)
    coding: Coding = field(default_factory=Coding)
    orientation: int = 1
    lost: list[str] = field(default_factory=list)
    pages: int | None = None
    extra: tuple[int, ...] | None = None
    """What the channels beside the colours are, as in TIFF; None where a second or fourth one is alpha."""
    options: dict[str, Any] = field(default_factory=dict)
    """For the loader of libvips."""
    by_tifffile: tuple[int, int] | None = None
    """Page and branch, where libvips cannot read the samples."""
    damage: str = ""
    refused: str = ""
    """Why the picture cannot be read, though nothing is wrong with it."""
    turned: int = 1
    """The orientation that the reader of the pixels has made 1 already; places in the picture have yet to turn."""
    multiplied: bool = False
    """Whether the samples of the colours are multiplied by their alpha."""
    luma_chroma: bool = False
    """Whether the samples are luma and chroma that libvips gives as they are."""


def format_of(data: Content, name: str, suffix: str = "") -> str:
    """The format of the bytes of a file called `name`. Raises `ImageError` where it is none that can be read."""
    for kind, (signature, _) in _FORMATS.items():
        if re.match(signature, data[:64], re.DOTALL):
            if kind == "tiff" and suffix.lower() in _RAW:
                return "raw"
            # Of the brands of HEIF that say nothing about the coding, the others do.
            return (
                "heic"
                if kind == "avif" and b"avi" not in data[8:64] and re.search(rb"he[iv][cxms]", data[8:64])
                else kind
            )
    raise ImageError(f"{name}: not a picture that can be read; known: {', '.join(_FORMATS)}")


def decode(data: Content, kind: str, name: str, memory: int | None = None) -> Photograph:
    """The photograph in the bytes of a file of the format `kind`, called `name`.

    It lies on the disk where it needs more than so many bytes of memory.

    Raises pyvips.Error or UnicodeDecodeError where they are no such picture, `ImageError` where it has channels or
    values that cannot be read.
    """
    parts = _STREAMED[kind](data) if kind in _STREAMED else _FINDERS[kind](bytes(data))
    image = _load(data, kind, name, parts, memory)
    size = image.width * image.height * image.bands * (4 if image.format in ("float", "uint", "int") else 2)
    if size > _MOST_BYTES + _MOST_RATIO * len(data):
        raise ImageError(f"{name}: claims {image.width} x {image.height} pixels, in a file of {len(data)} bytes")
    pages = parts.pages or (image.get("n-pages") if image.get_typeof("n-pages") else 1)
    stored = (image.width, image.height)
    metadata = _upright(_completed(image, parts.metadata, kind), parts, *stored)
    shown = _as_rgb(image)
    if shown is not image:
        metadata = replace(
            metadata, icc=_blob(shown, "icc-profile-data") if image.interpretation == "cmyk" else b"", colour=None
        )
        parts.lost.append(f"{'CMYK' if image.interpretation == 'cmyk' else 'Lab'} colours (they become sRGB)")
    linear = shown is image and is_linear(metadata.icc, metadata.colour)
    disk = belongs_on_disk(image.height, image.width, memory)
    photograph = _photograph(shown, parts, name, linear=linear, disk=disk)
    if metadata.icc[16:20] == b"CMYK":
        metadata = replace(metadata, icc=b"") if shown is image else metadata
    metadata, grey = _fitting_profile(metadata, photograph.grey, parts.lost)
    if pages > 1:
        parts.lost.append(f"the other {pages - 1} of its {pages} {'pages' if kind == 'tiff' else 'pictures'}")
    return replace(
        photograph,
        grey=grey,
        metadata=metadata,
        format=kind,
        pages=pages,
        coding=parts.coding,
        lost=tuple(dict.fromkeys(parts.lost)),
    )


def _load(data: Content, kind: str, name: str, parts: _Parts, memory: int | None) -> pyvips.Image:
    """The picture as libvips holds it."""
    _, loader = _FORMATS[kind]
    if parts.damage:
        raise ImageError(f"{name}: truncated or damaged {kind} ({parts.damage})")
    if parts.refused:
        raise ImageError(f"{name}: {parts.refused}")
    if kind == "bmp":
        return load_bitmap(bytes(data), name)
    if parts.by_tifffile is not None:
        samples = tiff_samples(data, name, *parts.by_tifffile, memory)
        return _with_profile(_vips(samples.array, samples.meaning), parts.metadata.icc)
    if loader is None:
        array, words = extras.LOADERS[kind](bytes(data), name)
        parts.lost += words
        return _vips(array)
    source = data.source() if isinstance(data, LargeFile) else pyvips.Source.new_from_memory(data)
    image = pyvips.Operation.call(loader, source, fail_on="error", access="sequential", **parts.options)
    return _from_luma_chroma(image, name) if parts.luma_chroma else image


def _from_luma_chroma(image: pyvips.Image, name: str) -> pyvips.Image:
    """RGB of luma and chroma of ITU-R BT.601 in the full range, at full resolution."""
    if (image.bands, image.format) != (3, "uchar"):
        raise ImageError(f"{name}: cannot read luma and chroma of {image.bands} channels of {image.format}")
    matrix = [[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]]
    return ((image - [0, 128, 128]).recomb(matrix)).rint().cast("uchar").copy(interpretation="srgb")


def _vips(array: NDArray[Any], meaning: str = "colours") -> pyvips.Image:
    """An array (H, W, C) as a picture of libvips: grey or RGB, `inks` of CMYK, or `lab`."""
    height, width, bands = array.shape
    number = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}[array.dtype.name]
    grey, colour = {"uchar": ("b-w", "srgb"), "ushort": ("grey16", "rgb16"), "float": ("b-w", "scrgb")}[number]
    image = pyvips.Image.new_from_memory(np.ascontiguousarray(array), width, height, bands, number)
    kinds = {"inks": "cmyk", "lab": "lab"}
    return image.copy(interpretation=kinds.get(meaning, grey if bands < 3 else colour))


def _with_profile(image: pyvips.Image, icc: bytes) -> pyvips.Image:
    """A picture with its ICC profile, where it has one."""
    if icc:
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    return image


def _photograph(shown: pyvips.Image, parts: _Parts, name: str, *, linear: bool, disk: bool) -> Photograph:
    """The pixels, alpha and other planes of a grey or RGB picture of libvips, upright."""
    bits = {"uchar": 8, "ushort": 16, "float": 32}.get(shown.format)
    if bits is None:
        raise ImageError(
            f"{name}: cannot read {shown.bands} channels of {shown.format}; convert to RGB of 8 or 16 bits"
        )
    grey_kinds = ("b-w", "grey16")
    colours = 1 if shown.bands < 3 or shown.interpretation in grey_kinds else 3
    extra = parts.extra if parts.extra is not None else (2,) * (shown.bands - colours)
    if parts.extra is not None and shown.bands - len(extra) in (1, 3):
        colours = shown.bands - len(extra)
    extra = (*extra, *(0,) * shown.bands)[: shown.bands - colours]  # a channel of which nothing is said is not alpha
    # libvips puts the bits of AVIF into the upper ones of 16; the others are empty.
    coded = parts.coding.depth or bits
    depth = coded if bits == 16 and 8 < coded < 16 else bits
    planes = _planes(shown, depth, bits - depth, disk=disk)
    if bits == 32:
        check_samples(planes, name)
    planes = turned_planes(planes, parts.orientation)
    pixels = planes[:, :colours]
    place = next((index for index, meaning in enumerate(extra) if meaning in (1, 2)), None)
    alpha = None
    if place is not None:
        stored = planes[:, colours + place][:, None]
        alpha = mapped(lambda part: part.nan_to_num(1).clamp(0, 1), stored)
        if bits == 32 and bool(total(lambda one, other: (one != other).count_nonzero(), alpha, stored)):
            parts.lost.append("alpha outside 0 to 1")
        if parts.multiplied:
            for rows in bands(pixels, alpha):
                part = pixels[..., rows, :]
                part.div_(alpha[..., rows, :].clamp_min(1e-6)).clamp_(0, 1)
    others = [colours + index for index in range(len(extra)) if index != place]
    beyond = _tamed(pixels, alpha, floats=bits == 32, linear=linear)
    return Photograph(
        pixels if colours == 3 else pixels.expand(-1, 3, -1, -1) if disk else pixels.repeat(1, 3, 1, 1),
        alpha,
        grey=colours == 1,
        bits=bits,
        planes=mapped(lambda part: part[:, others], planes) if others else None,
        beyond=beyond,
        linear=linear,
    )


def _planes(shown: pyvips.Image, depth: int, empty: int, *, disk: bool) -> Tensor:
    """The samples of a picture of libvips as planes (1, C, H, W), in memory or, band by band, on the disk."""
    if not disk:
        return planes_of_samples(shown.numpy().reshape(shown.height, shown.width, shown.bands), depth, empty)
    planes = zeros_on_disk(1, shown.bands, shown.height, shown.width)
    region = pyvips.Region.new(shown)
    number = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32}[shown.format]
    for rows in bands(planes, multiple=16):
        count = rows.stop - rows.start
        samples = np.frombuffer(region.fetch(0, rows.start, shown.width, count), number)
        planes[..., rows, :] = planes_of_samples(samples.reshape(count, shown.width, shown.bands), depth, empty)
    return planes


def _tamed(pixels: Tensor, alpha: Tensor | None, *, floats: bool, linear: bool) -> Beyond | None:
    """Makes of the values (1, 1 or 3, H, W) of a file pixels in [0, 1] that can be restored, in place.

    Light becomes the values of a screen; values outside, NaN and hidden colours go. What is needed to undo that is
    returned.
    """
    if alpha is None and not floats and not linear:
        return None

    def wild(values: Tensor, *seen: Tensor) -> Tensor:
        """Where values do not come back by themselves: hidden, outside, or rounded on the way to a screen."""
        places = seen[0] <= 0 if seen else torch.zeros_like(values[:, :1], dtype=torch.bool)
        return places | linear | ~((values >= 0) & (values <= 1)).all(1, keepdim=True) if floats else places

    given = () if alpha is None else (alpha,)
    places = mapped(wild, pixels, *given)[0, 0]
    before = _picked(pixels, places)
    if floats:
        known = mapped(lambda part: (~part.isnan().any(1, keepdim=True)).float(), pixels)
        for rows in bands(pixels):
            pixels[..., rows, :].nan_to_num_(0, 1, 0)
        fill_hidden_in_place(pixels, known)
        for rows in bands(pixels):
            pixels[..., rows, :].clamp_(0, 1)
    if alpha is not None:
        fill_hidden_in_place(pixels, alpha)
    found = None if linear and floats else _picked(pixels, places)
    if linear:
        for rows in bands(pixels):
            pixels[..., rows, :] = values_of(pixels[..., rows, :])
    # Of integers rounding takes care of the way to the screen and back.
    values = _less(before, _picked(pixels, places, light_of) if found is None else found)
    return None if values is None else Beyond(places, values)


def _picked(pixels: Tensor, places: Tensor, function: Callable[[Tensor], Tensor] = lambda part: part) -> Tensor:
    """The values (C, N) of `function(pixels)`, (1, C, H, W), where `places` (H, W) is true, row by row."""
    if not on_disk(pixels):
        return function(pixels)[0][:, places]
    picked, at = zeros_on_disk(pixels.shape[1], int(total(torch.count_nonzero, places))), 0
    for rows in bands(pixels, places):
        some = function(pixels[..., rows, :])[0][:, places[rows]]
        picked[:, at : at + some.shape[1]] = some
        at += some.shape[1]
        release(picked)
    return picked


def _less(values: Tensor, others: Tensor) -> Tensor | None:
    """What is left of (C, N) values less others, in place; None where nothing is."""
    left = False
    for at in range(0, values.shape[1], _AT_ONCE):
        part = values[:, at : at + _AT_ONCE].sub_(others[:, at : at + _AT_ONCE])
        left = left or bool((part != 0).any())
        release(values, others)
    return values if left else None


def _as_rgb(image: pyvips.Image) -> pyvips.Image:
    """`image` itself where it is grey or RGB, else converted to sRGB; channels beside the colours stay as they are."""
    inks = image.interpretation == "cmyk"
    if not inks and image.interpretation not in ("lab", "labq", "labs", "lch", "xyz", "yxy"):
        return image
    count = 4 if inks else 3
    colours = image[:count].copy(interpretation=image.interpretation) if image.bands > count else image
    if inks:
        colours = colours.icc_transform(
            "srgb",
            embedded=True,
            input_profile="cmyk",
            intent="relative",
            black_point_compensation=True,
            depth=8 if image.format == "uchar" else 16,
        )
    else:
        colours = colours.colourspace("rgb16")
    return colours.bandjoin(image[count:].cast(colours.format)) if image.bands > count else colours


def _completed(image: pyvips.Image, metadata: Metadata, kind: str) -> Metadata:
    """The metadata with what the pixels' own reader knows: profile and resolution."""
    icc = metadata.icc or _blob(image, "icc-profile-data")
    size = int.from_bytes(icc[:4], "big")
    icc = icc[:size] if 128 < size <= len(icc) else b""  # PNG cannot hold one whose header is wrong about its length
    dpi = metadata.dpi or resolution(metadata.exif)
    if kind == "bmp":
        dpi = (image.xres * 25.4, image.yres * 25.4)
    if dpi is None or not all(1 <= value <= 1e5 for value in dpi):
        dpi = None
    colour = metadata.colour
    if kind == "png":
        colour = colour_of_png(metadata.chunks, icc=bool(icc))
    elif icc:
        colour = None
    elif colour is None and says_adobe_rgb(metadata.exif):
        colour = ADOBE_RGB
    return replace(metadata, icc=icc, dpi=dpi, colour=colour)


def _upright(metadata: Metadata, parts: _Parts, width: int, height: int) -> Metadata:
    """The metadata made true for upright pixels without a thumbnail; the picture lay `width` x `height`."""
    orientation = parts.orientation
    if parts.turned > 1 and parts.turned == (orientation_of(metadata.exif) or orientation_in(metadata.xmp)):
        orientation = parts.turned  # else nobody knows whether its places are of the picture before or after
        width, height = (height, width) if orientation > 4 else (width, height)
    exif = turned(tidied(metadata.exif), orientation, width, height)
    if metadata.exif and not exif:
        parts.lost.append("damaged EXIF")
    xmp = without_thumbnails(turned_xmp(metadata.xmp, orientation, width, height))
    if orientation > 1:
        xmp = turned_depth(xmp, lambda picture: _turned_picture(picture, orientation))
    pieces = []
    for piece in metadata.pieces:
        if parts.orientation > 1 and piece.data.startswith(b"\xff\xd8"):
            piece = _turned_piece(piece, parts.orientation)
            if piece.kind == "gain map":
                xmp = resized_item(xmp, b"GainMap", piece.size)
        pieces.append(piece)
    dpi, shape = metadata.dpi, metadata.shape
    if orientation > 4:
        dpi, shape, exif = dpi and dpi[::-1], shape and shape[::-1], with_sides_exchanged(exif)
    iptc = without_preview(metadata.iptc)
    return replace(metadata, exif=exif, xmp=xmp, iptc=iptc, pieces=tuple(pieces), dpi=dpi, shape=shape)


def _turned_piece(piece: Piece, orientation: int) -> Piece:
    """A further picture, turned like the first one; as it was where it cannot be read."""
    picture = piece.data[: piece.size]
    turned = _turned_picture(picture, orientation)
    return piece if turned is picture else replaced(piece, with_segments_of(turned, picture))


def _turned_picture(data: bytes, orientation: int) -> bytes:
    """A JPEG or PNG file turned upright; as it was where it cannot be read."""
    png = data.startswith(b"\x89PNG")
    try:
        image = (pyvips.Image.pngload_buffer if png else pyvips.Image.jpegload_buffer)(data).copy_memory()
        image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
        if png:
            return bytes(image.autorot().pngsave_buffer(keep="none"))
        return bytes(image.autorot().jpegsave_buffer(Q=95, subsample_mode="off", keep="none"))
    except pyvips.Error:
        return data


def _fitting_profile(metadata: Metadata, grey: bool, lost: list[str]) -> tuple[Metadata, bool]:
    """The metadata with a profile that fits the number of channels, and whether the picture stays grey."""
    space = metadata.icc[16:20]
    if grey and space == b"RGB ":
        curves = grey_from_rgb(metadata.icc)
        return (replace(metadata, icc=curves), True) if curves else (metadata, False)
    if metadata.icc and space != (b"GRAY" if grey else b"RGB "):
        lost.append(f"an ICC profile for {space.decode('latin-1').strip()}, which does not fit the channels")
        return replace(metadata, icc=b""), grey
    return metadata, grey


def _find_in_jpeg(data: Content) -> _Parts:
    found = parts_of_jpeg(data)
    xmp = joined_xmp(found.xmp, found.long_xmp) if found.long_xmp else found.xmp
    lost = list(found.unread)
    if not found.pieces and mentions_further(xmp):
        lost.append("what the XMP says of a gain map or a video, for there is none in the file")
        xmp = without_further(xmp)
    metadata = Metadata(
        exif=found.exif,
        xmp=xmp,
        iptc=found.iptc,
        icc=found.icc,
        resources=found.resources,
        comments=found.comments,
        segments=found.segments,
        pieces=found.pieces,
        listing=found.listing,
        dpi=found.density,
        shape=found.shape,
    )
    coding = Coding(tables=found.tables, sampling=found.sampling, progressive=found.progressive)
    return _Parts(metadata, coding, orientation_of(found.exif) or orientation_in(found.xmp), lost, pages=1)


def _find_in_png(data: Content) -> _Parts:
    found = parts_of_png(data)
    metadata = Metadata(
        exif=found.exif,
        xmp=found.xmp,
        iptc=found.iptc,
        icc=found.icc,
        dpi=found.dpi,
        shape=found.shape,
        chunks=found.chunks,
        resources=found.resources,
    )
    return _Parts(
        metadata,
        Coding(lossless=True),
        orientation_of(found.exif) or orientation_in(found.xmp),
        list(found.unread),
        found.frames,
    )


def _find_in_tiff(data: Content) -> _Parts:
    found = parts_of_tiff(data)
    metadata = Metadata(
        exif=found.exif,
        xmp=found.xmp,
        iptc=found.iptc,
        icc=found.icc,
        dpi=found.dpi,
        shape=found.shape,
        resources=found.resources,
        colour=found.colour,
    )
    options = {"page": found.page} | ({"subifd": found.branch} if found.branch >= 0 else {})
    parts = _Parts(
        metadata,
        Coding(lossless=True, extra=found.extra),
        found.orientation,
        list(found.unread),
        found.pages,
        found.extra,
        options,
    )
    parts.damage = found.damage
    parts.refused = _refused(found)
    parts.luma_chroma = found.photometric == 6 and found.compression not in (6, 7)
    unknown = found.compression not in _KNOWN_TO_LIBVIPS
    # Of grey channels one after the other libvips takes later rows for earlier ones; colours that are multiplied by
    # their alpha it does not round.
    apart = found.planar and found.photometric in (0, 1) and bool(found.extra)
    rounded = 1 in found.extra and (len(found.extra) > 1 or tifffile_unpacks(found.compression))
    # Halves of a float one channel after the other it takes for something else, and it knows little of L*a*b*.
    halves = found.planar and found.samples == (16, 3)
    plain = found.samples != (8, 1) and not found.extra and not found.planar
    lab = found.photometric == 9 or (found.photometric == 8 and not plain)
    apart |= found.planar and (found.tiled or parts.luma_chroma)
    packed = (
        found.samples[1] == 1
        and found.samples[0] not in (1, 8, 16)
        and not (found.photometric in (0, 1, 3) and found.samples[0] in (2, 4) and not found.extra)
    )
    floats = found.samples[1] == 3 and found.samples[0] not in (16, 32)
    if apart or unknown or rounded or halves or lab or packed or floats:
        parts.by_tifffile = (found.page, found.branch)
        parts.luma_chroma = False
        words = {(64, 3): "64-bit floating values (32 bits are kept)", (32, 1): "32-bit integers (16 bits are kept)"}
        parts.lost += [words[found.samples]] if found.samples in words else []
    return parts


def _refused(found: TiffParts) -> str:
    """Why libvips or tifffile would take a TIFF for what it is not; empty where they know it."""
    if found.photometric in (32803, 34892):
        return "holds what a sensor measured, not yet a picture; camera raw files need their own suffix, such as .dng"
    if found.photometric not in (0, 1, 2, 3, 5, 6, 8, 9, 32844, 32845):
        return f"cannot read a TIFF of the photometric interpretation {found.photometric}"
    if found.photometric == 5 and found.inks != 4:
        return f"cannot read a picture of {found.inks} inks; convert it to RGB or CMYK"
    return ""


def _find_in_webp(data: bytes) -> _Parts:
    found = parts_of_webp(data)
    metadata = Metadata(exif=found.exif, xmp=found.xmp)
    return _Parts(
        metadata,
        Coding(lossless=found.lossless),
        orientation_of(found.exif) or orientation_in(found.xmp),
        list(found.unread),
    )


def _find_in_heif(data: bytes) -> _Parts:
    found = parts_of_heif(data)
    metadata = Metadata(exif=found.exif, xmp=found.xmp, icc=found.icc)
    lost = list(found.unread)
    if found.cicp is not None and not found.icc:
        metadata = replace(metadata, colour=colour_of_cicp(found.cicp))
        if metadata.colour is None:
            lost.append(f"colours with the numbers {found.cicp} of H.273, which are not known")
    numbers = found.cicp if found.icc else None
    coding = Coding(lossless=found.lossless, depth=found.depth, sampling=found.sampling, numbers=numbers)
    return _Parts(
        metadata, coding, turned=found.orientation, lost=lost, pages=found.pictures, multiplied=found.multiplied
    )


def _find_in_gif(data: bytes) -> _Parts:
    found = parts_of_gif(data)
    return _Parts(Metadata(xmp=found.xmp, icc=found.icc, comments=found.comments))


def _find_in_bmp(data: bytes) -> _Parts:
    return _Parts(Metadata(icc=profile_of_bitmap(data)))


def _find_in_raw(data: bytes) -> _Parts:
    found = parts_of_raw(data)
    metadata = Metadata(exif=found.exif, xmp=found.xmp, iptc=found.iptc)
    return _Parts(metadata, pages=1, lost=list(found.unread))  # LibRaw turns the picture upright


def _find_in_jxl(data: bytes) -> _Parts:
    found = parts_of_jxl(data, extras.without_brotli)
    metadata = Metadata(exif=found.exif, xmp=found.xmp, colour=found.colour)
    turned, multiplied = found.orientation, found.multiplied
    return _Parts(metadata, Coding(), turned=turned, multiplied=multiplied, lost=list(found.unread), pages=1)


# The first need not be in memory as a whole.
_STREAMED: dict[str, Callable[[Content], _Parts]] = {
    "jpeg": _find_in_jpeg,
    "png": _find_in_png,
    "tiff": _find_in_tiff,
}
_FINDERS: dict[str, Callable[[bytes], _Parts]] = {
    "webp": _find_in_webp,
    "avif": _find_in_heif,
    "heic": _find_in_heif,
    "gif": _find_in_gif,
    "bmp": _find_in_bmp,
    "raw": _find_in_raw,
    "jxl": _find_in_jxl,
}


def _blob(image: pyvips.Image, name: str) -> bytes:
    """A block of bytes among the fields of a pyvips image; empty where there is none."""
    return bytes(image.get(name)) if image.get_typeof(name) else b""
