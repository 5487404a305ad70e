"""Colours that are no ICC profile: what a colour-managed viewer shows stays the same, by littleCMS and by avifdec."""

import io
import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from pellucid.images import Photograph, read, write
from pellucid.images.colour import (
    ADOBE_RGB,
    Colour,
    agrees,
    colour_of_cicp,
    grey_from_rgb,
    is_linear,
    profile_of,
    rgb_from_grey,
)
from support.pictures import avif_facts, exiftool, grey_profile, integers, p3, png_values, png_with, rendered, smooth

WITH_PROFILE = [".jpg", ".tif", ".webp", ".avif"]
D65 = np.array([0.3127, 0.3290])


def matrix(primaries, white=D65):
    """RGB to XYZ, by solving for the white; with white D65 and no adaptation, which sRGB shares."""
    xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    x, y = white
    return xyz * np.linalg.solve(xyz, np.array([x / y, 1, (1 - x - y) / y]))


SRGB = [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)]


def seen(values, light, primaries):
    """The sRGB of 8 bits that is shown of values in [0, 1], by the formulas."""
    shown = light(values) @ (np.linalg.inv(matrix(SRGB)) @ matrix(primaries)).T
    shown = shown.clip(0, 1)
    return 255 * np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)


def srgb_light(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def chrm(primaries):
    return struct.pack(">8L", *(round(1e5 * number) for pair in [tuple(D65), *primaries] for number in pair))


ADOBE = [(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)]
P3 = [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)]
BT2020 = [(0.708, 0.292), (0.170, 0.797), (0.131, 0.046)]
TAGGED = {
    "linear": ([(b"gAMA", struct.pack(">L", 100000))], lambda v: v, SRGB),
    "gamma 1.8": ([(b"gAMA", struct.pack(">L", 55556))], lambda v: v**1.8, SRGB),
    "Adobe RGB": ([(b"gAMA", struct.pack(">L", 45471)), (b"cHRM", chrm(ADOBE))], lambda v: v**2.19921875, ADOBE),
    "Display P3": ([(b"cICP", bytes((12, 13, 0, 1)))], srgb_light, P3),
    "BT.2020, linear": ([(b"cICP", bytes((9, 8, 0, 1)))], lambda v: v, BT2020),
    "cICP before all": (
        [(b"cICP", bytes((12, 13, 0, 1))), (b"gAMA", struct.pack(">L", 100000)), (b"sRGB", b"\0")],
        srgb_light,
        P3,
    ),
    "sRGB": ([(b"sRGB", b"\0"), (b"gAMA", struct.pack(">L", 45455))], srgb_light, SRGB),
}


def flat(value=(200, 90, 60)):
    return np.full((32, 32, 3), value, np.uint8)


@pytest.mark.parametrize("tagged", TAGGED)
@pytest.mark.parametrize("suffix", WITH_PROFILE)
def test_what_png_tags_mean_is_shown_from_every_format(tmp_path, tagged, suffix):
    chunks, light, primaries = TAGGED[tagged]
    (tmp_path / "a.png").write_bytes(png_with(flat(), *chunks))
    photograph = read(tmp_path / "a.png")
    write(photograph, tmp_path / f"b{suffix}", quality=100)
    expected = seen(flat()[0, 0] / 255, light, primaries)
    native = suffix == ".avif" and tagged in ("Display P3", "BT.2020, linear", "cICP before all")
    with Image.open(tmp_path / f"b{suffix}") as picture:
        if native:
            assert "icc_profile" not in picture.info
            facts = avif_facts(tmp_path / f"b{suffix}")
            assert (facts["Color Primaries"], facts["Transfer Char."]) == (str(chunks[0][1][0]), "13")
            values = seen(flat() / 255, light, SRGB) if "linear" in tagged else flat()
            assert np.abs(np.asarray(picture).astype(int) - values).mean() < 2
            return
        assert ("icc_profile" in picture.info) == (tagged != "sRGB")
        shown = np.asarray(rendered(picture)).astype(float)
    assert np.abs(shown.mean((0, 1)) - expected).max() < 2


