"""XMP, IPTC, PNG texts and colour tags, as Pillow reads them."""

import struct

import pytest
import torch
from PIL import Image, IptcImagePlugin
from PIL.PngImagePlugin import PngInfo

from pellucid.images import Metadata, Photograph, read, write
from support.pictures import IPTC, XMP, smooth


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
