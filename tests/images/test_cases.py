"""The files of the shared folder, each of a kind that has gone wrong somewhere, read by exiftool, Pillow, tifffile,
avifdec."""

import io

import numpy as np
import pytest
import tifffile
from pictures import avif_facts, exiftool, png_values, rendered
from PIL import Image, ImageCms

from pellucid.images import in_folder, read, write


@pytest.fixture
def case(shared, tmp_path):
    """Reads a file of the cases and writes it with another suffix, or its own: (where, what was lost)."""
    folder = shared / "cases/files"
    if not folder.is_dir():
        pytest.skip("no cases of files in the shared folder")

    def written(name, suffix=None, **options):
        target = tmp_path / f"out{suffix or (folder / name).suffix}"
        return target, write(read(folder / name), target, **options)

    written.folder = folder
    return written


@pytest.mark.parametrize("name", ["png-exif-raw-profile.png", "png-exif-after-idat.png"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif"])
def test_exif_of_png(case, name, suffix):
    target, lost = case(name, suffix)
    before, after = exiftool(case.folder / name), exiftool(target)
    expected = {key: value for key, value in before.items() if key.startswith(("IFD0:", "ExifIFD:"))}
    assert expected
    assert expected.items() <= after.items()
    assert lost == ()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_iptc_of_png(case, suffix):
    target, _ = case("png-iptc-raw-profile.png", suffix)
    found = exiftool(target)
    assert (found["IPTC:ObjectName"], found["IPTC:By-line"]) == ("Dusk", "A Photographer")


def test_orientation_behind_the_pixels(case):
    target, _ = case("png-orientation6-after-idat.png")
    with Image.open(target) as picture, Image.open(case.folder / "png-orientation6-after-idat.png") as before:
        assert picture.size == (160, 240)
        np.testing.assert_array_equal(np.asarray(picture), np.rot90(np.asarray(before), -1))


def test_infrared(case):
    target, lost = case("scan-rgb-plus-infrared.tif")
    np.testing.assert_array_equal(tifffile.imread(target), tifffile.imread(case.folder / "scan-rgb-plus-infrared.tif"))
    with tifffile.TiffFile(target) as file:
        assert tuple(file.pages[0].extrasamples) == (0,)
    assert lost == ()
    assert case("scan-rgb-plus-infrared.tif", ".png")[1] == ("a channel beside colour and alpha",)


def test_pq(case):
    target, lost = case("avif-nclx-pq-bt2020.avif")
    facts = avif_facts(target)
    assert (facts["Color Primaries"], facts["Transfer Char."], facts["Bit Depth"]) == ("9", "16", "10")
    assert lost == ()


def test_the_look_of_png_tags(case):
    def srgb(light):
        return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clip(0, 1) ** (1 / 2.4) - 0.055)

    with Image.open(case.folder / "png-gama-linear.png") as picture:
        expected = srgb(np.asarray(picture.convert("RGB")) / 255)
    for suffix in (".jpg", ".tif", ".webp", ".avif"):
        target, _ = case("png-gama-linear.png", suffix, quality=100)
        with Image.open(target) as picture:
            shown = np.asarray(rendered(picture)).astype(float)
        assert abs(shown.mean() - expected.mean()) < 1
        for name in ("png-chrm-adobergb.png", "png-cicp-p3.png"):
            target, _ = case(name, suffix, quality=100)
            if (name, suffix) == ("png-cicp-p3.png", ".avif"):
                assert avif_facts(target)["Color Primaries"] == "12"
            else:
                with Image.open(target) as picture:
                    assert picture.info["icc_profile"]


def test_gain_map_and_video(case):
    target, lost = case("ultrahdr-gainmap.jpg")
    found, before = exiftool(target), (case.folder / "ultrahdr-gainmap.jpg").read_bytes()
    start, length = found["MPImage2:MPImageStart"], found["MPImage2:MPImageLength"]
    assert target.read_bytes()[start : start + length] == before[-length:]
    assert lost == ()
    target, lost = case("motion-photo.jpg")
    offset = exiftool(target)["XMP-GCamera:MicroVideoOffset"]
    assert target.read_bytes()[-offset:] == (case.folder / "motion-photo.jpg").read_bytes()[-offset:]
    assert lost == ()
    for name in ("ultrahdr-gainmap.jpg", "motion-photo.jpg"):
        target, lost = case(name, ".png")
        assert len(lost) == 1
        assert not any(key.startswith(("XMP-Container", "XMP-GCamera", "XMP-hdrgm")) for key in exiftool(target))


def test_frames(case):
    assert case("animated-apng.png")[1] == ("the other 2 of its 3 pictures",)


def test_faces(case):
    target, _ = case("rotated-face-region.jpg")
    found = exiftool(target)
    with Image.open(target) as picture:
        assert picture.size == (160, 240)
    centre = found["XMP-mwg-rs:RegionAreaX"], found["XMP-mwg-rs:RegionAreaY"]
    assert centre == pytest.approx((0.80, 0.25))
    assert found["ExifIFD:SubjectArea"] == "128 60 32 24"


def test_exif_that_does_not_fit(case):
    target, lost = case("bigtiff-with-exif.tif", ".jpg")
    found = exiftool(target)
    assert (found["IFD0:Make"], found["IFD0:Artist"]) == ("ACME", "A Photographer")
    assert lost == ("16 bits in a value (8 are kept)",)
    target, lost = case("exif-70kB.tif", ".jpg")
    found = exiftool(target)
    assert (found["IFD0:Artist"], found["ExifIFD:DateTimeOriginal"]) == ("A Photographer", "2024:05:06 07:08:09")
    assert lost == ("the user's comment (it does not fit into a JPEG)",)
    target, lost = case("exif-70kB.tif")
    assert exiftool(target)["ExifIFD:UserComment"] == exiftool(case.folder / "exif-70kB.tif")["ExifIFD:UserComment"]
    assert lost == ()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_depth_map_in_long_xmp(case, suffix):
    target, lost = case("extended-xmp-depthmap.jpg", suffix)
    before, after = exiftool(case.folder / "extended-xmp-depthmap.jpg", "-b"), exiftool(target, "-b")
    assert after["XMP-GDepth:DepthImage"] == before["XMP-GDepth:DepthImage"]
    assert lost == ()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
def test_maker_notes(case, suffix):
    target, lost = case("makernote-canon.jpg", suffix)
    before, after = exiftool(case.folder / "makernote-canon.jpg"), exiftool(target)
    notes = {key: value for key, value in before.items() if key.startswith("Canon:")}
    assert len(notes) >= 4
    assert notes.items() <= after.items()
    assert lost == ()


def test_maker_notes_come_back_from_tiff(case, tmp_path):
    target, _ = case("makernote-canon.jpg", ".tif")
    write(read(target), tmp_path / "again.jpg")
    assert exiftool(tmp_path / "again.jpg")["Canon:OwnerName"] == "A Photographer"


def test_float_beyond_one(case):
    target, lost = case("tiff-float-2.5.tif")
    np.testing.assert_array_equal(tifffile.imread(target), tifffile.imread(case.folder / "tiff-float-2.5.tif"))
    assert lost == ()
    assert "values outside 0 to 1" in case("tiff-float-2.5.tif", ".png")[1]


def test_path_flag_and_comment(case):
    target, lost = case("jpeg-iptc-clippingpath-comment.jpg")
    found = exiftool(target)
    assert found["Photoshop:ClippingPathName"] == "Path 1"
    assert found["Photoshop:CopyrightFlag"] == 1
    with Image.open(target) as picture:
        assert picture.info["comment"] == b"Scanned from slide 17"
    assert lost == ()


def test_lossless_webp(case):
    target, lost = case("webp-lossless.webp")
    with Image.open(target) as after, Image.open(case.folder / "webp-lossless.webp") as before:
        np.testing.assert_array_equal(np.asarray(after), np.asarray(before))
    assert lost == ()


def test_grey_with_a_profile_for_colour(case):
    target, lost = case("grey-with-linear-rgb-profile.jpg")
    with Image.open(target) as after, Image.open(case.folder / "grey-with-linear-rgb-profile.jpg") as before:
        assert after.info["icc_profile"][16:20] == b"GRAY"
        profile = ImageCms.ImageCmsProfile(io.BytesIO(before.info["icc_profile"]))
        shown = ImageCms.profileToProfile(before.convert("RGB"), profile, ImageCms.createProfile("sRGB"))
        assert np.abs(np.asarray(rendered(after)).astype(int) - np.asarray(shown)).mean() < 1.5
    assert lost == ()


def test_thumbnail_first(case):
    target, lost = case("tiff-thumbnail-first.tif")
    with tifffile.TiffFile(case.folder / "tiff-thumbnail-first.tif") as file:
        np.testing.assert_array_equal(tifffile.imread(target), file.pages[1].asarray())
    assert lost == ()


def test_folders(case):
    mixed = in_folder(case.folder / "folder-mixed")
    names = {"IMG_1.JPG", "a.png", "bing.jfif", "old.jpe", "iphone.heic", "photo.jxl"}
    assert {path.name for path in mixed.photographs} == names
    assert {path.name for path in mixed.passed_over} == {"._IMG_1.JPG", "Thumbs.db", "desktop.ini", "no_suffix"}
    for path in mixed.photographs:
        package = {".heic": "pi_heif", ".jxl": "imagecodecs"}.get(path.suffix)
        if package:
            pytest.importorskip(package)
        assert read(path).pixels.shape[2:] in ((160, 240), (240, 160))
    album = in_folder(case.folder / "album-nas", recursive=True)
    assert [path.name for path in album.photographs] == ["IMG_1.JPG"]


def test_strength_nothing_is_exact(case, tmp_path):
    for path in sorted(case.folder.glob("*.png")):
        photograph = read(path)
        write(photograph.with_pixels(photograph.pixels.clone()), tmp_path / "b.png")
        again = read(tmp_path / "b.png")
        assert (again.pixels == photograph.pixels).all()
        assert png_values(tmp_path / "b.png").size
