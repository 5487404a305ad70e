"""From a photograph to the bytes of a file, and what could not go into it."""

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from threading import Lock
from typing import Any

import numpy as np
import pyvips
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFile
from torch import Tensor

from pellucid.images.bitmap import save_bitmap
from pellucid.images.colour import profile_of, rgb_from_grey, with_srgb_curve
from pellucid.images.exif import fitted, sized, with_resolution
from pellucid.images.isobmff import into_heif
from pellucid.images.jpeg import MOST_EXIF, MOST_XMP, JpegParts, into_jpeg
from pellucid.images.photograph import Beyond, Metadata, Photograph
from pellucid.images.photoshop import resources_with_iptc
from pellucid.images.png import chunk, into_png, text_profile, texts_of
from pellucid.images.tiff import tiff_file
from pellucid.images.values import array_of_planes, light_of
from pellucid.images.webp import into_webp
from pellucid.images.xmp import sized_xmp, split_xmp, with_guid, without_further

__all__ = ["encode"]

_MOST_BITS = {"bmp": 8, "jpeg": 8, "png": 16, "tiff": 32, "webp": 8, "avif": 16}
_LEAST_QUALITY = 90
"""Of JPEG, where the photograph was one: what the restoration has brought back should not be coded away again."""
_QUALITY = 95
_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
"""The luma table of ITU-T T.81, K.1, which the usual quality of 1 to 100 scales."""

Encoded = tuple[bytes, list[str]]


@dataclass(frozen=True)
class _Job:
    """A photograph on its way into a file."""

    photograph: Photograph
    array: NDArray[Any]
    """(H, W, C) of uint8, uint16 or float32: grey or RGB, alpha if there is one, other planes."""
    channels: int
    """Of grey or RGB, and alpha."""
    metadata: Metadata
    quality: int | None

    @property
    def alpha(self) -> bool:
        return self.channels in (2, 4)

    @property
    def picture(self) -> pyvips.Image:
        """Grey or RGB and alpha for libvips, with the resolution and the profile."""
        array = np.ascontiguousarray(self.array[..., : self.channels])
        height, width, bands = array.shape
        deep = array.dtype.itemsize == 2
        names = ("grey16", "rgb16") if deep else ("b-w", "srgb")
        across, down = self.metadata.dpi or (72.0, 72.0)
        image = pyvips.Image.new_from_memory(array, width, height, bands, "ushort" if deep else "uchar").copy(
            interpretation=names[bands > 2], xres=across / 25.4, yres=down / 25.4
        )
        if self.metadata.icc:
            image.set_type(pyvips.GValue.blob_type, "icc-profile-data", self.metadata.icc)
        return image


def encode(photograph: Photograph, kind: str, quality: int | None) -> Encoded:
    """The bytes of the file in the format `kind`, and what could not go into it, in words.

    Raises pyvips.Error, OSError or ValueError where the format cannot hold the picture.
    """
    lost: list[str] = []
    if photograph.linear and kind in ("jpeg", "webp", "avif") and kind != photograph.format:
        photograph = _for_screens(photograph, kind)  # eight bits of light would show steps in the dark
        lost += photograph.lost
    bits = min(photograph.bits, _MOST_BITS[kind])
    planes = _planes(photograph, kind, lost)
    channels = len(planes) - (0 if photograph.planes is None or kind != "tiff" else photograph.planes.shape[1])
    array = array_of_planes(planes, bits)
    if photograph.beyond is not None:
        lost += photograph.beyond_words() if bits < 32 else []
        if photograph.alpha is None or kind not in ("bmp", "jpeg"):
            _add(photograph.beyond, array, planes[: 1 if photograph.grey else 3], bits)
    metadata, coding = photograph.metadata, photograph.coding
    height, width = array.shape[:2]
    further = bool(metadata.pieces) and kind != "jpeg"
    if further:
        lost += [piece.kind for piece in metadata.pieces]
        metadata = replace(metadata, xmp=without_further(metadata.xmp), pieces=())
    metadata = replace(metadata, exif=sized(metadata.exif, width, height), xmp=sized_xmp(metadata.xmp, width, height))
    if kind in ("webp", "avif") and metadata.dpi is not None:
        exif, words = with_resolution(metadata.exif, metadata.dpi)
        metadata = replace(metadata, exif=exif)
        lost += words
    metadata = _with_profile(metadata, photograph, kind, lost)
    had, kept = coding.depth or photograph.bits, _depth_of_avif(photograph) if kind == "avif" else bits
    if kept < had:
        lost.append(f"{had} bits in a value ({kept} are kept)")
    data, more = _ENCODERS[kind](_Job(photograph, array, channels, metadata, quality))
    return data, list(dict.fromkeys([*lost, *more, *_homeless(metadata, kind)]))


