"""A picture from a file: its pixels, and what is kept apart so that it can be written again."""

from dataclasses import dataclass, field, replace

from torch import Tensor

from pellucid.images.alpha import resized
from pellucid.images.values import check_pixels

__all__ = ["Metadata", "Photograph"]


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
    """The format of the file it was read from: avif, bmp, gif, jpeg, png, tiff or webp."""
    pages: int = 1
    """How many pages or frames the file has; the first is here."""

    def with_pixels(self, pixels: Tensor) -> "Photograph":
        """The same photograph with other pixels, (1, 3, H, W); the alpha is resized where the size changed."""
        check_pixels(pixels, "the new pixels")
        height, width = pixels.shape[-2:]
        return replace(self, pixels=pixels, alpha=None if self.alpha is None else resized(self.alpha, height, width))
