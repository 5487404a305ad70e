"""pellucid.images against Pillow, tifffile, littleCMS, a PNG decoder from the definition, and arrays made by hand."""

import io
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
import torch
from PIL import Image, ImageCms, ImageOps, IptcImagePlugin
from PIL.PngImagePlugin import PngInfo

from pellucid import images
from pellucid.errors import ImageError, SettingsError
from pellucid.images import Metadata, Photograph, fill_hidden, like, quantise, read, supported, to_tensor, write

LOSSLESS = (".png", ".tif")
SIZE = (37, 53)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6" note="kept"/></x:xmpmeta>'
IPTC = b"\x1c\x02\x05\x00\x05Title\x1c\x02\x50\x00\x04Zoe\xe9"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The pictures are tiny: on a busy machine all the time would go into waiting for the other threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def smooth(height: int = 37, width: int = 53) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, 255 * (x + y) / (width + height)], -1).astype(np.uint8)


def integers(pixels: torch.Tensor, most: int = 255) -> np.ndarray:
    """(1, C, H, W) in [0, 1] to (H, W, C), by numpy in float64."""
    return np.rint(pixels[0].permute(1, 2, 0).double().numpy() * most).astype(np.int64)


def png_values(path: Path) -> np.ndarray:
    """The (H, W, C) of a PNG file as it lies there, decoded from its definition: Pillow cuts 16-bit colour to 8."""
    data, at, packed = path.read_bytes(), 8, b""
    width, height, depth, kind = struct.unpack_from(">LLBB", data, 16)
    while at < len(data):
        (size,) = struct.unpack_from(">L", data, at)
        packed += data[at + 8 : at + 8 + size] if data[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + size
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    step = channels * depth // 8
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * step)
    rows = np.zeros((height + 1, (width + 1) * step), int)  # one row above and one pixel before are 0
    for y, line in enumerate(lines, 1):
        for x, value in enumerate(line[1:].tolist(), step):
            left, above, corner = rows[y, x - step], rows[y - 1, x], rows[y - 1, x - step]
            guess = left + above - corner
            paeth = min((left, above, corner), key=lambda near: abs(guess - near))
            rows[y, x] = (value + (0, left, above, (left + above) // 2, paeth)[line[0]]) % 256
    values = rows[1:, step:].astype(np.uint8)
    return values.view(f">u{depth // 8}").astype(f"u{depth // 8}").reshape(height, width, channels)


def profile_of(name: str) -> bytes:
    """One of the ICC profiles that libvips carries: srgb, p3, cmyk."""
    return bytes(pyvips.Operation.call("profile_load", name))


def p3() -> bytes:
    return profile_of("p3")


def grey_profile(gamma: float) -> bytes:
    """An ICC profile for grey, written by hand."""
    white = struct.pack(">3i", 63190, 65536, 54061)
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + bytes(79),
        b"wtpt": b"XYZ \0\0\0\0" + white,
        b"kTRC": b"curv\0\0\0\0" + struct.pack(">IHH", 1, int(gamma * 256), 0),
        b"cprt": b"text\0\0\0\0CC0\0",
    }
    table, body = struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(value))
        body += value
    size = 128 + len(table) + len(body)
    head = struct.pack(">I4sI4s4s4s6H", size, b"test", 0x02400000, b"mntr", b"GRAY", b"XYZ ", 2020, 1, 1, 0, 0, 0)
    return (head + b"acsp" + bytes(28) + white + bytes(48)) + table + body


