"""What is told where few look: orientation in XMP alone, pixels that are not square, L*a*b* of 8 bits."""

import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from pellucid.images import read, write
from support.pictures import XMP, exiftool, jpeg_with, png_with, smooth


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_an_orientation_that_only_xmp_tells(tmp_path, suffix):
    for source in ("a.jpg", "a.webp", "a.png"):
        path = tmp_path / source
        if source == "a.png":  # behind the pixels
            path.write_bytes(png_with(smooth(), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)))
        else:
            Image.fromarray(smooth()).save(path, xmp=XMP, quality=95)
        with Image.open(path) as picture:
            expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB")).astype(int)
        write(read(path), tmp_path / f"b{suffix}")
        with Image.open(tmp_path / f"b{suffix}") as picture:
            shown = np.asarray(ImageOps.exif_transpose(picture).convert("RGB")).astype(int)
        assert shown.shape == expected.shape == (53, 37, 3)
        assert np.abs(shown - expected).mean() < 3


def test_exif_knows_better_than_xmp(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 1
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", xmp=XMP, exif=exif)
    assert read(tmp_path / "a.jpg").pixels.shape == (1, 3, 37, 53)


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
def test_a_resolution_without_a_unit_gets_none(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x011A], exif[0x011B], exif[0x0128] = 72.0, 36.0, 1
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", exif=exif)
    write(read(tmp_path / "a.jpg"), tmp_path / f"b{suffix}")
    facts = exiftool(tmp_path / f"b{suffix}")
    assert [facts[f"IFD0:{name}"] for name in ("XResolution", "YResolution", "ResolutionUnit")] == [72, 36, 1]


def test_lab_of_8_bits_is_read(tmp_path):
    clean = Image.fromarray(smooth())
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    ImageCms.profileToProfile(clean, srgb, lab, outputMode="LAB").save(tmp_path / "a.tif")
    photograph = read(tmp_path / "a.tif")
    assert photograph.lost == ("Lab colours (they become sRGB)",)
    shown = photograph.pixels[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(shown - smooth()).mean() < 3  # libvips counts from daylight, LittleCMS from print


def told_by(path):
    """Across and down, as exiftool reads it from the file itself."""
    found = exiftool(path)
    names = {".png": "PNG-pHYs:PixelsPerUnit{}", ".jpg": "JFIF:{}Resolution", ".tif": "IFD0:{}Resolution"}[path.suffix]
    return tuple(found[names.format(axis)] for axis in "XY")


@pytest.mark.parametrize("source", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("orientation", [1, 6, 3])
def test_the_shape_of_pixels_stays_and_turns(tmp_path, source, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    path = tmp_path / f"a{source}"
    if source == ".png":
        path.write_bytes(png_with(smooth(), (b"pHYs", struct.pack(">LLB", 2, 1, 0)), (b"eXIf", block)))
    elif source == ".jpg":
        data = bytearray(jpeg_with(smooth(), (0xE1, b"Exif\0\0" + block)))
        at = data.index(b"JFIF\0") + 7
        data[at : at + 5] = struct.pack(">BHH", 0, 2, 1)
        path.write_bytes(data)
    else:
        options = {"resolution": (2, 1), "resolutionunit": 1, "extratags": [(274, 3, 1, orientation, True)]}
        tifffile.imwrite(path, smooth(), photometric="rgb", metadata=None, **options)
    assert told_by(path) == (2, 1)
    for suffix in (".png", ".jpg", ".tif"):
        assert write(read(path), tmp_path / f"b{suffix}") == ()
        assert told_by(tmp_path / f"b{suffix}") == ((1, 2) if orientation == 6 else (2, 1))
    assert write(read(path), tmp_path / "b.webp") == ("that its pixels are not square",)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_resolution_turns_with_its_picture(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x011B], exif[0x0128] = 6, 200.0, 100.0, 2
    Image.fromarray(smooth()).save(tmp_path / f"a{suffix}", exif=exif, dpi=(200, 100))
    write(read(tmp_path / f"a{suffix}"), tmp_path / "b.jpg")
    found = exiftool(tmp_path / "b.jpg")
    assert (found["JFIF:XResolution"], found["JFIF:YResolution"]) == (100, 200)
    if "IFD0:XResolution" in found:
        assert (found["IFD0:XResolution"], found["IFD0:YResolution"]) == (100, 200)
