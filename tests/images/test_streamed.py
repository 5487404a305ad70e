"""Files of pictures larger than the memory: read and written band by band, they are what they are otherwise."""

import struct

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from pellucid.errors import ImageError
from pellucid.images import Metadata, Photograph, files, large_file, read, streamed, tiff, write
from pellucid.images.jpeg import parts_of_jpeg
from pellucid.scratch import on_disk
from support.pictures import IPTC, XMP, camera_exif, exiftool, jpeg_with, noise, p3, png_values, read_metadata, smooth
from support.streaming import laid_on_disk, small_bands


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    monkeypatch.setattr(streamed, "BAND", 6_000)
    monkeypatch.setattr(tiff, "_BAND", 6_000)
    with small_bands():
        yield


def photograph(bits, alpha, grey):
    draw = torch.Generator().manual_seed(bits)
    pixels = torch.rand(1, 1 if grey else 3, 47, 81, generator=draw).expand(-1, 3, -1, -1)
    if bits == 32:
        pixels = pixels * 1.4 - 0.2
    clear = None
    if alpha:
        clear = (torch.rand(1, 1, 47, 81, generator=draw) * 1.5 - 0.3).clamp(0, 1)
        clear[..., 10:30, 20:60] = 0
    return Photograph(pixels, clear, grey=grey, bits=bits)


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("grey", [False, True])
def test_it_is_what_it_is_in_memory(tmp_path, bits, alpha, grey):
    for suffix in (".png", ".tif", ".jpg"):
        path = tmp_path / f"source{suffix}"
        write(photograph(bits, alpha, grey), path)
        held, there = read(path), read(path, memory=1)
        assert on_disk(there.pixels)
        assert torch.equal(held.pixels, there.pixels)
        assert (held.alpha is None) == (there.alpha is None)
        assert held.alpha is None or torch.equal(held.alpha, there.alpha)
        assert (held.beyond is None) == (there.beyond is None)
        for target in (".png", ".tif", ".jpg"):
            one, other = tmp_path / f"held{target}", tmp_path / f"there{target}"
            assert write(held, one) == write(there, other)
            if target != ".tif":
                with Image.open(one) as first, Image.open(other) as second:  # pixels by an independent reader
                    assert (first.size, first.mode) == (second.size, second.mode)
                    assert first.tobytes() == second.tobytes()
        if bits == 16:
            assert np.array_equal(png_values(tmp_path / "held.png"), png_values(tmp_path / "there.png"))
        assert np.array_equal(tifffile.imread(tmp_path / "held.tif"), tifffile.imread(tmp_path / "there.tif"), True)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_metadata_are_the_same_field_by_field(tmp_path, suffix):
    draw = torch.rand(1, 3, 47, 81)
    write(Photograph(draw, metadata=read_metadata(tmp_path)), tmp_path / f"source{suffix}")
    for memory in (None, 1):
        write(read(tmp_path / f"source{suffix}", memory=memory), tmp_path / f"{memory}{suffix}")
    one, other = (exiftool(tmp_path / f"{memory}{suffix}") for memory in (None, 1))
    layout = {name for name in {**one, **other} if "Strip" in name}
    assert {k: v for k, v in one.items() if k not in layout} == {k: v for k, v in other.items() if k not in layout}
    assert any("Zo" in str(value) for value in one.values())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_upright(tmp_path, orientation):
    path = tmp_path / "a.png"
    Image.fromarray(noise(41, 67, 3)).save(path, exif=camera_exif(orientation=orientation))
    assert torch.equal(read(path, memory=1).pixels, read(path).pixels)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "grey"])
@pytest.mark.parametrize("size", [(47, 81), (16, 16), (8, 300), (160, 5)])
def test_a_jpeg_of_bands_decodes_to_the_pixels_of_one_that_was_coded_at_once(tmp_path, subsampling, size):
    picture = Image.fromarray(np.resize(smooth(*size) // 2 + noise(*size, 3) // 2, (*size, 3)))
    picture = picture.convert("L") if subsampling == "grey" else picture
    options = {} if subsampling == "grey" else {"subsampling": subsampling}
    picture.save(tmp_path / "a.jpg", quality=93, **options)
    held, there = read(tmp_path / "a.jpg"), read(tmp_path / "a.jpg", memory=1)
    write(held, tmp_path / "b.jpg")
    write(there, tmp_path / "c.jpg")
    with Image.open(tmp_path / "b.jpg") as one, Image.open(tmp_path / "c.jpg") as other:
        assert one.tobytes() == other.tobytes()
        assert one.quantization == other.quantization
    assert (
        parts_of_jpeg((tmp_path / "c.jpg").read_bytes()).sampling
        == parts_of_jpeg((tmp_path / "b.jpg").read_bytes()).sampling
    )


def test_what_lies_behind_a_jpeg_stays_and_the_progressive_order_is_said(tmp_path):
    second = jpeg_with(smooth(20, 30))
    (tmp_path / "a.jpg").write_bytes(jpeg_with(smooth(47, 81), behind=second, progressive=True, quality=95))
    assert write(read(tmp_path / "a.jpg", memory=1), tmp_path / "b.jpg") == (
        "the progressive order (it needs all of the picture in memory)",
    )
    data = (tmp_path / "b.jpg").read_bytes()
    assert data.endswith(second)
    (piece,) = parts_of_jpeg(data).pieces
    assert piece.data == second


def test_what_is_too_long_for_a_jpeg_is_refused_in_one_line(tmp_path):
    for pixels in (torch.zeros(1, 3, 65501, 1), laid_on_disk(torch.zeros(1, 3, 65501, 1))):
        with pytest.raises(ImageError, match="cannot be written as jpeg"):
            write(Photograph(pixels), tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


def test_a_large_file_is_never_read_as_a_whole(tmp_path, monkeypatch):
    """Files beyond LARGE are not; here all are."""
    for module in (large_file, files):
        monkeypatch.setattr(module, "LARGE", 1000)
    metadata = Metadata(exif=camera_exif()[6:], xmp=XMP, iptc=IPTC, icc=p3())
    draw = torch.rand(1, 3, 47, 81, generator=torch.Generator().manual_seed(3))
    for suffix in (".jpg", ".png", ".tif", ".webp", ".bmp", ".avif"):
        path = tmp_path / f"a{suffix}"
        write(Photograph(draw, metadata=metadata), path)
        found = read(path, memory=1)
        assert found.pixels.shape == (1, 3, 47, 81)
        assert suffix == ".bmp" or found.metadata.icc == p3()
        (tmp_path / f"cut{suffix}").write_bytes(path.read_bytes()[:3000])
        with pytest.raises(ImageError):
            read(tmp_path / f"cut{suffix}", memory=1)


def test_a_tiff_may_be_larger_than_four_gigabytes(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "_MOST_CLASSIC", 1000)
    path = tmp_path / "a.tif"
    write(photograph(16, False, False), path)
    write(read(path, memory=1), tmp_path / "b.tif")
    assert struct.unpack_from("<H", (tmp_path / "b.tif").read_bytes(), 2)[0] == 43
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), tifffile.imread(path))
