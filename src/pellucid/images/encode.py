"""From a photograph to the bytes of a file, and what could not go into it."""

import hashlib
import shutil
import struct
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image, ImageFile

from pellucid.images.bitmap import save_bitmap
from pellucid.images.colour import agrees, profile_of, rgb_from_grey, with_srgb_curve
from pellucid.images.exif import fitted, sized, with_resolution
from pellucid.images.isobmff import into_heif
from pellucid.images.jpeg import MOST_EXIF, MOST_XMP, JpegParts, into_jpeg
from pellucid.images.photograph import Metadata, Photograph
from pellucid.images.photoshop import resources_with_iptc
from pellucid.images.png import chunk, into_png, text_profile, texts_of
from pellucid.images.samples import Samples
from pellucid.images.streamed import MOST_OF_SIDE, jpeg_in_bands, png_in_bands
from pellucid.images.tiff import tiff_file
from pellucid.images.webp import into_webp
from pellucid.images.xmp import sized_xmp, split_xmp, with_guid, without_further
from pellucid.scratch import temporary_file

__all__ = ["Data", "encode"]

_MOST_BITS = {"bmp": 8, "jpeg": 8, "png": 16, "tiff": 32, "webp": 8, "avif": 16}
_LEAST_QUALITY = 90
"""Of JPEG, where the photograph was one: what the restoration has brought back should not be coded away again."""
_QUALITY = 95
_BRIGHTER = {16: "PQ", 18: "HLG"}
"""Transfers, by the numbers of H.273, whose brightest value is brighter than white."""
_COPIES = 4
"""Of all samples, that libraries hold which code a picture as a whole, about."""
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

Data = bytes | Callable[[BinaryIO], None]
"""The bytes of a file, or what writes them into one that is open at its beginning."""
Encoded = tuple[Data, list[str]]


@dataclass(frozen=True)
class _Job:
    """A photograph on its way into a file."""

    photograph: Photograph
    samples: Samples
    metadata: Metadata
    quality: int | None

    @property
    def channels(self) -> int:
        """Of grey or RGB, and alpha."""
        return self.samples.channels

    @property
    def picture(self) -> pyvips.Image:
        """Grey or RGB and alpha for libvips, with the resolution and the profile."""
        return self.picture_of(self.samples.whole)

    def picture_of(self, array: NDArray[Any]) -> pyvips.Image:
        """The same of other samples."""
        array = np.ascontiguousarray(array[..., : self.channels])
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
    """The bytes of the file in the format `kind`, or what writes them, and what could not go into it, in words.

    A photograph that lies on the disk is coded band by band as JPEG, PNG and TIFF; other formats need all of it.

    Raises pyvips.Error, OSError or ValueError where the format cannot hold the picture.
    """
    lost: list[str] = []
    if photograph.linear and kind in ("jpeg", "webp", "avif") and kind != photograph.format:
        photograph = _for_screens(photograph, kind)  # eight bits of light would show steps in the dark
        lost += photograph.lost
    bits = min(photograph.bits, _MOST_BITS[kind])
    samples = _samples(photograph, kind, bits, lost)
    if photograph.beyond is not None:
        lost += photograph.beyond_words() if bits < 32 else []
    if samples.streamed and kind not in ("jpeg", "png", "tiff"):
        size = samples.nbytes * _COPIES / 2**30
        warnings.warn(f"{kind} is coded as a whole, which takes about {size:.2g} GB of memory", stacklevel=3)
    metadata, coding = photograph.metadata, photograph.coding
    height, width, _ = samples.shape
    further = bool(metadata.pieces) and kind != "jpeg"
    if further:
        lost += metadata.piece_words()
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
    data, more = _ENCODERS[kind](_Job(photograph, samples, metadata, quality))
    return data, list(dict.fromkeys([*lost, *more, *_homeless(metadata, kind)]))


def _for_screens(photograph: Photograph, kind: str) -> Photograph:
    """A photograph that holds light as one that holds the values of its pixels, with the same look."""
    metadata, words = photograph.metadata, photograph.beyond_words()
    if metadata.colour is not None:
        cicp = metadata.colour.cicp
        colour = replace(metadata.colour, transfer="srgb", cicp=cicp and (cicp[0], 13, cicp[2], cicp[3]))
        metadata = replace(metadata, colour=colour)
        if not metadata.icc and not (kind == "avif" and cicp):
            metadata = replace(metadata, icc=profile_of(colour, grey=photograph.grey and kind == "jpeg"))
    elif metadata.icc:
        metadata = replace(metadata, icc=with_srgb_curve(metadata.icc))
    return replace(photograph, metadata=metadata, linear=False, beyond=None, lost=tuple(words))


