"""Writing: what every format gives back, by other decoders."""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from pellucid.images import Photograph, read, write
from support.pictures import LOSSLESS, SIZE, grey_profile, integers, noise, p3, png_values, rendered, smooth


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), SIZE])
def test_lossless_round_trip_is_exact(tmp_path, suffix, dtype, channels, size):
    array = noise(*size, channels, dtype=dtype)
    if channels in (2, 4):
        array[..., -1] |= 1  # nothing wholly hidden
    most = np.iinfo(dtype).max
    truth, source, target = torch.from_numpy(array / most).float(), tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    colours = (channels - 1) // 2 * 2 + 1
    photograph = Photograph(
        truth[..., :colours].permute(2, 0, 1)[None].repeat(1, 3 // colours, 1, 1),
        truth[..., colours:].permute(2, 0, 1)[None] if channels != colours else None,
        grey=colours == 1,
        bits=8 * array.itemsize,
    )
    write(photograph, source)
    write(read(source), target)
    for path in (source, target):
        again = tifffile.imread(path) if suffix == ".tif" else png_values(path)
        assert again.dtype == dtype
        np.testing.assert_array_equal(again.reshape(array.shape), array)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_sixteen_bits_are_rounded_to_eight(tmp_path, suffix):
    # Flat pictures of values just below and above a step between two 8-bit values.
    for value, expected in ((128.49, 128), (128.51, 129)):
        pixels = torch.full((1, 3, 16, 16), value / 255)
        write(Photograph(pixels, bits=16), tmp_path / f"x{suffix}", quality=100)
        assert abs(int(np.asarray(Image.open(tmp_path / f"x{suffix}"))[8, 8, 0]) - expected) <= (suffix == ".webp")


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_lossy_formats_are_near(tmp_path, suffix):
    pixels = torch.from_numpy(smooth()).permute(2, 0, 1)[None] / 255
    write(Photograph(pixels), tmp_path / f"x{suffix}")
    assert (read(tmp_path / f"x{suffix}").pixels - pixels).abs().mean() < 0.01
    write(Photograph(pixels[:, :1].repeat(1, 3, 1, 1), grey=True), tmp_path / f"g{suffix}")
    again = read(tmp_path / f"g{suffix}")
    assert (again.pixels - pixels[:, :1]).abs().mean() < 0.01
    assert again.grey == (suffix == ".jpg")


def test_jpeg_keeps_full_chroma_and_has_no_invented_exif(tmp_path):
    write(Photograph(torch.rand(1, 3, 16, 16)), tmp_path / "x.jpg")
    with Image.open(tmp_path / "x.jpg") as picture:
        assert [component[1:3] for component in picture.layer] == [(1, 1)] * 3
        assert "exif" not in picture.info


def test_avif_holds_ten_bits(tmp_path):
    ramp = torch.linspace(0.4, 0.5, 64).expand(1, 3, 64, 64).contiguous()
    write(Photograph(ramp, bits=16), tmp_path / "x.avif", quality=100)
    again = read(tmp_path / "x.avif")
    assert again.bits == 16
    assert again.pixels[0, 1, 32].unique().numel() > 1.5 * 0.1 * 255
    assert (again.pixels - ramp).abs().max() < 0.005


@pytest.mark.parametrize(("suffix", "times"), [(".jpg", 10), (".png", 5), (".tif", 5)])
def test_many_megapixels(tmp_path, suffix, times):
    array = np.tile(smooth(300, 400), (times, times, 1))
    photograph = Photograph(torch.from_numpy(array).permute(2, 0, 1)[None] / 255)
    write(photograph, tmp_path / f"big{suffix}")
    again = read(tmp_path / f"big{suffix}").pixels
    assert again.shape == (1, 3, 300 * times, 400 * times)
    assert (again - photograph.pixels)[..., ::97, ::89].abs().max() < (0.2 if suffix == ".jpg" else 1e-6)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
def test_wide_gamut_profile_comes_back_byte_for_byte(tmp_path, suffix):
    picture = Image.fromarray(smooth())
    picture.save(tmp_path / "p3.png", icc_profile=p3())
    photograph = read(tmp_path / "p3.png")
    np.testing.assert_array_equal(integers(photograph.pixels), smooth())  # not converted
    write(photograph, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as again:
        assert again.info["icc_profile"] == p3()
    assert read(tmp_path / f"out{suffix}").metadata.icc == p3()


def test_grey_profile_is_kept_where_grey_is_and_made_one_for_colour_where_not(tmp_path):
    profile = grey_profile(1.0)  # linear light
    Image.fromarray(np.full((16, 16), 55, np.uint8)).save(tmp_path / "g.png", icc_profile=profile)
    photograph = read(tmp_path / "g.png")
    write(photograph, tmp_path / "out.tif")
    assert read(tmp_path / "out.tif").metadata.icc == profile
    write(photograph, tmp_path / "out.webp", quality=100)
    with Image.open(tmp_path / "out.webp") as picture:
        assert picture.info["icc_profile"][16:20] == b"RGB "
        shown = np.asarray(rendered(picture))
    linear = 55 / 255
    assert np.abs(shown / 255 - (1.055 * linear ** (1 / 2.4) - 0.055)).max() < 0.01
