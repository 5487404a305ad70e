"""From the bytes of a file to a photograph."""

import re
from dataclasses import replace

import pyvips

from pellucid.errors import ImageError
from pellucid.images.alpha import colours_and_alpha
from pellucid.images.bitmap import load_bitmap
from pellucid.images.containers import chunks_of_png, exif_and_iptc_of_tiff, iptc_of_photoshop
from pellucid.images.exif import resolution, tidied
from pellucid.images.photograph import Metadata, Photograph
from pellucid.images.values import planes_of_array

__all__ = ["decode", "format_of"]

# What a file is, is decided by its first bytes. Only these loaders of libvips are ever called: no SVG, no PDF, nothing
# that could run code or fetch a file. BMP it does not know.
_FORMATS = {
    "jpeg": (rb"\xff\xd8\xff", "jpegload_source"),
    "png": (rb"\x89PNG\r\n\x1a\n", "pngload_source"),
    "tiff": (rb"II[*+]\0|MM\0[*+]", "tiffload_source"),
    "webp": (rb"RIFF....WEBP", "webpload_source"),
    "avif": (rb"....ftyp(avif|avis|mif1|msf1|hei[cxms])", "heifload_source"),
    "gif": (rb"GIF8", "gifload_source"),
    "bmp": (rb"BM", None),
}

_BITS = {"uchar": 8, "ushort": 16, "float": 32}


def format_of(data: bytes, name: str) -> str:
    """The format of the bytes of a file called `name`. Raises `ImageError` where it is none that can be read."""
    for kind, (signature, _) in _FORMATS.items():
        if re.match(signature, data, re.DOTALL):
            return kind
    raise ImageError(f"{name}: not a picture that can be read; known: {', '.join(_FORMATS)}")


def decode(data: bytes, kind: str, name: str) -> Photograph:
    """The photograph in the bytes of a file of the format `kind`, called `name`.

    Raises pyvips.Error or UnicodeDecodeError where they are no such picture, `ImageError` where it has channels or
    values that cannot be read.
    """
    _, loader = _FORMATS[kind]
    if loader is None:
        image = load_bitmap(data, name)
    else:
        source = pyvips.Source.new_from_memory(data)
        image = pyvips.Operation.call(loader, source, fail_on="error", access="sequential")
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
    planes = planes_of_array(shown.numpy().reshape(shown.height, shown.width, shown.bands), name)
    pixels, alpha = colours_and_alpha(planes)
    return Photograph(
        pixels,
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
        exif, iptc = exif_and_iptc_of_tiff(data)
    elif kind == "jpeg":
        iptc = iptc_of_photoshop(_blob(image, "iptc-data"))
    exif = tidied(exif)
    dpi = (image.xres * 25.4, image.yres * 25.4)
    if image.xres == 1.0:  # libvips' way to say that the container has no resolution
        dpi = resolution(exif)
    if not all(1 <= value <= 1e5 for value in dpi):
        dpi = Metadata.dpi
    xmp = _blob(image, "xmp-data")
    xmp = re.sub(rb"(tiff:Orientation(?:=[\"']|>))[2-8]", rb"\g<1>1", xmp)
    chunks = chunks_of_png(data) if kind == "png" else b""
    icc = _blob(image, "icc-profile-data")
    size = int.from_bytes(icc[:4], "big")
    icc = icc[:size] if 128 < size <= len(icc) else b""  # PNG cannot hold one whose header is wrong about its length
    return Metadata(exif, xmp, iptc, icc, dpi, chunks)


def _blob(image: pyvips.Image, name: str) -> bytes:
    """A block of bytes among the fields of a pyvips image; empty where there is none."""
    return bytes(image.get(name)) if image.get_typeof(name) else b""
