"""The image contract, and the one door between files and tensors.

**In memory an image is a float32 tensor (B, 3, H, W), RGB in [0, 1], display-encoded**: the values of an ordinary 8-bit
file divided by 255, never linear light. Values may lie outside [0, 1] on the way (unclipped noise); they are clipped
when they become integers.

What a file goes through, and what it keeps:

- *Colour.* An RGB or grey file keeps its own encoding and what says what it means: an ICC profile, byte for byte, or
  the tags of PNG, the numbers of AVIF and HEIF, the words of camera files. Where another format has no place for these,
  an ICC profile is made that says the same. Only what is neither (CMYK, Lab) is converted to sRGB on reading, with its
  embedded profile or, for CMYK without one, libvips' own. Where the values are light, the pixels are what a screen
  would show of them, and light is written again. A grey file has three equal channels in memory and is written grey
  again.
- *Depth.* 8 and 16 bits come back exactly in PNG and TIFF; JPEG, WebP and BMP hold 8 bits, AVIF 10 or what it had,
  rounded to nearest. A float TIFF is taken as display-encoded, stays float in TIFF and becomes 16-bit in PNG; what lies
  outside [0, 1] or is NaN is put aside (`Photograph.beyond`) and added again. Palettes and fewer than 8 bits become 8,
  other integers 16.
- *Alpha* is what the file says is alpha; it is kept apart and never restored, nor are channels of another meaning
  (`Photograph.planes`). Colours under alpha 0 are arbitrary, so those of their visible neighbours are taken before
  anything can smear them over an edge; they come back in the file. JPEG and BMP have no alpha: there the picture is
  laid over white.
- *Metadata.* Containers are walked here, chunk by chunk, segment by segment, table by table: EXIF, XMP, IPTC,
  Photoshop's resources, comments, texts, resolution are carried over, also between formats. The EXIF orientation is
  applied once and then says 1, and places in the picture turn with it; stale thumbnails go; the rest of EXIF stays byte
  for byte, maker notes included (out of TIFF its tables are moved).
- *Further pictures.* Of an animation or a multi-page file the first page that is no thumbnail is read;
  `Photograph.pages` says how many there are. What lies behind a JPEG (gain map, second view, video) stays there.
- *Size.* `read(..., memory=...)` lays a picture that needs more on the disk (`pellucid.scratch`), where it is the same
  tensor; JPEG, PNG and TIFF are then read and written band by band.
- *What cannot be kept* is listed in words: by reading in `Photograph.lost`, and by `write`, which returns all of it.

What goes wrong with a file is an `ImageError` of one line that names the file.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pellucid.images.alpha import fill_hidden, visible_part
    from pellucid.images.files import SUFFIXES, read, supported, write, write_change
    from pellucid.images.folders import READ_ONLY, Folder, few_names, in_folder, passed_over, readable
    from pellucid.images.kinds import alpha_of, like, part_of, to_tensor
    from pellucid.images.photograph import Coding, Metadata, Photograph
    from pellucid.images.values import quantise

__all__ = [
    "READ_ONLY",
    "SUFFIXES",
    "Coding",
    "Folder",
    "Metadata",
    "Photograph",
    "alpha_of",
    "few_names",
    "fill_hidden",
    "in_folder",
    "like",
    "part_of",
    "passed_over",
    "quantise",
    "read",
    "readable",
    "supported",
    "to_tensor",
    "visible_part",
    "write",
    "write_change",
]

_HOME = {
    "alpha": ("fill_hidden", "visible_part"),
    "files": ("SUFFIXES", "read", "supported", "write", "write_change"),
    "folders": ("READ_ONLY", "Folder", "few_names", "in_folder", "passed_over", "readable"),
    "kinds": ("alpha_of", "like", "part_of", "to_tensor"),
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