def _for_screens(photograph: Photograph, kind: str) -> Photograph:
    """A photograph that holds light as one that holds the values of its pixels, with the same look."""
    metadata, words = photograph.metadata, photograph.beyond_words()
    if metadata.icc:
        metadata = replace(metadata, icc=with_srgb_curve(metadata.icc))
    elif metadata.colour is not None:
        cicp = metadata.colour.cicp
        colour = replace(metadata.colour, transfer="srgb", cicp=cicp and (cicp[0], 13, cicp[2], cicp[3]))
        if kind == "avif" and cicp:
            metadata = replace(metadata, colour=colour)
        else:
            metadata = replace(metadata, icc=profile_of(colour, grey=photograph.grey and kind == "jpeg"))
    return replace(photograph, metadata=metadata, linear=False, beyond=None, lost=tuple(words))


def _planes(photograph: Photograph, kind: str, lost: list[str]) -> list[Tensor]:
    """The channels to be written; over white where the format has no alpha."""
    pixels, alpha = photograph.pixels[0].detach().float().cpu(), photograph.alpha
    if photograph.linear:
        pixels = light_of(pixels.clamp(0, 1))
    planes = [pixels[0] if _equal(pixels) else pixels.mean(0)] if photograph.grey else list(pixels)
    if alpha is not None and kind in ("bmp", "jpeg"):
        planes = [torch.lerp(torch.ones_like(plane), plane, alpha[0, 0].to(plane)) for plane in planes]
        if bool((alpha < 1).any()):
            lost.append("transparency (laid over white)")
    elif alpha is not None:
        planes.append(alpha[0, 0])
    if photograph.planes is not None:
        if kind == "tiff":
            planes += list(photograph.planes[0])
        else:
            lost.append(
                f"{photograph.planes.shape[1]} channels beside colour and alpha"
                if photograph.planes.shape[1] > 1
                else "a channel beside colour and alpha"
            )
    return planes


def _add(beyond: Beyond, array: NDArray[Any], planes: list[Tensor], bits: int) -> None:
    """Adds what lies beyond the pixels to the samples of the colours, made of these planes; to integers only what is a
    number."""
    places, colours = beyond.places.numpy(), len(planes)
    for channel, values in enumerate(beyond.values[:colours].expand(colours, -1)):
        plane = planes[channel][beyond.places]
        whole = plane + values if bits == 32 else torch.where(values.isfinite(), plane + values, plane)
        array[places, channel] = array_of_planes([whole], bits)[..., 0]


def _equal(pixels: Tensor) -> bool:
    """Whether the channels (3, H, W) are the same: the mean of three would round."""
    return torch.equal(pixels[0], pixels[1]) and torch.equal(pixels[0], pixels[2])


def _with_profile(metadata: Metadata, photograph: Photograph, kind: str, lost: list[str]) -> Metadata:
    """The metadata with an ICC profile where the format has no other way to say what the colours mean."""
    colour, icc = metadata.colour, metadata.icc
    grey = photograph.grey and kind in ("jpeg", "png", "tiff", "bmp")
    if photograph.grey and not grey and icc[16:20] == b"GRAY":
        icc = rgb_from_grey(icc)
        if not icc:
            lost.append("the ICC profile for grey")
    native = (
        (kind == "png" and photograph.format == "png")
        or (kind in ("png", "avif") and colour is not None and colour.cicp is not None and not icc)
        or (kind == "jpeg" and photograph.format == "jpeg")
    )
    if colour is not None and not icc and not native and not colour.is_srgb:
        if kind != "bmp":
            icc = profile_of(colour, grey=grey)
        if colour.is_hdr:
            lost.append(f"the brightest part of {str(colour.transfer).upper()} (the profile ends at white)")
    if kind == "bmp" and (icc or (colour is not None and not colour.is_srgb)):
        lost.append("the ICC profile")
    return replace(metadata, icc=icc)


