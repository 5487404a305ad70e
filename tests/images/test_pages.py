"""Every page and frame is read and written: by Pillow and tifffile, which know nothing of us."""

import io
import struct
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from pellucid.images import read, write
from support.pictures import camera_exif, exiftool, integers, noise, p3, smooth

DURATIONS = [100, 250, 1500]


def frames(clear=False):
    """Three frames; in the later ones only a part changes."""
    array = np.concatenate([smooth(), np.full((37, 53, 1), 255, np.uint8)], -1) if clear else smooth()
    made = [array]
    for number in (1, 2):
        array = array.copy()
        array[5 : 5 + 9 * number, 7:30, :3] = noise(9 * number, 23, 3)
        if clear:
            array[20:30, 30 : 36 + 5 * number, 3] = 0  # Pillow lays what is half clear over others in another way
        made.append(array)
    return made


def animated(path, clear=False, **options):
    first, *others = (Image.fromarray(array) for array in frames(clear))
    first.save(path, save_all=True, append_images=others, duration=DURATIONS, loop=2, **options)
    return path


def seen(path):
    """Each frame as Pillow shows it, and for how long."""
    with Image.open(path) as picture:
        found = []
        for number in range(picture.n_frames):
            picture.seek(number)
            found.append((np.asarray(picture.convert("RGBA")), picture.info["duration"]))
        return found, picture.info["loop"]


def again(photograph):
    """The same with pixels that are other tensors: nothing is copied."""
    others = tuple(page.with_pixels(page.pixels.clone()) for page in photograph.others)
    return replace(photograph, pixels=photograph.pixels.clone(), others=others)


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("blend", [0, 1])
@pytest.mark.parametrize("disposal", [0, 1, 2])
def test_frames_of_a_png(tmp_path, clear, blend, disposal):
    source = animated(tmp_path / "a.png", clear, blend=blend, disposal=[disposal % 2, disposal, disposal])
    photograph = read(source, every_page=True)
    assert (photograph.pages, len(photograph.others), photograph.lost) == (3, 2, ())
    assert write(again(photograph), tmp_path / "b.png") == ()
    (before, loops), (after, told) = seen(source), seen(tmp_path / "b.png")
    assert (told, loops) == (2, 2)
    for (expected, shown), (array, duration) in zip(before, after, strict=True):
        assert duration == shown
        visible = expected[..., 3:] > 0
        np.testing.assert_allclose(array[..., 3], expected[..., 3], atol=1)
        np.testing.assert_allclose(array * visible, expected * visible, atol=1)


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("options", [{"lossless": True, "exact": True}, {"quality": 90}])
def test_frames_of_a_webp(tmp_path, clear, options):
    source = animated(tmp_path / "a.webp", clear, exif=camera_exif()[6:], icc_profile=p3(), **options)
    photograph = read(source, every_page=True)
    assert write(again(photograph), tmp_path / "b.webp", quality=None) == ()
    (before, loops), (after, told) = seen(source), seen(tmp_path / "b.webp")
    assert told == loops == 2
    for (expected, shown), (array, duration) in zip(before, after, strict=True):
        assert duration == shown
        difference = np.abs(array.astype(int) - expected) * (expected[..., 3:] > 0)
        assert difference.max() == 0 if "lossless" in options else difference.mean() < 4
    facts = exiftool(tmp_path / "b.webp")
    assert facts["IFD0:Make"] == "Canon"
    with Image.open(tmp_path / "b.webp") as picture:
        assert picture.info["icc_profile"] == p3()


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_frames_of_a_gif_go_elsewhere(tmp_path, suffix):
    source = animated(tmp_path / "a.gif")
    assert write(again(read(source, every_page=True)), tmp_path / f"b{suffix}") == ()
    (before, _), (after, _) = seen(source), seen(tmp_path / f"b{suffix}")
    for (expected, shown), (array, duration) in zip(before, after, strict=True):
        assert duration == shown
        assert np.abs(array.astype(int) - expected).mean() < (0.01 if suffix == ".png" else 12)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pages_of_a_tiff_each_with_its_own(tmp_path, order):
    arrays = [smooth(), noise(20, 31, dtype=np.uint16), (noise(9, 14, 3) / 200).astype(np.float32)]
    with tifffile.TiffWriter(tmp_path / "a.tif", byteorder=order) as file:
        for number, array in enumerate(arrays):
            kind = "minisblack" if array.ndim == 2 else "rgb"
            tags = [(315, "s", 0, f"Artist {number}", True)] if number != 1 else []
            resolution = (100 + number, 100 + number)
            file.write(array, photometric=kind, metadata=None, extratags=tags, resolution=resolution, iccprofile=p3())
            file.write(smooth(5, 5), photometric="rgb", metadata=None, subfiletype=1)
    photograph = read(tmp_path / "a.tif", every_page=True)
    assert (photograph.pages, len(photograph.others), photograph.motion) == (3, 2, None)
    assert not [word for word in write(again(photograph), tmp_path / "b.tif") if "profile" not in word]
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert len(file.pages) == 3
        for page, array in zip(file.pages, arrays, strict=True):
            np.testing.assert_array_equal(page.asarray(), array)
    found = exiftool(tmp_path / "b.tif")
    assert (found["IFD0:Artist"], found["IFD2:Artist"], found["IFD1:XResolution"]) == ("Artist 0", "Artist 2", 101)
    (word,) = (word for word in write(photograph, tmp_path / "c.png") if "other" in word)
    assert word == "the other 2 of its 3 pages"