def camera_exif(order: str = "<", orientation: int = 1, thumbnail: bytes = b"") -> bytes:
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0112], exif[0x013B], exif[0x8298] = "Canon", orientation, "Zoë", "© me"
    exif.get_ifd(0x8769).update(
        {0x829A: 0.008, 0x9003: "2020:01:02 03:04:05", 0x927C: b"MAKER\0" + bytes(range(200)), 0xA002: 9, 0xA003: 9}
    )
    exif.get_ifd(0x8769)[0xA432] = (24.0, 70.0, 2.8, 4.0)
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 2.0, 3.5)})
    if not thumbnail:
        return exif.tobytes()
    # A second table with a thumbnail, put behind by hand: Pillow writes none.
    data = bytearray(exif.tobytes()[6:])
    start = struct.unpack_from(order + "L", data, 4)[0]
    link = start + 2 + 12 * struct.unpack_from(order + "H", data, start)[0]
    data += bytes(len(data) % 2)
    struct.pack_into(order + "L", data, link, len(data))
    where = len(data) + 2 + 24 + 4
    data += struct.pack(order + "HHHLLHHLLL", 2, 0x201, 4, 1, where, 0x202, 4, 1, len(thumbnail), 0) + thumbnail
    return b"Exif\0\0" + bytes(data)


def said(exif: bytes) -> dict[str, object]:
    """All that Pillow finds in an EXIF block, but for where its tables lie."""
    loaded = Image.Exif()
    loaded.load(exif)
    found = {f"main {tag}": value for tag, value in loaded.items() if tag not in (0x8769, 0x8825)}
    for table in (0x8769, 0x8825):
        found |= {f"{table} {tag}": value for tag, value in loaded.get_ifd(table).items()}
    return found


def read_metadata(folder: Path) -> Metadata:
    """All that a camera and an editor say."""
    Image.fromarray(smooth()).save(folder / "all.jpg", exif=camera_exif(">"), xmp=XMP, icc_profile=p3(), dpi=(300, 300))
    return replace(read(folder / "all.jpg").metadata, iptc=IPTC)


# --- round trips ------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_read_agrees_with_pillow(tmp_path, suffix):
    for mode in ("L", "RGB", "1", "P", "LA", "RGBA"):
        if (mode, suffix) == ("LA", ".tif"):
            continue  # covered with tifffile above
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


# --- colour -----------------------------------------------------------------------------------------------------------


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


def test_a_profile_that_is_wrong_about_its_length_stops_nothing(tmp_path):
    for icc, kept in ((p3() + b"\0\0", p3()), (p3()[:-9], b""), (b"\0\x7f" + p3()[2:], b"")):
        Image.fromarray(smooth()).save(tmp_path / "p.jpg", icc_profile=icc)
        write(read(tmp_path / "p.jpg"), tmp_path / "q.png")
        assert read(tmp_path / "q.png").metadata.icc == kept


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


def test_grey_profile_is_kept_where_grey_is_and_converted_where_not(tmp_path):
    profile = grey_profile(1.0)  # linear light
    Image.fromarray(np.full((16, 16), 55, np.uint8)).save(tmp_path / "g.png", icc_profile=profile)
    photograph = read(tmp_path / "g.png")
    write(photograph, tmp_path / "out.tif")
    assert read(tmp_path / "out.tif").metadata.icc == profile
    write(photograph, tmp_path / "out.webp", quality=100)
    again = read(tmp_path / "out.webp")
    assert again.metadata.icc[16:20] == b"RGB "
    linear = 55 / 255
    assert abs(again.pixels[0, 0, 8, 8].item() - (1.055 * linear ** (1 / 2.4) - 0.055)) < 0.02


# --- alpha ------------------------------------------------------------------------------------------------------------


def test_hidden_colours_do_not_bleed():
    alpha = torch.zeros(1, 1, *SIZE)
    alpha[..., 5:30, 7:40] = 1
    alpha[..., 10:12, 10:12] = 0
    pixels = torch.where(alpha > 0, torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1), torch.rand(1, 3, *SIZE))
    filled = fill_hidden(pixels, alpha)
    torch.testing.assert_close(filled, torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1).expand_as(pixels))
    gradient = torch.linspace(0, 1, 53).expand(1, 3, *SIZE)
    torch.testing.assert_close(
        fill_hidden(gradient, alpha)[alpha.expand_as(pixels) > 0], gradient[alpha.expand_as(pixels) > 0]
    )
    near = fill_hidden(gradient, alpha)[..., 5:30, 40]
    assert (near - gradient[0, 0, 0, 39]).abs().max() < 0.1
    assert fill_hidden(pixels, torch.ones_like(alpha)) is pixels
    assert fill_hidden(pixels, torch.zeros_like(alpha)).abs().max() == 0