def _homeless(metadata: Metadata, kind: str) -> list[str]:
    """What of the metadata the format has no place for."""
    lost = []
    if kind == "bmp":
        names = {"EXIF": metadata.exif, "XMP": metadata.xmp}
        lost += [name for name, blob in names.items() if blob]
    if kind in ("bmp", "webp", "avif"):
        names = {"IPTC": metadata.iptc, "Photoshop's clipping paths and flags": metadata.resources}
        lost += [name for name, blob in names.items() if blob]
    if kind not in ("jpeg", "png") and not all(_said(comment, metadata) for comment in metadata.comments):
        lost.append("the comment")
    if metadata.segments and kind != "jpeg":
        names_ = (
            f"APP{marker - 0xE0} ({body.split(bytes(1))[0][:20].decode('latin-1')})"
            for marker, body in metadata.segments
        )
        lost += [f"JPEG segment {name}" if name.isprintable() else "a JPEG segment" for name in names_]
    if metadata.chunks and kind != "png":
        words = [
            name
            for name, text in texts_of(metadata.chunks)
            if (kind != "jpeg" or name != "Comment") and not _said(text, metadata)
        ]
        lost += [f"PNG texts ({', '.join(dict.fromkeys(words))})"] if words else []
    return lost


def _said(text: bytes, metadata: Metadata) -> bool:
    """Whether a text is in the EXIF or the XMP, too."""
    text = text.strip(b"\0 ")
    return len(text) > 2 and (text in metadata.exif or text in metadata.xmp)


def _jpeg(job: _Job) -> Encoded:
    lost: list[str] = []
    metadata, coding = job.metadata, job.photograph.coding
    array = job.array[..., 0] if job.channels == 1 else job.array[..., :3]
    options: dict[str, Any] = {"quality": job.quality or _QUALITY}
    if job.quality is None and coding.tables:
        options["quality"] = max(_LEAST_QUALITY, _quality_of(coding.tables[0]))
        if _quality_of(coding.tables[0]) >= _LEAST_QUALITY:
            options = {"qtables": [list(table) for table in coding.tables]}
    if job.channels > 2:
        options["subsampling"] = coding.sampling or "4:4:4"
    coded = _coded(np.ascontiguousarray(array), progressive=coding.progressive, **options)
    exif, dropped = fitted(metadata.exif, MOST_EXIF)
    lost += [f"{name} (it does not fit into a JPEG)" for name in dropped]
    xmp = split_xmp(metadata.xmp, MOST_XMP)
    if xmp is None:
        lost.append("XMP (it does not fit into a JPEG)")
    main, extension = xmp or (b"", b"")
    if extension:
        main = with_guid(main, hashlib.md5(extension, usedforsecurity=False).hexdigest().upper().encode())
    comments = metadata.comments
    if metadata.chunks:
        comments += tuple(text for keyword, text in texts_of(metadata.chunks) if keyword == "Comment" and text)
    parts = JpegParts(
        iptc=metadata.iptc,
        resources=metadata.resources,
        comments=comments,
        segments=metadata.segments,
        pieces=metadata.pieces,
    )
    return into_jpeg(coded, metadata.dpi, exif, (main, extension), metadata.icc, parts), lost


_coding = Lock()


def _coded(array: NDArray[Any], **options: Any) -> bytes:
    """A JPEG file of the array, with Huffman tables of its own."""
    buffer = BytesIO()
    with _coding:
        usual = ImageFile.MAXBLOCK
        try:
            # Pillow guesses how much room the whole file needs, and fails where that is too little, as for noise.
            ImageFile.MAXBLOCK = max(usual, 2 * array.nbytes + 2**16)
            Image.fromarray(array).save(buffer, "JPEG", optimize=True, **options)
        finally:
            ImageFile.MAXBLOCK = usual
    return buffer.getvalue()


def _quality_of(table: tuple[int, ...]) -> int:
    """The quality, 1 to 100, that the usual luma table has to be scaled by to come near this one (libjpeg's rule)."""
    percent = 100 * sum(table) / float(_LUMA.sum())
    return round(min(max(100 - percent / 2 if percent <= 100 else 5000 / percent, 1), 100))


