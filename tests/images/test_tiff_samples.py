"""TIFF files of every sort of samples: what they mean does not depend on how they are packed, by tifffile, Pillow and
littlecms."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from pellucid.errors import ImageError
from pellucid.images import read, write
from support.pictures import integers, noise, p3, smooth
from support.streaming import small_bands

SHAPE = (70, 83)
WAYS = [
    {"compression": compression, "planarconfig": planar, **tile}
    for compression in (None, "deflate", "zstd", "lzma")
    for planar in ("contig", "separate")
    for tile in ({}, {"tile": (32, 48)})
]
"""How samples are packed: some ways libvips knows, others not."""


def written(path, array, **options):
    """Writes (H, W, C) in a way."""
    pytest.importorskip("imagecodecs")
    if array.ndim == 2 or array.shape[2] == 1:
        options.pop("planarconfig", None)
    elif options.get("planarconfig") == "separate":
        array = np.moveaxis(array, -1, 0).copy()
    tifffile.imwrite(path, array, metadata=None, **options)
    return path


def rgb(path):
    """The values that are read, 0 to 255, as real numbers."""
    return 255 * read(path).pixels[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_the_colours_are_the_same_in_every_way(tmp_path, way):
    inks, lab = noise(*SHAPE, 4), noise(*SHAPE, 3)
    plain = {
        "inks": (inks, {"photometric": "separated"}),
        "deep inks": (inks.astype(np.uint16) * 257, {"photometric": "separated"}),
        "lab": (lab, {"photometric": "cielab"}),
        "deep lab": (lab.astype(np.uint16) * 257, {"photometric": "cielab"}),
        "luma": (lab, {"photometric": "ycbcr", "subsampling": (1, 1)}),
        "numbers": (
            lab[..., 0],
            {"photometric": "palette", "colormap": noise(3, 256, dtype=np.uint16)},
        ),
        "paper": (lab[..., 0], {"photometric": "miniswhite"}),
        "one bit": (lab[..., 0] > 127, {"photometric": "minisblack"}),
        "one bit of ink": (lab[..., 0] > 127, {"photometric": "miniswhite"}),
        "halves": ((lab / 255).astype(np.float16), {"photometric": "rgb"}),
    }
    for name, (array, options) in plain.items():
        one = written(tmp_path / "one.tif", array, **options)
        other = written(tmp_path / "other.tif", array, **options, **way)
        assert np.abs(rgb(one) - rgb(other)).max() < 0.51, name
        assert read(one).grey == read(other).grey, name
        assert read(one).lost == read(other).lost, name


def test_each_sort_is_what_pillow_and_the_definitions_say(tmp_path):
    luma = noise(*SHAPE, 3)
    written(tmp_path / "a.tif", luma, photometric="ycbcr", subsampling=(1, 1), planarconfig="separate")
    truth = np.asarray(Image.frombytes("YCbCr", SHAPE[::-1], luma.tobytes()).convert("RGB"))
    assert np.abs(rgb(tmp_path / "a.tif") - truth).max() <= 1
    deep = noise(3, 65536, dtype=np.uint16)
    for compression in (None, "zstd"):
        numbers = noise(*SHAPE, dtype=np.uint16)
        written(tmp_path / "a.tif", numbers, photometric="palette", colormap=deep, compression=compression)
        write(read(tmp_path / "a.tif"), tmp_path / "b.tif")
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), deep.T[numbers])
    table = noise(3, 256) * np.uint16(257)
    written(tmp_path / "a.tif", luma[..., 0], photometric="palette", colormap=table, compression="zstd")
    np.testing.assert_array_equal(integers(read(tmp_path / "a.tif").pixels), (table >> 8).T[luma[..., 0]])
    for compression in (None, "zstd"):
        written(tmp_path / "a.tif", luma[..., 0] > 9, photometric="miniswhite", compression=compression)
        np.testing.assert_array_equal(rgb(tmp_path / "a.tif")[..., 0], np.where(luma[..., 0] > 9, 0, 255))


@pytest.mark.parametrize("deep", [False, True])
def test_lab_of_icc_is_shown_as_littlecms_shows_it(tmp_path, deep):
    lightness, red = np.meshgrid(np.arange(60, 200, 7), np.arange(110, 150, 5))
    lab = np.stack([lightness, red, 0 * red + 131], -1).astype(np.uint8)
    stored = lab.astype(np.uint16) * 256 if deep else lab
    written(tmp_path / "a.tif", stored, photometric="icclab")
    signed = lab ^ np.array([0, 128, 128], np.uint8)  # as TIFF's own, and so Pillow, has it
    shown = ImageCms.profileToProfile(
        Image.frombytes("LAB", lab.shape[1::-1], signed.tobytes()),
        ImageCms.createProfile("LAB"),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    difference = np.abs(rgb(tmp_path / "a.tif") - np.asarray(shown))
    assert (difference.max() < 4) & (difference.mean() < 1)  # littlecms goes over a coarse table here
    assert read(tmp_path / "a.tif").lost == ("Lab colours (they become sRGB)",)


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_a_profile_counts_in_every_packing(tmp_path, compression):
    written(tmp_path / "a.tif", smooth(), photometric="rgb", compression=compression, iccprofile=p3())
    assert read(tmp_path / "a.tif").metadata.icc == p3()
    write(read(tmp_path / "a.tif"), tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as picture:
        assert picture.info["icc_profile"] == p3()


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_a_profile_of_inks_counts_in_every_packing(tmp_path, compression):
    from test_decode import profile_of

    profile, inks = profile_of("cmyk"), noise(*SHAPE, 4) // 2
    written(tmp_path / "a.tif", inks, photometric="separated", compression=compression, iccprofile=profile)
    truth = ImageCms.profileToProfile(
        Image.frombytes("CMYK", SHAPE[::-1], inks.tobytes()),
        io.BytesIO(profile),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert np.abs(rgb(tmp_path / "a.tif") - np.asarray(truth)).max() <= 2.5


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("kind", ["separated", "cielab", "icclab"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_channels_beside_inks_and_lab_are_carried(tmp_path, kind, dtype, compression):
    array = noise(*SHAPE, (4 if kind == "separated" else 3) + 2, dtype=dtype)
    written(tmp_path / "a.tif", array, photometric=kind, extrasamples=[0, 2], compression=compression)
    write(read(tmp_path / "a.tif"), tmp_path / "b.tif")
    found = tifffile.imread(tmp_path / "b.tif")
    expected = array[..., -2:].astype(np.uint32)
    if found.dtype == np.uint16 and dtype == np.uint8:
        expected = expected * 257
    np.testing.assert_array_equal(found[..., -2:], expected)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert tuple(file.pages[0].extrasamples) == (0, 2)


@pytest.mark.parametrize("bits", [2, 4, 6, 10, 12, 14])
@pytest.mark.parametrize("channels", [1, 3])
def test_depths_that_fill_no_bytes(tmp_path, bits, channels):
    array = noise(*SHAPE, channels, dtype=np.uint16) >> (16 - bits)
    array = array.astype(np.uint8 if bits < 9 else np.uint16)
    kind = "minisblack" if channels == 1 else "rgb"
    array = array[..., 0] if channels == 1 else array
    written(tmp_path / "a.tif", array, photometric=kind, bitspersample=bits)
    photograph = read(tmp_path / "a.tif")
    assert photograph.bits == (8 if bits < 9 else 16)
    most = 255 if bits < 9 else 65535
    write(photograph, tmp_path / "b.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), np.rint(array / (2**bits - 1) * most))


@pytest.mark.parametrize(
    ("photometric", "words"),
    [(32803, "what a sensor measured"), (34892, "what a sensor measured"), (5, "3 inks"), (10, "interpretation 10")],
)
def test_what_is_no_picture_is_not_taken_for_one(tmp_path, photometric, words):
    written(tmp_path / "a.tif", noise(*SHAPE, 3), photometric="rgb")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    at = data.index(struct.pack("<HHLH", 262, 3, 1, 2))
    struct.pack_into("<H", data, at + 8, photometric)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ImageError, match=rf"a\.tif: .*{words}"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_is_larger_than_the_memory_is_the_same(tmp_path, way):
    array = noise(*SHAPE, 3, dtype=np.uint16)
    path = written(tmp_path / "a.tif", array, photometric="rgb", **way)
    with small_bands(1000):
        write(read(path, memory=1), tmp_path / "b.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), array)


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_alpha_beside_a_palette(tmp_path, compression):
    table, numbers = noise(3, 256) * np.uint16(257), noise(*SHAPE, 2)
    numbers[..., 1] |= 1
    options = {"extrasamples": [2], "extratags": [(320, 3, 768, table.ravel().tolist(), True)]}
    written(tmp_path / "a.tif", numbers, photometric="minisblack", compression=compression, **options)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    struct.pack_into("<H", data, data.index(struct.pack("<HHLH", 262, 3, 1, 1)) + 8, 3)
    (tmp_path / "a.tif").write_bytes(data)
    with Image.open(tmp_path / "a.tif") as picture:
        assert compression or picture.mode == "PA"
    write(read(tmp_path / "a.tif"), tmp_path / "b.tif")
    expected = np.concatenate([(table >> 8).T[numbers[..., 0]], numbers[..., 1:]], -1)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), expected)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    """tifffile says it in these words, where imagecodecs is not installed."""
    written(tmp_path / "a.tif", smooth(), photometric="rgb", compression="zstd")

    def missing(*_, **__):
        raise ValueError("<COMPRESSION.ZSTD: 50000> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", missing)
    with pytest.raises(ImageError, match=r"a\.tif: .*pellucid\[jxl\]"):
        read(tmp_path / "a.tif")
