"""Every field that exiftool finds in a photograph is found again, with the same value, when nothing was done to it."""

import numpy as np
import pytest
from PIL import Image
from test_xmp import ATTRIBUTES

from pellucid.images import read, write
from support.pictures import IPTC, camera_exif, exiftool, jpeg_with, p3, smooth

SUFFIXES = [".jpg", ".png", ".tif", ".webp", ".avif"]
# How the pixels are coded, where things lie, and what each container calls them.
CODING = ("IFD0:Strip", "IFD0:Rows", "IFD0:Bits", "IFD0:Compression", "IFD0:Predictor", "IFD0:Planar", "IFD0:Sample")
CODING += ("IFD0:Photometric", "IFD0:ImageWidth", "IFD0:ImageHeight", "IFD0:SubfileType")
CODING += ("IFD0:FillOrder", "IFD0:YCbCr", "IFD0:XResolution", "IFD0:YResolution", "IFD0:ResolutionUnit")
CODING += ("ExifIFD:ExifImage", "XMP-tiff:Image", "XMP-exif:ExifImage")  # sizes, which are made true
GROUPS = ("IFD0:", "ExifIFD:", "GPS:", "InteropIFD:", "XMP-", "ICC", "Canon", "IPTC:", "Photoshop:")


def rich(path):
    """A file of that suffix with all that cameras and editors say, as Pillow and we put it there."""
    segments = [(0xE1, camera_exif(">")), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + ATTRIBUTES % 1)]
    block = b"8BIM\x04\x04\0\0" + len(IPTC).to_bytes(4, "big") + IPTC + b"\0" * (len(IPTC) % 2)
    segments.append((0xED, b"Photoshop 3.0\0" + block))
    jpeg = path.with_name("rich.jpg")
    jpeg.write_bytes(jpeg_with(smooth(), *segments, icc_profile=p3(), dpi=(300, 300), quality=95))
    if path.suffix != ".jpg":
        write(read(jpeg), path)
    return jpeg if path.suffix == ".jpg" else path


def fields(path, without=()):
    found = exiftool(path, "-b")
    return {
        name: value
        for name, value in found.items()
        if name.startswith(GROUPS) and not name.startswith((*CODING, *without))
    }


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("source", [".jpg", ".tif", ".webp"])
def test_fields_are_equal(tmp_path, source, target):
    first = rich(tmp_path / f"a{source}")
    photograph = read(first)
    lost = write(photograph.with_pixels(photograph.pixels.clone()), tmp_path / f"b{target}")
    # IPTC and Photoshop's resources have a place in JPEG, PNG and TIFF alone, and that is said.
    without = ("IPTC:", "Photoshop:") if {source, target} & {".webp", ".avif"} else ()
    before, after = fields(first, without), fields(tmp_path / f"b{target}", without)
    assert len(before) > 30
    assert after == before
    assert (not lost) or target in (".webp", ".avif")


def test_what_is_said_to_be_lost_is_all_that_is_missing(tmp_path):
    first = rich(tmp_path / "a.jpg")
    for suffix in SUFFIXES[1:]:
        lost = write(read(first), tmp_path / f"b{suffix}")
        missing = fields(first).keys() - fields(tmp_path / f"b{suffix}").keys()
        kinds = {name.split(":")[0].split("-")[0] for name in missing}
        assert kinds <= ({"IPTC", "Photoshop"} if any("IPTC" in word for word in lost) else set())


def test_an_upright_picture_of_every_size_keeps_its_fields(tmp_path):
    for height, width in ((1, 1), (13, 67)):
        Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(
            tmp_path / "a.jpg", exif=camera_exif(), xmp=ATTRIBUTES % 1, icc_profile=p3()
        )
        before = fields(tmp_path / "a.jpg")
        for suffix in SUFFIXES:
            write(read(tmp_path / "a.jpg"), tmp_path / f"b{suffix}")
            assert fields(tmp_path / f"b{suffix}") == before
