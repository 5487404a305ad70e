"""What is read and written again without a change is the same, bit for bit, over sizes, depths and channels."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pellucid.errors import ImageError
from pellucid.images import Photograph, read, write, write_change
from pellucid.scratch import on_disk
from support.pictures import avif_facts, noise, png_values, smooth
from support.streaming import small_bands

SIDES = st.integers(1, 67)


def samples(height, width, channels, dtype, seed):
    generator = np.random.default_rng(seed)
    if dtype is np.float32:
        array = generator.normal(0.5, 1, (height, width, channels)).astype(dtype)
        if channels in (2, 4):
            array[..., -1] = generator.random((height, width))
        return array
    array = generator.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)
    if channels in (2, 4):
        array[..., -1][generator.random((height, width)) < 0.3] = 0  # hidden: what is there must survive, too
    return array


def write_tiff(array, path, **options):
    """Writes (H, W, channels), of which a second or fourth is alpha, by tifffile."""
    channels = array.shape[2]
    tifffile.imwrite(
        path,
        array[..., 0] if channels == 1 else array,
        photometric="minisblack" if channels < 3 else "rgb",
        planarconfig="contig" if channels > 1 else None,
        metadata=None,
        **({} if channels in (1, 3) else {"extrasamples": ["unassalpha"]}),
        **options,
    )


def unchanged(source, target):
    """Read, and written with the pixels that a restorer of strength 0 gives back."""
    photograph = read(source)
    return write_change(photograph.with_pixels(photograph.pixels.clone()), target, photograph, source)


@settings(max_examples=120, deadline=None)
@given(
    SIDES,
    SIDES,
    st.integers(1, 4),
    st.sampled_from([np.uint8, np.uint16, np.float32]),
    st.integers(0, 99),
    st.booleans(),
)
def test_tiff_comes_back(height, width, channels, dtype, seed, big):
    array = samples(height, width, channels, dtype, seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tiff(array, folder / "a.tif", byteorder=">" if big else "<")
        assert unchanged(folder / "a.tif", folder / "b.tif") == ()
        np.testing.assert_array_equal(tifffile.imread(folder / "b.tif").reshape(array.shape), array)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(1, 4), st.sampled_from([np.uint8, np.uint16]), st.integers(0, 99))
def test_png_comes_back(height, width, channels, dtype, seed):
    array = samples(height, width, channels, dtype, seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tiff(array, folder / "a.tif")
        unchanged(folder / "a.tif", folder / "b.png")
        assert unchanged(folder / "b.png", folder / "c.png") == ()
        for path in (folder / "b.png", folder / "c.png"):
            np.testing.assert_array_equal(png_values(path), array)


def come_back_from_the_disk(height, width, channels, dtype, seed, suffix):
    """Through a file of one format and one of the other, band by band, by one row or a few at a time."""
    array = samples(height, width, channels, dtype, seed)
    with tempfile.TemporaryDirectory() as name, small_bands(1000):
        folder = Path(name)
        write_tiff(array, folder / "a.tif")
        photograph = read(folder / "a.tif", memory=1)
        assert on_disk(photograph.pixels)
        if suffix == ".png":
            write(photograph, folder / "b.png")
            photograph = read(folder / "b.png", memory=1)
            assert write(photograph, folder / "c.png") == ()
            for path in (folder / "b.png", folder / "c.png"):
                np.testing.assert_array_equal(png_values(path), array)
        else:
            assert write(photograph, folder / "b.tif") == ()
            np.testing.assert_array_equal(tifffile.imread(folder / "b.tif").reshape(array.shape), array)


KINDS = st.one_of(
    st.tuples(st.sampled_from([np.uint8, np.uint16]), st.integers(0, 99), st.just(".png")),
    st.tuples(st.sampled_from([np.uint8, np.uint16, np.float32]), st.integers(0, 99), st.just(".tif")),
)


@settings(max_examples=25, deadline=None)
@given(SIDES, SIDES, st.integers(1, 4), KINDS)
def test_what_is_larger_than_the_memory_comes_back(height, width, channels, kind):
    come_back_from_the_disk(height, width, channels, *kind)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(SIDES, SIDES, st.integers(1, 4), KINDS)
def test_much_more_that_is_larger_than_the_memory_comes_back(height, width, channels, kind):
    come_back_from_the_disk(height, width, channels, *kind)


@settings(max_examples=30, deadline=None)
@given(SIDES, SIDES, st.sampled_from([3, 4]), st.integers(0, 99))
def test_lossless_webp_comes_back(height, width, channels, seed):
    array = samples(height, width, channels, np.uint8, seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.fromarray(array).save(folder / "a.webp", lossless=True, exact=True)
        assert unchanged(folder / "a.webp", folder / "b.webp") == ()
        with Image.open(folder / "b.webp") as picture:
            np.testing.assert_array_equal(np.asarray(picture.convert("RGBA"))[..., :channels], array)
        assert b"VP8L" in (folder / "b.webp").read_bytes()


@settings(max_examples=30, deadline=None)
@given(SIDES, SIDES, st.integers(0, 99))
def test_bmp_comes_back(height, width, seed):
    array = samples(height, width, 3, np.uint8, seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.fromarray(array).save(folder / "a.bmp")
        assert unchanged(folder / "a.bmp", folder / "b.bmp") == ()
        np.testing.assert_array_equal(np.asarray(Image.open(folder / "b.bmp")), array)


EXTRAS = [(0,), (0, 0), (2, 0), (0, 2), (1, 0)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize(("extra", "tagged"), [*((kinds, True) for kinds in EXTRAS), ((0,), False), ((0, 0), False)])
def test_planes_that_are_no_alpha_are_carried(tmp_path, extra, dtype, colours, tagged):
    array = np.random.default_rng(3).random((31, 37, colours + len(extra)))
    array = array.astype(np.float32) if dtype is np.float32 else (array * np.iinfo(dtype).max).astype(dtype)
    kind = "minisblack" if colours == 1 else "rgb"
    tifffile.imwrite(tmp_path / "a.tif", array, photometric=kind, planarconfig="contig", extrasamples=extra)
    if not tagged:
        data = bytearray((tmp_path / "a.tif").read_bytes())
        at = next(k for k in range(8, len(data)) if data[k : k + 4] == b"\x52\x01\x03\0")
        data[at : at + 2] = b"\x51\x01"  # tag 337 instead of 338
        (tmp_path / "a.tif").write_bytes(data)
    photograph = read(tmp_path / "a.tif")
    alphas = sum(kind in (1, 2) for kind in extra)
    assert photograph.planes.shape[1] == len(extra) - alphas
    assert (photograph.alpha is not None) == bool(alphas)
    lost = unchanged(tmp_path / "a.tif", tmp_path / "b.tif")
    again = tifffile.imread(tmp_path / "b.tif")
    if 1 not in extra:
        np.testing.assert_array_equal(again, array)
    np.testing.assert_array_equal(again[..., colours:], array[..., colours:])
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert tuple(file.pages[0].extrasamples) == extra
    assert not any("channel" in word for word in lost)
    for suffix in (".png", ".jpg", ".webp"):
        assert any("beside colour and alpha" in word for word in unchanged(tmp_path / "a.tif", tmp_path / f"c{suffix}"))
    if dtype is np.uint8 and not alphas:
        np.testing.assert_array_equal(png_values(tmp_path / "c.png"), array[..., :colours])


def test_float_values_beyond_one_and_nan_come_back(tmp_path):
    array = np.random.default_rng(0).random((40, 50, 3)).astype(np.float32)
    array[3:9, 4:12] = 37.5
    array[0, 0] = (-0.25, 2.5, 1e6)
    array[20:25, 30:33] = np.nan
    array[21, 40] = np.inf
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb")
    photograph = read(tmp_path / "a.tif")
    assert photograph.pixels.isfinite().all()
    assert 0 <= photograph.pixels.min() <= photograph.pixels.max() <= 1
    assert unchanged(tmp_path / "a.tif", tmp_path / "b.tif") == ()
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), array)
    halved = photograph.with_pixels(photograph.pixels / 2)
    write(halved, tmp_path / "c.tif")
    np.testing.assert_allclose(tifffile.imread(tmp_path / "c.tif")[5, 5], 37.5 - 0.5, rtol=1e-6)
    for suffix in (".png", ".jpg"):
        words = unchanged(tmp_path / "a.tif", tmp_path / f"d{suffix}")
        assert {"values that are not numbers (NaN)", "values outside 0 to 1"} < set(words)
    values = png_values(tmp_path / "d.png")
    assert (values[5, 5] == 65535).all()
    assert 0 < values[22, 31].mean() < 65535  # of the neighbours
    assert "values outside 0 to 1" in write(photograph.with_pixels(torch.rand(1, 3, 80, 100)), tmp_path / "e.tif")
    array[...] = np.nan
    tifffile.imwrite(tmp_path / "n.tif", array, photometric="rgb")
    with pytest.raises(ImageError, match=r"n\.tif: holds no finite number"):
        read(tmp_path / "n.tif")


@pytest.mark.parametrize("kind", ["minisblack", "rgb"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_double_and_32_bit_integers(tmp_path, kind, planar):
    array = np.random.default_rng(0).random((30, 40, 3))
    stored = array.transpose(2, 0, 1).copy() if planar == "separate" else array
    if kind == "minisblack":
        array, stored = array[..., :1], array[..., 0].copy()
    options = {"photometric": kind} | ({"planarconfig": planar} if kind == "rgb" else {})
    tifffile.imwrite(tmp_path / "d.tif", stored, **options)
    (word,) = unchanged(tmp_path / "d.tif", tmp_path / "e.tif")
    assert word == "64-bit floating values (32 bits are kept)"
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "e.tif").reshape(array.shape), array.astype(np.float32))
    tifffile.imwrite(tmp_path / "i.tif", (stored * (2**32 - 1)).astype(np.uint32), **options)
    (word,) = unchanged(tmp_path / "i.tif", tmp_path / "j.tif")
    assert word == "32-bit integers (16 bits are kept)"
    again = tifffile.imread(tmp_path / "j.tif").reshape(array.shape)
    assert again.dtype == np.uint16
    assert np.abs(again - array * 65535).max() <= 0.51
    for dtype in (np.int32, np.int16):
        tifffile.imwrite(tmp_path / "s.tif", (stored * 1000).astype(dtype), **options)
        with pytest.raises(ImageError, match=r"s\.tif: cannot read"):
            read(tmp_path / "s.tif")


@pytest.mark.parametrize("bits", [10, 12])
def test_avif_keeps_its_depth_and_sampling(tmp_path, bits):
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16)[None, :, None], (64, 1, 3))
    image = pyvips.Image.new_from_array(ramp).copy(interpretation="rgb16")
    for mode, name in (("on", "YUV420"), ("off", "YUV444")):
        image.heifsave(str(tmp_path / "a.avif"), bitdepth=bits, compression="av1", subsample_mode=mode, Q=100)
        photograph = read(tmp_path / "a.avif")
        assert photograph.coding.depth == bits
        assert photograph.pixels.max() == 1
        assert unchanged(tmp_path / "a.avif", tmp_path / "b.avif") == ()
        facts = avif_facts(tmp_path / "b.avif")
        assert (facts["Bit Depth"], facts["Format"]) == (str(bits), name)
    assert unchanged(tmp_path / "a.avif", tmp_path / "c.jpg") == (f"{bits} bits in a value (8 are kept)",)


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("quality", [50, 90, 94, 99])
def test_jpeg_follows_its_source(tmp_path, sampling, progressive, quality):
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", quality=quality, subsampling=sampling, progressive=progressive)
    unchanged(tmp_path / "a.jpg", tmp_path / "b.jpg")
    with Image.open(tmp_path / "a.jpg") as before, Image.open(tmp_path / "b.jpg") as after:
        sizes = [[component[1:3] for component in picture.layer] for picture in (before, after)]
        assert sizes[0] == sizes[1]
        assert bool(after.info.get("progressive")) == progressive
        if quality >= 90:
            assert after.quantization == before.quantization
        else:  # so coarse a table would undo what the restoration has brought back
            file = io.BytesIO()
            Image.fromarray(smooth()).save(file, "JPEG", quality=90)
            assert after.quantization == Image.open(file).quantization
    write(read(tmp_path / "a.jpg"), tmp_path / "c.jpg", quality=30)
    file = io.BytesIO()
    Image.fromarray(smooth()).save(file, "JPEG", quality=30)
    with Image.open(tmp_path / "c.jpg") as picture:
        assert picture.quantization == Image.open(file).quantization


def test_noise_is_written_as_jpeg_of_any_quality(tmp_path):
    photograph = Photograph(torch.from_numpy(noise(300, 400, 3)).permute(2, 0, 1)[None] / 255)
    for quality in (1, 50, 100):
        write(photograph, tmp_path / "a.jpg", quality=quality)
        assert read(tmp_path / "a.jpg").pixels.shape == (1, 3, 300, 400)
        write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg")
