"""Reading, against Pillow, tifffile, littleCMS and the CIE formulas."""

import io

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms, ImageOps

from pellucid.errors import ImageError
from pellucid.images import read, write
from support.pictures import LOSSLESS, SIZE, integers, noise, p3, png_values, profile_of, smooth


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_read_agrees_with_pillow(tmp_path, suffix):
    for mode in ("L", "RGB", "1", "P", "LA", "RGBA"):
        if (mode, suffix) == ("LA", ".tif"):
            continue  # covered with tifffile in test_encode.py
        picture = Image.fromarray(smooth()).convert(mode)
        path = tmp_path / f"{mode}{suffix}"
        picture.save(path)
        photograph = read(path)
        assert (photograph.bits, photograph.grey) == (8, mode in ("L", "1", "LA"))
        np.testing.assert_array_equal(integers(photograph.pixels), np.asarray(picture.convert("RGB")))
        assert (photograph.alpha is not None) == (mode in ("LA", "RGBA"))


def test_palette_transparency_becomes_alpha(tmp_path):
    picture = Image.fromarray(smooth()).quantize(16)
    picture.save(tmp_path / "p.png", transparency=3)
    truth = np.asarray(Image.open(tmp_path / "p.png").convert("RGBA"))
    photograph = read(tmp_path / "p.png")
    seen = truth[..., 3] > 0
    np.testing.assert_array_equal(integers(photograph.alpha)[..., 0], truth[..., 3])
    np.testing.assert_array_equal(integers(photograph.pixels)[seen], truth[..., :3][seen])


def test_sixteen_bit_values_agree_with_tifffile_and_pillow(tmp_path):
    array = noise(*SIZE, 3, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", compression="zlib")
    write(read(tmp_path / "a.tif"), tmp_path / "a.png")
    np.testing.assert_array_equal(png_values(tmp_path / "a.png"), array)
    Image.fromarray(array[..., 0]).save(tmp_path / "grey.png")
    photograph = read(tmp_path / "grey.png")
    assert photograph.grey
    assert photograph.bits == 16
    np.testing.assert_array_equal(integers(photograph.pixels, 65535), array[..., :1].repeat(3, 2))


def test_float_tiff_stays_float(tmp_path):
    array = np.random.default_rng(0).random((*SIZE, 3), np.float32)
    tifffile.imwrite(tmp_path / "f.tif", array, photometric="rgb")
    photograph = read(tmp_path / "f.tif")
    assert photograph.bits == 32
    write(photograph, tmp_path / "g.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "g.tif"), array)
    write(photograph, tmp_path / "g.png")
    assert np.abs(png_values(tmp_path / "g.png") - array.astype(np.float64) * 65535).max() < 0.51
    tifffile.imwrite(tmp_path / "large.tif", 255 * array, photometric="rgb")
    with pytest.raises(ImageError, match=r"large\.tif: values from .* expected \[0, 1\]"):
        read(tmp_path / "large.tif")


def test_first_page_is_read_and_pages_are_counted(tmp_path):
    frames = [Image.fromarray(noise(16, 16, 3) // (k + 1)) for k in range(3)]
    for suffix, options in ((".tif", {}), (".webp", {"lossless": True}), (".gif", {})):
        frames[0].save(tmp_path / f"m{suffix}", save_all=True, append_images=frames[1:], **options)
        photograph = read(tmp_path / f"m{suffix}")
        assert photograph.pages == 3
        assert photograph.pixels.shape == (1, 3, 16, 16)
        if suffix != ".gif":
            np.testing.assert_array_equal(integers(photograph.pixels), np.asarray(frames[0]))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path, target = tmp_path / f"o{suffix}", tmp_path / f"out{suffix}"
    Image.fromarray(smooth()).save(path, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    with Image.open(path) as picture:
        truth = np.asarray(ImageOps.exif_transpose(picture))
    photograph = read(path)
    np.testing.assert_array_equal(integers(photograph.pixels), truth)
    write(photograph, target, quality=100)
    with Image.open(target) as again:
        assert again.getexif().get(0x0112, 1) == 1
        assert again.size == truth.shape[1::-1]
        assert np.abs(np.asarray(again).astype(int) - truth).mean() < 3
    assert np.abs(integers(read(target).pixels) - truth).mean() < 3


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
@pytest.mark.parametrize("embedded", [True, False])
def test_cmyk_becomes_srgb_as_littlecms_says(tmp_path, suffix, embedded):
    profile = profile_of("cmyk")
    flat = smooth()
    flat[...] = flat[16:17, 26:27]  # JPEG then keeps it
    picture = Image.frombytes("CMYK", SIZE[::-1], np.concatenate([flat, flat[..., :1] // 4], -1).tobytes())
    options = {"icc_profile": profile} if embedded else {}
    picture.save(tmp_path / f"c{suffix}", **({"quality": 100} if suffix == ".jpg" else {}), **options)
    truth = ImageCms.profileToProfile(
        Image.open(tmp_path / f"c{suffix}"),
        io.BytesIO(profile),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    photograph = read(tmp_path / f"c{suffix}")
    assert np.abs(integers(photograph.pixels) - np.asarray(truth)).max() <= 2
    write(photograph, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as again:
        assert again.mode == "RGB"
        assert again.info["icc_profile"][16:20] == b"RGB "
        assert again.info["icc_profile"] != profile


def test_sixteen_bit_cmyk_and_lab_become_rgb_of_sixteen_bits(tmp_path):
    cmyk = np.full((4, 5, 4), 65535 // 4, np.uint16)
    tifffile.imwrite(tmp_path / "c.tif", cmyk, photometric="separated")
    assert read(tmp_path / "c.tif").bits == 16
    lab = np.zeros((4, 5, 3), np.uint16)
    lab[..., 0] = 65535 // 2  # L* = 50: sRGB 119 by the CIE formula
    tifffile.imwrite(tmp_path / "lab.tif", lab, photometric="cielab")
    photograph = read(tmp_path / "lab.tif")
    assert photograph.bits == 16
    assert (photograph.pixels * 255 - 118.9).abs().max() < 1
    assert photograph.metadata.icc == b""


def test_a_profile_that_is_wrong_about_its_length_stops_nothing(tmp_path):
    for icc, kept in ((p3() + b"\0\0", p3()), (p3()[:-9], b""), (b"\0\x7f" + p3()[2:], b"")):
        Image.fromarray(smooth()).save(tmp_path / "p.jpg", icc_profile=icc)
        write(read(tmp_path / "p.jpg"), tmp_path / "q.png")
        assert read(tmp_path / "q.png").metadata.icc == kept


def test_associated_alpha_is_undone(tmp_path):
    array = np.zeros((4, 5, 4), np.uint8)
    array[...] = (50, 100, 25, 128)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["ASSOCALPHA"])
    truth = torch.tensor([50, 100, 25]).view(1, 3, 1, 1) / 128
    assert (read(tmp_path / "a.tif").pixels - truth).abs().max() < 1 / 255