def _samples(photograph: Photograph, kind: str, bits: int, lost: list[str]) -> Samples:
    """What is to be written; over white where the format has no alpha."""
    clear = photograph.alpha is not None and kind not in ("bmp", "jpeg")
    samples = Samples(photograph, bits, clear, has_planes=kind == "tiff")
    if not clear and samples.is_clear():
        lost.append("transparency (laid over white)")
    if photograph.planes is not None and kind != "tiff":
        lost.append(
            f"{photograph.planes.shape[1]} channels beside colour and alpha"
            if photograph.planes.shape[1] > 1
            else "a channel beside colour and alpha"
        )
    return samples


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
    if colour is not None and colour.cicp is not None and icc and not native:  # in PNG the numbers count
        if kind == "avif":
            return replace(metadata, icc=b"")
        if not colour.is_hdr and not agrees(icc, colour):
            icc = profile_of(colour, grey=grey)
    numbers = photograph.coding.numbers if colour is None and kind != "avif" else colour and icc and colour.cicp
    if numbers and not native and numbers[1] in _BRIGHTER:
        lost.append(f"the numbers of {_BRIGHTER[numbers[1]]} (the ICC profile beside them is kept)")
    if kind == "png" and photograph.format != "png" and native and colour is not None:
        # Beside the numbers, which count: many programs do not know them yet.
        icc = icc or (b"" if colour.is_hdr or colour.is_srgb else profile_of(colour, grey=grey))
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
    if metadata.shape is not None and kind in ("bmp", "webp", "avif"):
        lost.append("that its pixels are not square")
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
    options: dict[str, Any] = {"quality": job.quality or _QUALITY}
    if job.quality is None and coding.tables:
        options["quality"] = max(_LEAST_QUALITY, _quality_of(coding.tables[0]))
        if _quality_of(coding.tables[0]) >= _LEAST_QUALITY:
            options = {"qtables": [list(table) for table in coding.tables]}
    if job.channels > 2:
        options["subsampling"] = coding.sampling or "4:4:4"
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
        listing=metadata.listing,
        shape=metadata.shape,
    )

    def joined(coded: bytes, scan: int = 0) -> tuple[bytes, bytes]:
        return into_jpeg(coded, metadata.dpi, exif, (main, extension), metadata.icc, parts, scan=scan)

    if not job.samples.streamed:
        array = job.samples.whole[..., 0] if job.channels == 1 else job.samples.whole[..., :3]
        coded = _coded(np.ascontiguousarray(array), progressive=coding.progressive, **options)
        return b"".join(joined(coded)), lost
    if max(job.samples.shape[:2]) > MOST_OF_SIDE:
        raise ValueError(f"it holds {MOST_OF_SIDE} pixels a side at most")
    if coding.progressive:
        lost.append("the progressive order (it needs all of the picture in memory)")

    def write(file: BinaryIO) -> None:
        with temporary_file() as scan:
            found = jpeg_in_bands(job.samples, scan, **options)
            scan.seek(0)
            front, back = joined(found.head, found.length)
            file.write(front)
            shutil.copyfileobj(scan, file, 2**20)
            file.write(back)

    return write, lost


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
        and not job.photograph.metadata.icc
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
    elif metadata.shape is not None:
        chunks += chunk(b"pHYs", struct.pack(">LLB", *map(round, metadata.shape), 0))
    if job.samples.streamed:
        return png_in_bands(job.samples, metadata.icc, chunks), []
    return into_png(job.picture.pngsave_buffer(keep="icc"), chunks), []


def _tiff(job: _Job) -> Encoded:
    metadata, samples = job.metadata, job.samples
    return tiff_file(
        samples,
        grey=job.photograph.grey,
        extra=samples.meanings,
        dpi=metadata.dpi,
        shape=metadata.shape,
        exif=metadata.exif,
        xmp=metadata.xmp,
        icc=metadata.icc,
        iptc=metadata.iptc,
        resources=metadata.resources,
    )


def _webp(job: _Job) -> Encoded:
    metadata = job.metadata
    lossless = job.photograph.coding.lossless and job.photograph.format == "webp" and job.quality is None
    options = {"lossless": True, "exact": True} if lossless else {"Q": job.quality or _QUALITY}
    saved = bytes(job.picture.webpsave_buffer(keep="none", **options))
    height, width, _ = job.samples.shape
    alpha = job.samples.has_alpha
    return into_webp(saved, metadata.exif, metadata.xmp, metadata.icc, width, height, alpha=alpha), []


def _avif(job: _Job) -> Encoded:
    metadata, coding = job.metadata, job.photograph.coding
    follows = job.photograph.format in ("avif", "heic")
    depth = _depth_of_avif(job.photograph)
    lossless = follows and coding.lossless and job.quality is None
    if depth <= 8:
        image = job.picture
    else:  # libvips takes the upper bits only, and does not round
        whole = job.samples.whole[..., : job.channels]
        scaled = np.rint(whole * ((2**depth - 1) / 65535)).astype(np.uint16) << (16 - depth)
        image = job.picture_of(scaled)
    subsampled = follows and coding.sampling == "4:2:0" and not lossless  # 4:2:2 becomes 4:4:4: libvips has no other
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
    cicp = colour.cicp if colour is not None and not metadata.icc else coding.numbers if follows else None
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