def _png(job: _Job) -> Encoded:
    metadata = job.metadata
    chunks = metadata.chunks
    if (
        metadata.colour is not None
        and metadata.colour.cicp is not None
        and job.photograph.format != "png"
        and not metadata.icc
    ):
        primaries, transfer, _, full = metadata.colour.cicp
        chunks = chunk(b"cICP", bytes((primaries, transfer, 0, full or 1))) + chunks
    if metadata.exif:
        chunks += chunk(b"eXIf", metadata.exif)
    resources = resources_with_iptc(metadata.resources, metadata.iptc)
    if resources:
        chunks += text_profile(b"iptc", resources)
    for comment in metadata.comments:
        chunks += chunk(b"tEXt", b"Comment\0" + comment.rstrip(b"\0"))
    if metadata.xmp:
        chunks += chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)
    if metadata.dpi is not None:
        across, down = (min(round(value / 0.0254), 2**32 - 1) for value in metadata.dpi)
        chunks += chunk(b"pHYs", struct.pack(">LLB", across, down, 1))
    return into_png(job.picture.pngsave_buffer(keep="icc"), chunks), []


def _tiff(job: _Job) -> Encoded:
    metadata, grey = job.metadata, job.channels < 3
    array, extra = _as_channels_were(job)
    return tiff_file(
        array,
        grey=grey,
        extra=extra,
        dpi=metadata.dpi,
        exif=metadata.exif,
        xmp=metadata.xmp,
        icc=metadata.icc,
        iptc=metadata.iptc,
        resources=metadata.resources,
    )


def _as_channels_were(job: _Job) -> tuple[NDArray[Any], tuple[int, ...]]:
    """The samples, and what the channels beside the colours are: in the order of the TIFF file they are from, and
    multiplied by the alpha where they were."""
    colours = job.channels - job.alpha
    usual = ((2,) if job.alpha else ()) + (0,) * (job.array.shape[2] - job.channels)
    extra = job.photograph.coding.extra
    place = next((index for index, meaning in enumerate(extra) if meaning in (1, 2)), None)
    if job.photograph.format != "tiff" or len(extra) != len(usual) or (place is None) == job.alpha:
        return job.array, usual
    if place is None:
        return job.array, extra
    others = iter(range(colours + 1, job.array.shape[2]))
    order = [*range(colours), *(colours if index == place else next(others) for index in range(len(extra)))]
    array = job.array[..., order]
    if extra[place] == 1:
        most = 1.0 if array.dtype.kind == "f" else float(np.iinfo(array.dtype).max)
        laid = array[..., :colours] * (array[..., colours + place, None] / most)
        array[..., :colours] = laid if array.dtype.kind == "f" else np.rint(laid)
    return array, extra


def _webp(job: _Job) -> Encoded:
    metadata = job.metadata
    lossless = job.photograph.coding.lossless and job.photograph.format == "webp" and job.quality is None
    options = {"lossless": True, "exact": True} if lossless else {"Q": job.quality or _QUALITY}
    saved = bytes(job.picture.webpsave_buffer(keep="none", **options))
    height, width = job.array.shape[:2]
    return into_webp(saved, metadata.exif, metadata.xmp, metadata.icc, width, height, alpha=job.alpha), []


def _avif(job: _Job) -> Encoded:
    metadata, coding = job.metadata, job.photograph.coding
    follows = job.photograph.format in ("avif", "heic")
    depth = _depth_of_avif(job.photograph)
    lossless = follows and coding.lossless and job.quality is None
    image = job.picture
    if depth > 8:  # libvips takes the upper bits only, and does not round
        scaled = np.rint(job.array[..., : job.channels] * ((2**depth - 1) / 65535)).astype(np.uint16) << (16 - depth)
        image = replace(job, array=scaled).picture
    subsampled = follows and coding.sampling in ("4:2:0", "4:2:2") and not lossless
    saved = bytes(
        image.heifsave_buffer(
            Q=job.quality or _QUALITY,
            lossless=lossless,
            bitdepth=depth,
            compression="av1",
            subsample_mode="on" if subsampled else "off",
            keep="icc",
        )
    )
    colour = metadata.colour
    cicp = colour.cicp if colour is not None and not metadata.icc else None
    return into_heif(saved, metadata.exif, metadata.xmp, cicp), []


def _depth_of_avif(photograph: Photograph) -> int:
    """Bits of a value in AVIF: those of the source where it was one, else 10 for what has more than 8."""
    if photograph.bits == 8:
        return 8
    return max(photograph.coding.depth, 10) if photograph.format in ("avif", "heic") else 10


def _bmp(job: _Job) -> Encoded:
    return save_bitmap(job.picture), []


_ENCODERS: Mapping[str, Callable[[_Job], Encoded]] = {
    "jpeg": _jpeg,
    "png": _png,
    "tiff": _tiff,
    "webp": _webp,
    "avif": _avif,
    "bmp": _bmp,
}