def test_alpha_survives_and_hidden_colours_are_filled_on_reading(tmp_path):
    array = np.full((*SIZE, 4), 200, np.uint8)
    array[:, :20] = (255, 0, 0, 0)
    array[:, 20:25, 3] = 128
    Image.fromarray(array).save(tmp_path / "a.png")
    photograph = read(tmp_path / "a.png")
    assert (photograph.pixels * 255 - 200).abs().max() < 0.01
    write(photograph, tmp_path / "b.png")
    again = np.asarray(Image.open(tmp_path / "b.png"))
    np.testing.assert_array_equal(again[..., 3], array[..., 3])
    np.testing.assert_array_equal(again[:, 20:], array[:, 20:])
    write(photograph, tmp_path / "c.jpg")
    flat = np.asarray(Image.open(tmp_path / "c.jpg")).astype(int)
    assert np.abs(flat[:, 2:10] - 255).max() <= 2
    assert np.abs(flat[:, 40:] - (200 * 200 / 255 + 55)).max() <= 2
    large = photograph.with_pixels(torch.rand(1, 3, 74, 106))
    assert large.alpha is not None
    assert large.alpha.shape == (1, 1, 74, 106)
    assert torch.equal(large.alpha[..., :38], torch.zeros(1, 1, 74, 38))
    assert torch.equal(large.alpha[..., 52:], torch.ones(1, 1, 74, 54) * 200 / 255)


def test_associated_alpha_is_undone(tmp_path):
    array = np.zeros((4, 5, 4), np.uint8)
    array[...] = (50, 100, 25, 128)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["ASSOCALPHA"])
    truth = torch.tensor([50, 100, 25]).view(1, 3, 1, 1) / 128
    assert (read(tmp_path / "a.tif").pixels - truth).abs().max() < 1 / 255


