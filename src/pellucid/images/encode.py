"""From a photograph to the bytes of a file."""

from dataclasses import replace

import pyvips
import torch

from pellucid.images.bitmap import save_bitmap
from pellucid.images.containers import into_jpeg, into_png, into_tiff, photoshop_of_iptc
from pellucid.images.exif import sized
from pellucid.images.photograph import Metadata, Photograph
from pellucid.images.values import array_of_planes

__all__ = ["encode"]

_MOST_BITS = {"bmp": 8, "jpeg": 8, "png": 16, "tiff": 32, "webp": 8, "avif": 16}
# libvips' names by bits: of the numbers, of grey pictures and of colour pictures.
_VIPS_NAMES = {8: ("uchar", "b-w", "srgb"), 16: ("ushort", "grey16", "rgb16"), 32: ("float", "b-w", "scrgb")}
_KEPT = "icc|xmp|iptc|other"
"""The metadata that libvips writes; EXIF too in WebP and AVIF, but not where `containers` puts it in unchanged."""


def encode(photograph: Photograph, kind: str, quality: int) -> bytes:
    """The bytes of the file in the format `kind`. Raises pyvips.Error where the format cannot hold the picture."""
    bits = min(photograph.bits, _MOST_BITS[kind])
    image = _picture(photograph, kind, bits)
    metadata = replace(photograph.metadata, exif=sized(photograph.metadata.exif, image.width, image.height))
    _attach(image, metadata, kind)
    if kind in ("webp", "avif") and metadata.icc[16:20] == b"GRAY":
        # These formats hold no grey, so a grey profile would not fit: the values change so that the colours do not.
        image = image.icc_transform("srgb", embedded=True, intent="relative", depth=bits)
    return _saved(image, metadata, kind, bits, quality)


def _picture(photograph: Photograph, kind: str, bits: int) -> pyvips.Image:
    """The pixels, alpha and resolution of the photograph; over white where the format has no alpha."""
    pixels, alpha = photograph.pixels[0].detach().float(), photograph.alpha
    planes = [pixels.mean(0)] if photograph.grey else list(pixels)
    if alpha is not None and kind in ("bmp", "jpeg"):
        planes = [torch.lerp(torch.ones_like(plane), plane, alpha[0, 0].to(plane)) for plane in planes]
    elif alpha is not None:
        planes.append(alpha[0, 0])
    array = array_of_planes(planes, bits)
    height, width, bands = array.shape
    number, grey, colour = _VIPS_NAMES[bits]
    across, down = photograph.metadata.dpi
    return pyvips.Image.new_from_memory(array, width, height, bands, number).copy(
        interpretation=grey if photograph.grey else colour, xres=across / 25.4, yres=down / 25.4
    )


def _attach(image: pyvips.Image, metadata: Metadata, kind: str) -> None:
    """Gives `image` what libvips writes of the metadata."""
    blobs = {"xmp-data": metadata.xmp, "icc-profile-data": metadata.icc}
    if kind == "jpeg" and metadata.iptc:
        blobs["iptc-data"] = photoshop_of_iptc(metadata.iptc)
    if kind in ("webp", "avif") and metadata.exif:
        blobs["exif-data"] = b"Exif\0\0" + metadata.exif
    for name, blob in blobs.items():
        if blob:
            image.set_type(pyvips.GValue.blob_type, name, blob)


def _saved(image: pyvips.Image, metadata: Metadata, kind: str, bits: int, quality: int) -> bytes:
    """`image` as a file of the format, with the metadata that libvips would drop or change."""
    if kind == "jpeg":
        saved = image.jpegsave_buffer(Q=quality, subsample_mode="off", optimize_coding=True, keep=_KEPT)
        return into_jpeg(saved, metadata.exif, metadata.dpi)
    if kind == "bmp":
        return save_bitmap(image)
    if kind == "png":
        return into_png(image.pngsave_buffer(keep=_KEPT), metadata.exif, metadata.chunks)
    if kind == "tiff":
        predictor = "none" if bits == 32 else "horizontal"  # few readers know the one for floats
        size = image.width * image.height * image.bands * bits // 8
        saved = image.tiffsave_buffer(
            compression="deflate", predictor=predictor, resunit="inch", bigtiff=size > 2**31, keep=_KEPT
        )
        return into_tiff(saved, metadata.exif, metadata.iptc)
    keep = _KEPT + "|exif" if metadata.exif else _KEPT
    if kind == "webp":
        return bytes(image.webpsave_buffer(Q=quality, keep=keep))
    depth = 8 if bits == 8 else 10
    return bytes(image.heifsave_buffer(Q=quality, bitdepth=depth, compression="av1", subsample_mode="off", keep=keep))
