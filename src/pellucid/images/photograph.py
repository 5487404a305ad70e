"""A picture from a file: its pixels, and what is kept apart so that it can be written again."""

from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction

import torch
from torch import Tensor

from pellucid.images.alpha import resized
from pellucid.images.colour import Colour
from pellucid.images.exif import grown, moved
from pellucid.images.jpeg import Piece
from pellucid.images.mpf import PictureList
from pellucid.images.values import check_pixels
from pellucid.images.xmp import grown_xmp, without_further, without_regions
from pellucid.scratch import mapped

__all__ = ["Beyond", "Coding", "Metadata", "Motion", "Photograph"]


@dataclass(frozen=True)
class Metadata:
    """What a file says beside its pixels; empty where it says nothing."""

    exif: bytes = b""
    """A TIFF structure (without the leading `Exif\\0\\0`): orientation 1 or absent, no thumbnail."""
    xmp: bytes = b""
    """The XMP packet, whole."""
    iptc: bytes = b""
    """The IPTC-IIM records, without the Photoshop block around them."""
    icc: bytes = b""
    """The ICC profile of the pixels."""
    dpi: tuple[float, float] | None = None
    """Horizontal and vertical resolution, in dots per inch; None where the file tells none."""
    shape: tuple[float, float] | None = None
    """How many pixels lie across and down one length that nothing is known of, where they are not square and the file
    tells no resolution."""
    chunks: bytes = b""
    """What only PNG has a place for, as it lies in the file: texts, and tags of the colour that are no ICC profile."""
    resources: bytes = b""
    """What Photoshop says beside IPTC, as it lies in the file: clipping paths, the copyright flag."""
    comments: tuple[bytes, ...] = ()
    """The comments of a JPEG file."""
    segments: tuple[tuple[int, bytes], ...] = ()
    """Application segments of a JPEG file that are not known, by their markers."""
    pieces: tuple[Piece, ...] = ()
    """What lies behind the picture in a JPEG file: a gain map, a second picture, the video of a motion photo."""
    listing: PictureList = field(default_factory=PictureList)
    """What the list of the pictures in a JPEG file says beside their places."""
    colour: Colour | None = None
    """What the colours mean, where the file says it in another way than by an ICC profile."""

    def piece_words(self) -> list[str]:
        """What lies behind the picture, in words."""
        counts = Counter(piece.kind for piece in self.pieces)
        return [kind if count == 1 else f"{kind} ({count} of them)" for kind, count in counts.items()]


@dataclass(frozen=True, eq=False)
class Beyond:
    """What a file holds beyond the pixels: values outside [0, 1], NaN, and the colours hidden under alpha 0."""

    places: Tensor
    """bool (H, W): where that is."""
    values: Tensor
    """float32 (1 or 3, N): what is to be added again there to the values of the file, for grey or for each channel."""


@dataclass(frozen=True)
class Coding:
    """How the pixels were coded, which is followed when they are written in the same format."""

    lossless: bool = False
    depth: int = 0
    """Bits of a value in AVIF and HEIF; 0 where it is that of the photograph."""
    tables: tuple[tuple[int, ...], ...] = ()
    """The quantisation tables of a JPEG file, luma first, each of 64 numbers row by row."""
    sampling: str = ""
    """Of the chroma: `4:4:4`, `4:2:2`, `4:2:0`, or empty where it is not known."""
    progressive: bool = False
    numbers: tuple[int, int, int, int] | None = None
    """The numbers of H.273 that an AVIF or HEIF file has beside an ICC profile, which counts."""
    extra: tuple[int, ...] = ()
    """What the channels beside the colours of a TIFF file are, in their order: 0 not said, 1 alpha by which the colours
    are multiplied, 2 alpha."""


@dataclass(frozen=True)
class Motion:
    """How the frames of a photograph that moves follow each other."""

    durations: tuple[Fraction, ...]
    """Seconds for which each frame is shown."""
    loops: int = 0
    """How often all of them are shown; 0 is for ever."""


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
    """EXIF, XMP, IPTC, ICC, resolution, PNG chunks, and so on."""
    format: str = "png"
    """The format of the file it was read from: avif, bmp, gif, jpeg, png, tiff or webp; heic, jxl or raw with their
    extras."""
    pages: int = 1
    """How many pages or frames the file has; the first is here."""
    planes: Tensor | None = None
    """float32 (1, K, H, W): channels that are neither colour nor alpha, such as the infrared of a scanner; never
    restored."""
    beyond: Beyond | None = None
    """What the file holds beyond the pixels, to be added again when it is written; None where that is nothing."""
    linear: bool = False
    """Whether the file holds light: the pixels are then that light in the encoding of sRGB, and become light again when
    they are written. A network knows pictures for screens; light it would take for a picture far too dark."""
    coding: Coding = field(default_factory=Coding)
    """How the pixels were coded."""
    lost: tuple[str, ...] = ()
    """What the file had and the photograph has not, in words."""
    others: tuple["Photograph", ...] = ()
    """The further pages or frames, where they were read, too."""
    motion: Motion | None = None
    """How long each of these frames is shown; None where they are pages."""

    def with_pixels(self, pixels: Tensor) -> "Photograph":
        """The same photograph with other pixels, (1, 3, H, W); the alpha and other planes are resized where the size
        changed."""
        check_pixels(pixels, "the new pixels")
        height, width = pixels.shape[-2:]
        if pixels.shape[-2:] == self.pixels.shape[-2:]:
            return replace(self, pixels=pixels)
        across, down = width / self.pixels.shape[3], height / self.pixels.shape[2]
        return replace(
            self,
            pixels=pixels,
            metadata=replace(
                self.metadata,
                exif=grown(self.metadata.exif, across, down),
                xmp=grown_xmp(self.metadata.xmp, across, down),
            ),
            alpha=None if self.alpha is None else resized(self.alpha, height, width),
            planes=None if self.planes is None else resized(self.planes, height, width),
            beyond=None,
            lost=(*self.lost, *self.beyond_words()),
        )

    def part(self, rows: slice, columns: slice) -> "Photograph":
        """These rows and columns of it. Regions of faces, and what lies behind it, go."""
        beyond = self.beyond
        if beyond is not None:
            places = beyond.places[rows, columns]
            inside = torch.zeros_like(beyond.places)
            inside[rows, columns] = places
            values = beyond.values[:, inside[beyond.places]]
            beyond = Beyond(places.clone(), values) if values.shape[1] else None
        words = self.metadata.piece_words()
        alone = without_further(self.metadata.xmp)
        xmp = without_regions(alone)
        words += ["places in the whole picture (it is a part of it)"] if xmp != alone else []
        return replace(
            self,
            pixels=mapped(Tensor.clone, self.pixels[..., rows, columns]),
            alpha=None if self.alpha is None else mapped(Tensor.clone, self.alpha[..., rows, columns]),
            planes=None if self.planes is None else mapped(Tensor.clone, self.planes[..., rows, columns]),
            beyond=beyond,
            metadata=replace(
                self.metadata, exif=moved(self.metadata.exif, columns.start, rows.start), xmp=xmp, pieces=()
            ),
            lost=(*self.lost, *words),
        )

    def beyond_words(self) -> list[str]:
        """What is visible of the values beyond the pixels, in words."""
        if self.beyond is None:
            return []
        shown = self.beyond.values
        if self.alpha is not None:
            shown = shown[:, self.alpha[0, 0][self.beyond.places] > 0]
        words = ["values that are not numbers (NaN)"] if bool(shown.isnan().any()) else []
        return [*words, "values outside 0 to 1"] if bool((shown.nan_to_num().abs() > 1e-6).any()) else words
