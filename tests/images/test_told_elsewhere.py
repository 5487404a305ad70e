"""What is told where few look: orientation in XMP alone, pixels that are not square, L*a*b* of 8 bits."""

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from pellucid.images import read, write
from support.pictures import XMP, exiftool, png_with, smooth


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