def test_exif_of_later_pages_of_a_tiff_can_be_read(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 2.0, 3.5)})
    first, second = (Image.fromarray(smooth()) for _ in range(2))
    second.encoderinfo = {"exif": exif.tobytes()}
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second], exif=exif.tobytes())
    write(again(read(tmp_path / "a.tif", every_page=True)), tmp_path / "b.tif")
    before, after = (exiftool(tmp_path / name, "-ee") for name in ("a.tif", "b.tif"))
    kept = {key: value for key, value in before.items() if key.startswith(("ExifIFD", "GPS"))}
    assert kept
    assert kept.items() <= after.items()


def test_a_picture_that_is_not_part_of_its_animation(tmp_path):
    animated(tmp_path / "a.png", default_image=True)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.n_frames == 3  # of which Pillow counts the first, which is none, as one
        shown = np.asarray(picture.convert("RGB"))
    first = read(tmp_path / "a.png")
    np.testing.assert_array_equal(integers(first.pixels), shown)
    assert first.lost == ("the other 2 of its 3 pictures",)
    photograph = read(tmp_path / "a.png", every_page=True)
    assert len(photograph.others) + 1 == photograph.pages == 2
    assert again(photograph).others
    lost = write(photograph, tmp_path / "b.png")
    assert lost == ("the picture that is shown where frames are not known",)
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.n_frames == 2


def test_frames_that_say_where_no_picture_is_are_damage(tmp_path):
    animated(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    at = data.rindex(b"fcTL")
    import zlib

    body = data[at : at + 4] + data[at + 4 : at + 12] + struct.pack(">LL", 9999, 9999) + data[at + 20 : at + 30]
    broken = data[:at] + body + struct.pack(">L", zlib.crc32(body)) + data[at + 34 :]
    (tmp_path / "b.png").write_bytes(broken)
    from pellucid.errors import ImageError

    with pytest.raises(ImageError, match="a frame reaches beyond the picture"):
        read(tmp_path / "b.png", every_page=True)


def test_a_bomb_of_frames_is_refused(tmp_path):
    """Ten thousand frames of one pixel on a large canvas are a few kilobytes."""
    import zlib

    from pellucid.errors import ImageError

    large = io.BytesIO()
    Image.new("L", (4000, 4000)).save(large, "PNG")
    data = large.getvalue()
    count = struct.pack(">LL", 10000, 0)
    chunk = struct.pack(">L", 8) + b"acTL" + count + struct.pack(">L", zlib.crc32(b"acTL" + count))
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    with pytest.raises(ImageError, match="claims 10001 pictures of 4000 x 4000"):
        read(tmp_path / "a.png", every_page=True)


@pytest.mark.parametrize("suffix", [".jpg", ".avif", ".tif"])
def test_formats_without_frames_say_so(tmp_path, suffix):
    photograph = read(animated(tmp_path / "a.png"), every_page=True)
    lost = write(photograph, tmp_path / f"b{suffix}")
    assert lost == (("how long its pictures are shown",) if suffix == ".tif" else ("the other 2 of its 3 pictures",))


def test_one_page_is_one_page(tmp_path):
    file = io.BytesIO()
    Image.fromarray(smooth()).save(file, "PNG")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    assert read(tmp_path / "a.png", every_page=True).others == ()