@pytest.mark.parametrize("tagged", TAGGED)
def test_png_tags_come_back_in_png_and_so_do_the_values(tmp_path, tagged):
    chunks, _, _ = TAGGED[tagged]
    (tmp_path / "a.png").write_bytes(png_with(smooth(), *chunks))
    assert write(read(tmp_path / "a.png"), tmp_path / "b.png") == ()
    np.testing.assert_array_equal(png_values(tmp_path / "b.png"), smooth())
    data = (tmp_path / "b.png").read_bytes()
    assert all(name + body in data for name, body in chunks)
    assert b"iCCP" not in data


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif", ".jpg"])
@pytest.mark.parametrize(("space", "rules"), [(0xFFFF, "R03"), (2, "R98")])
def test_adobe_rgb_that_only_exif_tells(tmp_path, suffix, space, rules):
    exif = Image.Exif()
    exif[0x010F] = "ACME"
    exif.get_ifd(0x8769)[0xA001] = space
    exif.get_ifd(0x8769)[0xA005] = {1: rules}
    Image.fromarray(flat()).save(tmp_path / "a.jpg", exif=exif, quality=100)
    photograph = read(tmp_path / "a.jpg")
    write(photograph, tmp_path / f"b{suffix}", quality=100)
    found = exiftool(tmp_path / f"b{suffix}")
    assert found["ExifIFD:ColorSpace"] == space
    with Image.open(tmp_path / f"b{suffix}") as picture:
        assert ("icc_profile" in picture.info) == (suffix != ".jpg")
        if suffix != ".jpg":
            shown = np.asarray(rendered(picture)).mean((0, 1))
            assert np.abs(shown - seen(flat()[0, 0] / 255, lambda v: v**2.19921875, ADOBE)).max() < 3
        else:
            assert found["InteropIFD:InteropIndex"] == rules


@pytest.mark.parametrize(("primaries", "transfer"), [(12, 13), (9, 16), (9, 18), (11, 4)])
@pytest.mark.parametrize("bits", [8, 16])
def test_nclx_comes_back_and_becomes_cicp(tmp_path, primaries, transfer, bits):
    chunks = (b"cICP", bytes((primaries, transfer, 0, 1)))
    (tmp_path / "a.png").write_bytes(png_with(flat(), chunks))
    photograph = read(tmp_path / "a.png")
    photograph = Photograph(photograph.pixels, bits=bits, metadata=photograph.metadata, linear=photograph.linear)
    write(photograph, tmp_path / "a.avif", quality=100)
    for name in ("b.avif", "c.avif"):
        write(read(tmp_path / ("a.avif" if name == "b.avif" else "b.avif")), tmp_path / name, quality=100)
        facts = avif_facts(tmp_path / name)
        assert (facts["Color Primaries"], facts["Transfer Char."]) == (str(primaries), str(transfer))
        assert facts["Bit Depth"] == ("8" if bits == 8 else "10")
    write(read(tmp_path / "c.avif"), tmp_path / "d.png")
    data = (tmp_path / "d.png").read_bytes()
    assert data[data.index(b"cICP") + 4 :][:4] == bytes((primaries, transfer, 0, 1))
    assert (b"iCCP" in data) == (transfer not in (16, 18))  # for programs that do not know the numbers
    values = png_values(tmp_path / "d.png") / (255 if bits == 8 else 65535)
    assert np.abs(values - flat() / 255).max() < 0.02


def test_white_of_ten_bits_is_white(tmp_path):
    write(Photograph(torch.ones(1, 3, 16, 16), bits=16), tmp_path / "a.avif", quality=100)
    assert (read(tmp_path / "a.avif").pixels == 1).all()
    write(read(tmp_path / "a.avif"), tmp_path / "a.png")
    assert (png_values(tmp_path / "a.png") == 65535).all()


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".webp"])
def test_pq_becomes_a_profile_that_ends_at_white_with_a_word(tmp_path, suffix):
    (tmp_path / "a.png").write_bytes(png_with(flat((148, 148, 148)), (b"cICP", bytes((9, 16, 0, 1)))))
    (word,) = write(read(tmp_path / "a.png"), tmp_path / f"b{suffix}", quality=100)
    assert "PQ" in word
    with Image.open(tmp_path / f"b{suffix}") as picture:
        shown = np.asarray(rendered(picture)).mean()
    assert shown == pytest.approx(254, abs=3)  # 148 of 255 is 202 cd/m2 by ST 2084, the white of paper


