"""The image contract, and the one door between files and tensors.

**In memory an image is a float32 tensor (B, 3, H, W), RGB in [0, 1], display-encoded**: the values of an ordinary 8-bit
file divided by 255, never linear light. Values may lie outside [0, 1] on the way (unclipped noise); they are clipped
when they become integers.

What a file goes through, and what it keeps:

- *Colour.* An RGB or grey file keeps its own encoding and its own ICC profile, byte for byte: a Display P3 photograph
  is computed on as it is and comes back as Display P3. Only what is neither (CMYK, Lab) is converted to sRGB on
  reading, with its embedded profile or, for CMYK without one, libvips' own, and is written as sRGB. A grey file has
  three equal channels in memory and is written grey again.
- *Depth.* 8 and 16 bits come back exactly in PNG and TIFF; JPEG, WebP and BMP hold 8 bits, AVIF 10, rounded to nearest. A
  float TIFF is taken as display-encoded, stays float in TIFF and becomes 16-bit in PNG. Palette and 1-bit files become
  ordinary 8-bit ones.
- *Alpha* is kept apart and never restored. Colours under alpha 0 are arbitrary, so `fill_hidden` replaces them with
  those of their visible neighbours, before anything can smear them over an edge. JPEG has no alpha, and BMP is given
  none: there the picture is laid over white.
- *Metadata.* EXIF, XMP, IPTC, ICC, dots per inch, PNG texts and colour tags are carried over, also between formats,
  where the format has a place for them (IPTC: JPEG and TIFF; BMP has one for dots per inch only). The EXIF orientation
  is applied once and then says 1; the stale thumbnail is removed and the size corrected; the rest of EXIF stays byte
  for byte in JPEG and PNG, maker notes included (in WebP and AVIF libexif rewrites it; in and out of TIFF its tables
  are moved).
- *Pages.* Of an animation or a multi-page file the first page is read (AVIF: the primary one); `Photograph.pages` says
  how many there are.

What goes wrong with a file is an `ImageError` of one line that names the file.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pellucid.images.alpha import fill_hidden
    from pellucid.images.files import SUFFIXES, read, supported, write, write_change
    from pellucid.images.folders import READ_ONLY, Folder, few_names, in_folder, passed_over, readable
    from pellucid.images.kinds import like, to_tensor
    from pellucid.images.photograph import Coding, Metadata, Photograph
    from pellucid.images.values import quantise

__all__ = [
    "READ_ONLY",
    "SUFFIXES",
    "Coding",
    "Folder",
    "Metadata",
    "Photograph",
    "few_names",
    "fill_hidden",
    "in_folder",
    "like",
    "passed_over",
    "quantise",
    "read",
    "readable",
    "supported",
    "to_tensor",
    "write",
    "write_change",
]

_HOME = {
    "alpha": ("fill_hidden",),
    "files": ("SUFFIXES", "read", "supported", "write", "write_change"),
    "folders": ("READ_ONLY", "Folder", "few_names", "in_folder", "passed_over", "readable"),
    "kinds": ("like", "to_tensor"),
    "photograph": ("Coding", "Metadata", "Photograph"),
    "values": ("quantise",),
}
"""Where each name is from. Imported on first use: networks need the padding, and no library that reads files."""


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