# --- metadata ---------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("target", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("source", [".jpg", ".png", ".tif"])
def test_exif_is_kept_within_and_between_formats(tmp_path, source, target, order):
    path = tmp_path / f"in{source}"
    original = Image.fromarray(smooth())
    if source == ".tif":  # Pillow writes no nested tables into TIFF: begin with one of ours
        original.save(tmp_path / "first.jpg", exif=camera_exif(order))
        write(read(tmp_path / "first.jpg"), path)
    else:
        original.save(path, exif=camera_exif(order), dpi=(300, 300))
    write(read(path), tmp_path / f"out{target}")
    expected = said(camera_exif(order)) | {"34665 40962": 53, "34665 40963": 37}
    with Image.open(tmp_path / f"out{target}") as again:
        assert read(tmp_path / f"out{target}").metadata.exif
        found = said(again.getexif().tobytes())
        if source != ".tif":
            assert again.info["dpi"] == pytest.approx((300, 300), rel=1e-3)
    assert found | {"main 274": 1} == found | expected | {"main 274": 1}
    if ".tif" not in (source, target):  # not one byte moved, but for the size
        kept = read(tmp_path / f"out{target}").metadata.exif
        changed = [at for at, (a, b) in enumerate(zip(kept, camera_exif(order)[6:], strict=True)) if a != b]
        assert len(changed) <= 4


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_exif_and_resolution_in_formats_that_libexif_writes(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x010F], exif[0x011A], exif[0x011B], exif[0x0128] = "Maker", 300.0, 300.0, 2
    exif.get_ifd(0x8769)[0x829A] = 0.008
    Image.fromarray(smooth()).save(tmp_path / f"in{suffix}", exif=exif.tobytes())
    photograph = read(tmp_path / f"in{suffix}")
    assert photograph.metadata.dpi == (300, 300)
    write(photograph, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as again:
        found = said(again.info["exif"])
    assert found["main 271"] == "Maker"
    assert found["main 282"] == 300
    assert found["34665 33434"] == pytest.approx(0.008)


def test_stale_thumbnail_is_wiped(tmp_path):
    thumbnail = b"\xff\xd8STALE" * 20
    exif = camera_exif("<", 6, thumbnail)
    Image.fromarray(smooth()).save(tmp_path / "t.jpg", exif=exif)
    assert thumbnail in (tmp_path / "t.jpg").read_bytes()
    for suffix in images.SUFFIXES:
        write(read(tmp_path / "t.jpg"), tmp_path / f"out{suffix}")
        assert b"STALE" not in (tmp_path / f"out{suffix}").read_bytes()
    with Image.open(tmp_path / "out.jpg") as again:
        assert again.getexif().get_ifd(1) == {}
        assert said(again.info["exif"])["34665 37500"] == said(exif)["34665 37500"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
def test_xmp_is_kept_and_its_orientation_is_one(tmp_path, suffix):
    Image.fromarray(smooth()).save(tmp_path / "x.jpg", xmp=XMP)
    write(read(tmp_path / "x.jpg"), tmp_path / f"out{suffix}")
    upright = XMP.replace(b'"6"', b'"1"')
    with Image.open(tmp_path / f"out{suffix}") as again:
        found = again.info.get("xmp") or again.info.get("XML:com.adobe.xmp").encode()
    assert found.rstrip(b"\0") == upright


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_iptc_is_kept(tmp_path, suffix):
    blank = Photograph(torch.rand(1, 3, 8, 8), metadata=Metadata(iptc=IPTC))
    write(blank, tmp_path / "i.jpg")
    write(read(tmp_path / "i.jpg"), tmp_path / f"o{suffix}")
    assert read(tmp_path / f"o{suffix}").metadata.iptc == IPTC
    with Image.open(tmp_path / f"o{suffix}") as again:
        assert IptcImagePlugin.getiptcinfo(again) == {(2, 5): b"Title", (2, 80): b"Zoe\xe9"}


def test_png_texts_colour_tags_and_resolution_are_kept(tmp_path):
    text = PngInfo()
    text.add_text("Title", "Dusk \xe9")
    text.add_text("Comment", "long " * 99, zip=True)
    text.add(b"gAMA", struct.pack(">L", 100000))
    text.add_itxt("Author", "Zoë")
    Image.fromarray(smooth()).save(tmp_path / "t.png", pnginfo=text, dpi=(144, 72))
    write(read(tmp_path / "t.png"), tmp_path / "u.png")
    with Image.open(tmp_path / "u.png") as again:
        assert again.text == {"Title": "Dusk \xe9", "Comment": "long " * 99, "Author": "Zoë"}
        assert again.info["gamma"] == 1.0
        assert again.info["dpi"] == pytest.approx((144, 72), rel=1e-3)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"x" * 9]
)
def test_broken_exif_does_not_stop_anything(tmp_path, exif):
    Image.fromarray(smooth()).save(tmp_path / "b.jpg", exif=exif)
    for suffix in (".jpg", ".png", ".tif"):
        write(read(tmp_path / "b.jpg"), tmp_path / f"c{suffix}")
        np.testing.assert_allclose(integers(read(tmp_path / f"c{suffix}").pixels), smooth(), atol=12)