def test_a_grey_picture_with_a_profile_for_colour(tmp_path):
    linear = ImageCms.ImageCmsProfile(io.BytesIO(profile_of(Colour(transfer=1.0), grey=False))).tobytes()
    ramp = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1))
    Image.fromarray(ramp).save(tmp_path / "a.png", icc_profile=linear)
    for suffix in (".png", ".jpg", ".tif", ".webp"):
        assert write(read(tmp_path / "a.png"), tmp_path / f"b{suffix}", quality=100) == ()
        with Image.open(tmp_path / f"b{suffix}") as picture:
            space = picture.info["icc_profile"][16:20]
            assert (picture.mode, space) == (("L", b"GRAY") if suffix != ".webp" else ("RGB", b"RGB "))
            shown = np.asarray(rendered(picture))[16, :, 0].astype(float)
        light = ramp[0] / 255
        expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        assert np.abs(shown - expected).mean() < 1.5
    three = p3().replace(b"gTRC", b"gTRX", 1)  # no curve for green: it cannot be a profile for grey
    Image.fromarray(ramp).save(tmp_path / "c.png", icc_profile=three)
    photograph = read(tmp_path / "c.png")
    assert (photograph.grey, photograph.metadata.icc) == (False, three)


def test_profiles_that_do_not_fit_are_named(tmp_path):
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", icc_profile=grey_profile(2.2))
    (word,) = write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    assert "GRAY" in word
    assert rgb_from_grey(p3()) == grey_from_rgb(grey_profile(2.2)) == b""


@pytest.mark.parametrize("colour", [Colour(), ADOBE_RGB, Colour(transfer=1.8), colour_of_cicp((12, 13, 0, 1))])
@pytest.mark.parametrize("grey", [False, True])
def test_profiles_are_read_by_littlecms_and_exiftool(tmp_path, colour, grey):
    picture = Image.fromarray(smooth()).convert("L" if grey else "RGB")
    picture.save(tmp_path / "a.png", icc_profile=profile_of(colour, grey=grey))
    found = exiftool(tmp_path / "a.png")
    assert found["ICC-header:ColorSpaceData"] == ("GRAY" if grey else "RGB ")
    assert not any("Warning" in name for name in found)
    ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile_of(colour, grey=grey))))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("grey", [False, True])
def test_light_is_restored_as_seen_and_comes_back_exactly(tmp_path, dtype, grey):
    """With a straight curve the pixels are those that a screen would show; the file gets its own values again."""
    most = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    shape = (61, 67) if grey else (61, 67, 3)
    array = np.random.default_rng(2).random(shape) * most
    array = array.astype(dtype)
    profile = profile_of(Colour(transfer=1.0), grey=grey)
    assert is_linear(profile, None)
    kind = "minisblack" if grey else "rgb"
    tifffile.imwrite(tmp_path / "a.tif", array, photometric=kind, iccprofile=profile)
    photograph = read(tmp_path / "a.tif")
    light = np.rint(array / most * 255) / 255 if dtype is np.uint8 else array / most
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    pixels = photograph.pixels[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(
        pixels[..., :1] if grey else pixels, expected[..., None] if grey else expected, atol=1e-6
    )
    assert write(photograph, tmp_path / "b.tif") == ()
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), array)
    assert not is_linear(p3(), None)
    assert not is_linear(profile_of(Colour(transfer=1.001), grey=grey), None)


def test_primaries_and_curve_of_tiff_become_a_profile(tmp_path):
    curve = tuple(round(65535 * (value / 255) ** 1.5) for value in range(256))
    ratios = tuple(number for x, y in P3 for value in (x, y) for number in (round(value * 10000), 10000))
    tags = [(319, 5, 6, ratios, True), (318, 5, 2, (3127, 10000, 3290, 10000), True), (301, 3, 768, curve * 3, True)]
    tifffile.imwrite(tmp_path / "a.tif", flat(), photometric="rgb", extratags=tags)
    write(read(tmp_path / "a.tif"), tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as picture:
        shown = np.asarray(rendered(picture)).mean((0, 1))
    assert np.abs(shown - seen(flat()[0, 0] / 255, lambda v: v**1.5, P3)).max() < 2
    np.testing.assert_array_equal(integers(read(tmp_path / "b.png").pixels), flat())


@pytest.mark.parametrize("sampling", ["420", "422", "444"])
def test_the_chroma_of_avif_is_never_made_coarser(tmp_path, sampling):
    encoded_avif(tmp_path, "-y", sampling)
    assert unchanged_avif(tmp_path)["Format"] == {"420": "YUV420"}.get(sampling, "YUV444")


def encoded_avif(folder, *options, mode="RGB"):
    """a.png and a.avif, by avifenc."""
    if shutil.which("avifenc") is None:
        pytest.skip("avifenc is not installed: apt-get install libavif-bin")
    array = smooth(48, 64)
    if mode == "RGBA":
        array = np.concatenate([array, 40 + array[..., 1:2] // 2], -1)
    Image.fromarray(array).save(folder / "a.png")
    command = ["avifenc", "-s", "9", "--min", "0", "--max", "4", *options, folder / "a.png", folder / "a.avif"]
    subprocess.run(command, check=True, capture_output=True)


def unchanged_avif(folder):
    """What avifdec says of a.avif, read and written again."""
    assert write(read(folder / "a.avif"), folder / "b.avif") == ()
    return avif_facts(folder / "b.avif")


def test_alpha_that_avif_has_multiplied_in_is_taken_out(tmp_path):
    encoded_avif(tmp_path, "-p", mode="RGBA")
    facts = avif_facts(tmp_path / "a.avif")
    assert facts["Alpha"] == "Premultiplied"
    write(read(tmp_path / "a.avif"), tmp_path / "b.png")
    with Image.open(tmp_path / "a.png") as before, Image.open(tmp_path / "b.png") as after:
        difference = np.abs(np.asarray(before).astype(int) - np.asarray(after))
    assert difference.mean() < 2


def test_numbers_of_avif_beside_a_profile_stay(tmp_path):
    (tmp_path / "p3.icc").write_bytes(p3())
    encoded_avif(tmp_path, "--cicp", "9/16/9", "-d", "10", "--icc", str(tmp_path / "p3.icc"))
    facts = unchanged_avif(tmp_path)
    assert (facts["Color Primaries"], facts["Transfer Char."]) == ("9", "16")
    assert facts["ICC Profile"].startswith("Present")
    lost = write(read(tmp_path / "a.avif"), tmp_path / "b.png")
    assert lost == ("the numbers of PQ (the ICC profile beside them is kept)",)


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".webp", ".avif"])
def test_of_numbers_and_a_profile_in_png_the_numbers_count(tmp_path, suffix):
    """Here they contradict each other: the profile is that of sRGB, the numbers are those of Display P3."""
    srgb, numbers = profile_of(Colour(), grey=False), b"cICP" + bytes((12, 13, 0, 1))
    profile = b"iCCP" + b"icc\0\0" + zlib.compress(srgb)
    chunks = [(part[:4], part[4:]) for part in (numbers, profile)]
    (tmp_path / "a.png").write_bytes(png_with(flat(), *chunks))
    write(read(tmp_path / "a.png"), tmp_path / f"b{suffix}", quality=100)
    if suffix == ".avif":
        facts = avif_facts(tmp_path / "b.avif")
        assert (facts["Color Primaries"], facts["ICC Profile"]) == ("12", "Absent")
    else:
        with Image.open(tmp_path / f"b{suffix}") as picture:
            truth = seen(flat()[0, 0] / 255, srgb_light, P3)
            assert np.abs(np.asarray(rendered(picture)).mean((0, 1)) - truth).max() < 3
    for agreeing in (p3(), profile_of(colour_of_cicp((12, 13, 0, 1)), grey=False)):
        assert agrees(agreeing, colour_of_cicp((12, 13, 0, 1)))
        assert not agrees(agreeing, Colour())