# --- names, errors, atomicity -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stem", ["Zoë 夜景 🌙", "a[page=3]", "50% off%d%s", "[autorotate]", "-x", "a'b\"c", "two\nlines"]
)
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_any_name_is_only_a_name(tmp_path, stem, suffix):
    path = tmp_path / f"{stem}{suffix}"
    write(Photograph(torch.rand(1, 3, 6, 5)), path)
    assert os.listdir(tmp_path) == [path.name]
    assert read(path).pixels.shape == (1, 3, 6, 5)
    path.write_bytes(b"")
    with pytest.raises(ImageError) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_not_unicode(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system has only Unicode names")
    write(Photograph(torch.rand(1, 3, 6, 5)), path)
    assert read(path).pixels.shape == (1, 3, 6, 5)


def encoded(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(64, 96, 3)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp", "avif", "gif"])
def test_truncated_files(tmp_path, capfd, kind, share):
    data = encoded(kind)
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=rf"cut\.{kind}: ") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_progressive_and_damaged_files(tmp_path, capfd):
    (tmp_path / "p.jpg").write_bytes(encoded("jpeg", progressive=True)[:-300])
    damaged = bytearray(encoded("png"))
    damaged[len(damaged) // 2] ^= 0xFF
    (tmp_path / "d.png").write_bytes(damaged)
    for name in ("p.jpg", "d.png"):
        with pytest.raises(ImageError, match="truncated, damaged"):
            read(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_damage_anywhere_is_read_or_refused_but_never_crashes(tmp_path, capfd):
    """Every seventeenth byte of files with all kinds of metadata, one at a time, is set to 255."""
    small = Photograph(torch.rand(1, 3, 4, 4))
    metadata = read_metadata(tmp_path)
    for suffix in (".jpg", ".png", ".tif"):
        path = tmp_path / f"d{suffix}"
        write(replace(small, metadata=replace(metadata, icc=b"")), path)
        whole = path.read_bytes()
        read_well, messages = 0, []
        for at in range(3, len(whole), 17):
            path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
            try:
                write(read(path), tmp_path / f"again{suffix}")
                read_well += 1
            except ImageError as error:
                messages.append(str(error))
        assert read_well > 10
        assert not any("\n" in message for message in messages)
    assert capfd.readouterr() == ("", "")


def test_what_is_not_a_picture(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
    tifffile.imwrite(tmp_path / "raw.dng", noise(*SIZE, 3), photometric="rgb")
    tifffile.imwrite(tmp_path / "five.tif", noise(*SIZE, 5), photometric="rgb", extrasamples=[0, 0])
    tifffile.imwrite(tmp_path / "signed.tif", noise(*SIZE, 3).astype(np.int16), photometric="rgb")
    expected = {
        "empty.png": "the file is empty",
        "text.jpg": "not a picture that can be read",
        "folder.png": "Is a directory",
        "drawing.svg": "not a picture that can be read",
        "missing.png": "No such file",
        "raw.dng": "camera raw",
        "five.tif": "5 channels of uchar",
        "signed.tif": "3 channels of short",
        "nul\0.png": "null",
    }
    for name, reason in expected.items():
        with pytest.raises(ImageError, match=reason) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert name.split("\0")[0] in str(caught.value)


def test_first_page_is_read_and_pages_are_counted(tmp_path):
    frames = [Image.fromarray(noise(16, 16, 3) // (k + 1)) for k in range(3)]
    for suffix, options in ((".tif", {}), (".webp", {"lossless": True}), (".gif", {})):
        frames[0].save(tmp_path / f"m{suffix}", save_all=True, append_images=frames[1:], **options)
        photograph = read(tmp_path / f"m{suffix}")
        assert photograph.pages == 3
        assert photograph.pixels.shape == (1, 3, 16, 16)
        if suffix != ".gif":
            np.testing.assert_array_equal(integers(photograph.pixels), np.asarray(frames[0]))


def test_supported():
    assert supported("a/b.JPG")
    assert supported(Path("x.tiff"))
    assert not supported("x.gif")
    assert not supported("png")


def test_a_failed_write_leaves_everything_as_it_was(tmp_path, monkeypatch):
    good, path = Photograph(torch.rand(1, 3, 6, 5)), tmp_path / "x.png"
    write(good, path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(ImageError, match=r"x\.png: cannot be written: No space left on device"):
            write(replace(good, pixels=torch.zeros(1, 3, 9, 9)), path)
    with pytest.raises(ImageError, match="NaN"):
        write(Photograph(torch.full((1, 3, 6, 5), torch.nan)), path)
    with pytest.raises(ImageError, match="exists already"):
        write(good, path, overwrite=False)
    with pytest.raises(SettingsError, match="quality"):
        write(good, path, quality=0)
    assert os.listdir(tmp_path) == ["x.png"]
    assert path.read_bytes() == before


def test_where_nothing_can_be_written(tmp_path):
    good = Photograph(torch.rand(1, 3, 6, 5))
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for name, reason in {
        "file/x.png": "Not a directory",
        "none/x.png": "No such file",
        "folder.png": "folder",
        "x.gif": r"suffix '\.gif'; known: .*\.png",
        "x": "suffix ''",
        "x" * 300 + ".png": "too long",
        "nul\0.png": "null",
    }.items():
        with pytest.raises(ImageError, match=reason) as caught:
            write(good, tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match=r"wide\.webp: cannot be written as webp"):
        write(Photograph(torch.rand(1, 3, 1, 17000)), tmp_path / "wide.webp")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_permissions_and_links_are_those_of_the_place(tmp_path):
    good = Photograph(torch.rand(1, 3, 6, 5))
    (tmp_path / "plain").touch()
    write(good, tmp_path / "new.png")
    assert (tmp_path / "new.png").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "new.png").chmod(0o600)
    (tmp_path / "link.png").symlink_to(tmp_path / "new.png")
    write(replace(good, pixels=torch.zeros(1, 3, 2, 2)), tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert stat.S_IMODE((tmp_path / "new.png").stat().st_mode) == 0o600
    assert read(tmp_path / "new.png").pixels.shape == (1, 3, 2, 2)


# --- pictures in memory -----------------------------------------------------------------------------------------------


def test_quantise():
    values = torch.tensor([-0.3, 0, 0.49 / 255, 0.51 / 255, 127.49 / 255, 1, 1.7]).view(1, 1, 1, -1)
    assert torch.equal((quantise(values) * 255).round(), torch.tensor([0, 0, 0, 1, 127, 255, 255.0]).view(1, 1, 1, -1))
    image = torch.rand(2, 3, 9, 9)
    steps = quantise(image, 16).double() * 65535
    assert (steps - steps.round()).abs().max() < 0.01
    assert (steps - image.double() * 65535).abs().max() < 0.51
    assert torch.equal(quantise(quantise(image)), quantise(image))


@pytest.mark.parametrize("shape", [SIZE, (*SIZE, 1), (*SIZE, 2), (*SIZE, 3), (*SIZE, 4), (1, 1, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "float16", "float32", "float64"])
def test_numpy_round_trip(shape, dtype):
    array = noise(*shape, dtype=np.uint16 if dtype in ("uint16", ">u2") else np.uint8)
    if dtype.startswith("float"):
        array = array / 255
    array = array.astype(dtype)
    if array.ndim == 3 and shape[2] in (2, 4):
        array[..., -1] = np.maximum(array[..., -1], array.dtype.type(1 / 8 if dtype.startswith("float") else 1))
    tensor = to_tensor(array)
    scale = 1 if dtype.startswith("float") else np.iinfo(array.dtype).max
    assert tensor.dtype == torch.float32
    assert tensor.shape == (1, 3, *shape[:2])
    green = array if array.ndim == 2 else array[..., 1 if shape[2] > 2 else 0]
    np.testing.assert_allclose(tensor[0, 1].numpy(), green.astype(np.float64) / scale, rtol=1e-6)
    back = like(tensor, array)
    assert back.dtype == array.dtype
    np.testing.assert_allclose(back, array, rtol=1e-6 if dtype.startswith("float") else 0)


def test_numpy_views_integers_and_alpha():
    array = noise(*SIZE, 3)
    np.testing.assert_array_equal(to_tensor(array[::-1, ::2]), to_tensor(np.ascontiguousarray(array[::-1, ::2])))
    out = like(torch.tensor([-1.0, 0.4999 / 255, 254.6 / 255, 9]).view(1, 1, 2, 2).repeat(1, 3, 1, 1), array)
    np.testing.assert_array_equal(out[..., 0], [[0, 0], [255, 255]])
    rgba = noise(*SIZE, 4)
    rgba[..., 3] = 77
    double = like(torch.rand(1, 3, 74, 106), rgba)
    assert double.shape == (74, 106, 4)
    assert (double[..., 3] == 77).all()


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (np.zeros((0, 5, 3)), "expected shape"),
        (np.zeros((3, 20, 30)), "transpose"),
        (np.zeros((1, 20, 30, 3)), "expected shape"),
        (np.zeros((5, 5), bool), "bool"),
        (np.zeros((5, 5), complex), "complex"),
        (np.zeros((5, 5), np.int32), "int32"),
        (np.full((5, 5), 255.0), "255"),
        (np.full((5, 5), np.nan), "NaN"),
        (torch.zeros(3, 5, 5), r"x\[None\]"),
        (torch.zeros(1, 4, 5, 5), r"\(1, 4, 5, 5\)"),
        (torch.zeros(1, 3, 0, 5), "none of them 0"),
        (torch.zeros(1, 3, 5, 5, dtype=torch.uint8), "/ 255"),
        (torch.full((1, 3, 5, 5), 200.0), "expected"),
        (torch.full((1, 3, 5, 5), torch.inf), "infinity"),
        (Image.new("F", (5, 5)), "mode F"),
        (Image.new("YCbCr", (5, 5)), "mode YCbCr"),
        ("picture.png", "str"),
        (None, "NoneType"),
    ],
)
def test_what_to_tensor_refuses(picture, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        to_tensor(picture)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_keep_dtype_range_and_batch(dtype):
    noisy = (torch.rand(2, 3, 7, 9) * 1.6 - 0.3).to(dtype)
    tensor = to_tensor(noisy)
    assert tensor.dtype == torch.float32
    assert torch.equal(like(tensor, noisy), noisy)
    grey = torch.rand(2, 1, 7, 9).to(dtype)
    assert to_tensor(grey).shape == (2, 3, 7, 9)
    torch.testing.assert_close(like(to_tensor(grey), grey), grey)
    assert like(to_tensor(grey), grey).dtype == dtype


def test_tensors_pass_gradients():
    image = torch.rand(1, 1, 4, 4, requires_grad=True)
    like(to_tensor(image) * 2, image).sum().backward()
    assert torch.equal(image.grad, torch.full((1, 1, 4, 4), 2.0))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "CMYK", "P", "1"])
def test_pillow_round_trip(mode):
    if mode == "I;16":
        picture = Image.fromarray(noise(*SIZE, dtype=np.uint16))
    else:
        picture = Image.fromarray(smooth()).convert(mode)
    picture.info = {"icc_profile": b"profile", "dpi": (300, 300)}
    back = like(to_tensor(picture), picture)
    assert back.mode == {"P": "RGB", "1": "L"}.get(mode, mode)
    assert back.info == picture.info
    np.testing.assert_array_equal(np.asarray(back), np.asarray(picture.convert(back.mode)))
    if mode != "I;16":
        np.testing.assert_array_equal(integers(to_tensor(picture)), np.asarray(picture.convert("RGB")))


def test_pillow_palette_with_a_hole_and_a_truncated_file():
    picture = Image.fromarray(smooth()).quantize(8)
    picture.info["transparency"] = 0
    back = like(to_tensor(picture), picture)
    truth = np.asarray(picture.convert("RGBA"))
    assert back.mode == "RGBA"
    assert "transparency" not in back.info
    np.testing.assert_array_equal(np.asarray(back)[..., 3], truth[..., 3])
    np.testing.assert_array_equal(np.asarray(back)[truth[..., 3] > 0], truth[truth[..., 3] > 0])
    with pytest.raises(ImageError, match="truncated"):
        to_tensor(Image.open(io.BytesIO(encoded("jpeg")[:2000])))


def test_photographs_are_pictures_too():
    photograph = Photograph(torch.rand(1, 3, 4, 5), bits=16)
    assert to_tensor(photograph) is photograph.pixels
    other = torch.rand(1, 3, 8, 10)
    back = like(other, photograph)
    assert back.pixels is other
    assert back.bits == 16
    with pytest.raises(ImageError, match="NaN"):
        like(other * torch.nan, photograph)
    with pytest.raises(ImageError, match=r"\(1, 3, H, W\)"):
        like(torch.rand(2, 3, 4, 5), photograph)
