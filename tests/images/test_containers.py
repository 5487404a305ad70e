"""XMP, IPTC, EXIF, comments, texts and colour tags, wherever they lie in a file, as Pillow and exiftool read them."""

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, IptcImagePlugin
from PIL.PngImagePlugin import PngInfo

from pellucid.errors import ImageError
from pellucid.images import Metadata, Photograph, read, write
from pellucid.images.png import chunk
from support.pictures import (
    IPTC,
    XMP,
    camera_exif,
    exiftool,
    integers,
    jpeg_with,
    p3,
    png_with,
    raw_profile,
    smooth,
)

RESOURCES = (
    b"8BIM\x04\x0a\0\0\0\0\0\x01\x01\0"  # the copyright flag
    b"8BIM\x07\xd0\x06Path 1\0\0\0\0\x1a" + bytes(26) + b"8BIM\x0b\xb7\0\0\0\0\0\x08\x06Path 1\0"
)
THUMBNAIL = b"8BIM\x04\x0c\0\0\0\0\0\x0aSTALESTALE"
ALL = [".jpg", ".png", ".tif", ".webp", ".avif"]


@pytest.mark.parametrize("suffix", ALL)
def test_xmp_is_kept_and_its_orientation_is_one(tmp_path, suffix):
    Image.fromarray(smooth()).save(tmp_path / "x.jpg", xmp=XMP)
    write(read(tmp_path / "x.jpg"), tmp_path / f"out{suffix}")
    upright = XMP.replace(b'"6"', b'"1"')
    with Image.open(tmp_path / f"out{suffix}") as again:
        found = again.info.get("xmp") or again.info.get("XML:com.adobe.xmp").encode()
    assert found.rstrip(b"\0") == upright


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
def test_iptc_and_resources_are_kept_without_their_thumbnail(tmp_path, suffix):
    iptc = b"8BIM\x04\x04\0\0" + struct.pack(">L", len(IPTC)) + IPTC + b"\0" * (len(IPTC) % 2)
    (tmp_path / "i.jpg").write_bytes(jpeg_with(smooth(), (0xED, b"Photoshop 3.0\0" + THUMBNAIL + RESOURCES + iptc)))
    assert write(read(tmp_path / "i.jpg"), tmp_path / f"o{suffix}") == ()
    again = read(tmp_path / f"o{suffix}").metadata
    assert (again.iptc, again.resources) == (IPTC, RESOURCES)
    found = exiftool(tmp_path / f"o{suffix}")
    assert (found["IPTC:ObjectName"], found["Photoshop:CopyrightFlag"]) == ("Title", 1)
    assert found["Photoshop:ClippingPathName"] == "Path 1"
    assert b"STALE" not in (tmp_path / f"o{suffix}").read_bytes()
    if suffix != ".png":
        with Image.open(tmp_path / f"o{suffix}") as picture:
            assert IptcImagePlugin.getiptcinfo(picture) == {(2, 5): b"Title", (2, 80): b"Zoe\xe9"}


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
    assert write(read(tmp_path / "t.png"), tmp_path / "u.tif") == ("PNG texts (Title, Comment, Author)",)


EXIF = camera_exif()
PACKET = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
HIDDEN = {
    "EXIF behind the pixels": ((), ((b"eXIf", EXIF[6:]),)),
    "EXIF in a text": (((b"tEXt", b"Raw profile type exif\0" + raw_profile("exif", EXIF)),), ()),
    "EXIF in a packed text": (
        ((b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(raw_profile("app1", EXIF))),),
        (),
    ),
    "EXIF in a text behind the pixels": ((), ((b"tEXt", b"Raw profile type exif\0" + raw_profile("exif", EXIF)),)),
    "XMP in a raw profile": (((b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(raw_profile("xmp", PACKET))),), ()),
    "XMP in a raw APP1": (
        ((b"tEXt", b"Raw profile type APP1\0" + raw_profile("app1", b"http://ns.adobe.com/xap/1.0/\0" + PACKET)),),
        (),
    ),
    "XMP in a packed text": (((b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(PACKET)),), ()),
    "XMP behind the pixels": ((), ((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + PACKET),)),
    "IPTC in a raw profile": (((b"tEXt", b"Raw profile type iptc\0" + raw_profile("iptc", IPTC)),), ()),
    "a profile in a text": (((b"zTXt", b"Raw profile type icc\0\0" + zlib.compress(raw_profile("icc", p3()))),), ()),
}


@pytest.mark.parametrize("place", HIDDEN)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_metadata_of_png_are_found_wherever_they_lie(tmp_path, place, suffix):
    front, back = HIDDEN[place]
    (tmp_path / "a.png").write_bytes(png_with(smooth(), *front, behind=back))
    assert write(read(tmp_path / "a.png"), tmp_path / f"b{suffix}") == ()
    again = read(tmp_path / f"b{suffix}").metadata
    expected = {"EXIF": "exif", "XMP": "xmp", "IPTC": "iptc", "a": "icc"}[place.split()[0]]
    assert {name for name in ("exif", "xmp", "iptc", "icc") if getattr(again, name)} == {expected}
    found = exiftool(tmp_path / f"b{suffix}")
    if expected == "exif":
        assert found["IFD0:Make"] == "Canon"
        assert found["ExifIFD:ExposureTime"] == 0.008
    elif expected == "iptc":
        assert found["IPTC:ObjectName"] == "Title"
    else:
        assert getattr(again, expected) == {"xmp": PACKET, "icc": p3()}[expected]


def test_an_orientation_behind_the_pixels_turns_the_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.png").write_bytes(png_with(smooth(), behind=((b"eXIf", exif.tobytes()[6:]),)))
    photograph = read(tmp_path / "a.png")
    np.testing.assert_array_equal(integers(photograph.pixels), np.rot90(smooth(), -1))


def test_what_cannot_stay_true_in_png_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(png_with(smooth(), (b"caBX", b"x"), (b"prVT", b"y"), (b"prVt", b"z")))
    assert write(read(tmp_path / "a.png"), tmp_path / "b.png") == ("content credentials (C2PA)", "PNG chunk prVT")
    assert b"prVt" in (tmp_path / "b.png").read_bytes()


def test_comments_and_unknown_segments_of_jpeg_are_kept(tmp_path):
    segments = [
        (0xFE, b"first"),
        (0xE4, b"Own\0data"),
        (0xFE, "zweitens ü".encode()),
        (0xEB, b"JP\0\1\0\0\0\1\0\0\0\x20jumb"),
    ]
    (tmp_path / "a.jpg").write_bytes(jpeg_with(smooth(), *segments))
    assert write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg") == ("content credentials (C2PA)",)
    again = read(tmp_path / "b.jpg").metadata
    assert again.comments == (b"first", "zweitens ü".encode())
    assert again.segments == ((0xE4, b"Own\0data"),)
    lost = write(read(tmp_path / "a.jpg"), tmp_path / "b.png")
    assert lost == ("content credentials (C2PA)", "JPEG segment APP4 (Own)")
    assert exiftool(tmp_path / "b.png")["PNG:Comment"]
    assert "the comment" in write(read(tmp_path / "a.jpg"), tmp_path / "b.tif")


def long_xmp(size):
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4" '
        b'xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/" GDepth:Mime="image/png" GDepth:Data="'
        + b"QUJD" * (size // 4)
        + b'"/></rdf:RDF></x:xmpmeta>'
    )


def test_long_xmp_goes_into_an_extension_and_comes_back(tmp_path):
    packet = long_xmp(150_000)
    write(Photograph(torch.rand(1, 3, 8, 8), metadata=Metadata(xmp=packet)), tmp_path / "a.png")
    assert write(read(tmp_path / "a.png"), tmp_path / "a.jpg") == ()
    for _ in range(2):  # once more, from JPEG
        data = (tmp_path / "a.jpg").read_bytes()
        guid = data[data.index(b"xmp/extension/\0") + 15 :][:32]
        assert b'HasExtendedXMP="' + guid in data
        found = exiftool(tmp_path / "a.jpg", "-b")
        assert found["XMP-xmp:Rating"] == 4
        assert found["XMP-GDepth:DepthImage"] in ("base64:" + "QUJD" * 37500, "ABC" * 37500)
        assert write(read(tmp_path / "a.jpg"), tmp_path / "a.jpg") == ()
    write(read(tmp_path / "a.jpg"), tmp_path / "b.png")
    found = exiftool(tmp_path / "b.png", "-b")
    assert found["XMP-xmp:Rating"] == 4
    assert "XMP-xmpNote:HasExtendedXMP" not in found
    assert read(tmp_path / "b.png").metadata.xmp.count(b"QUJD") == 37500
    assert hashlib.md5(read(tmp_path / "b.png").metadata.xmp).digest() != hashlib.md5(packet).digest()


def test_xmp_that_cannot_be_cut_is_named(tmp_path):
    photograph = Photograph(torch.rand(1, 3, 8, 8), metadata=Metadata(xmp=b"<x>" + b"y" * 80_000 + b"</x>"))
    assert write(photograph, tmp_path / "a.jpg") == ("XMP (it does not fit into a JPEG)",)
    assert read(tmp_path / "a.jpg").metadata.xmp == b""


@pytest.mark.parametrize("suffix", ALL)
def test_resolution_is_not_invented(tmp_path, suffix):
    write(Photograph(torch.rand(1, 3, 8, 9)), tmp_path / f"a{suffix}")
    assert read(tmp_path / f"a{suffix}").metadata.dpi is None
    with Image.open(tmp_path / f"a{suffix}") as picture:
        assert picture.info.get("dpi", (1, 1)) == (1, 1)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_descriptive_tags_of_tiff_and_bigtiff_are_kept(tmp_path, big, order):
    tags = [(271, 2, 0, "ACME", True), (315, 2, 0, "Zoe", True), (33432, 2, 0, "(c) me", True), (65010, 4, 1, 7, True)]
    tifffile.imwrite(
        tmp_path / "a.tif", smooth().astype(np.uint16), photometric="rgb", extratags=tags, bigtiff=big, byteorder=order
    )
    for suffix in (".tif", ".jpg", ".png", ".webp", ".avif"):
        lost = write(read(tmp_path / "a.tif"), tmp_path / f"b{suffix}")
        assert lost[0] == "TIFF tags 65010"
        found = exiftool(tmp_path / f"b{suffix}")
        assert (found["IFD0:Make"], found["IFD0:Artist"], found["IFD0:Copyright"]) == ("ACME", "Zoe", "(c) me")


def test_strict_refuses_and_writes_nothing(tmp_path):
    (tmp_path / "a.png").write_bytes(png_with(smooth(), (b"caBX", b"x")))
    with pytest.raises(ImageError, match=r"b\.png: not written, for it would not keep content credentials"):
        write(read(tmp_path / "a.png"), tmp_path / "b.png", strict=True)
    assert not (tmp_path / "b.png").exists()


def test_comments_xmp_and_profile_of_gif(tmp_path):
    file = io.BytesIO()
    Image.fromarray(smooth()[..., 0]).save(file, "GIF", comment=b"slide 17")
    data = file.getvalue()
    trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    blocks = b"\x21\xff\x0bXMP DataXMP" + PACKET + trailer
    parts = [p3()[at : at + 255] for at in range(0, len(p3()), 255)]
    blocks += b"\x21\xff\x0bICCRGBG1012" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
    (tmp_path / "a.gif").write_bytes(data[:-1] + blocks + b";")
    photograph = read(tmp_path / "a.gif")
    assert (photograph.metadata.xmp, photograph.metadata.icc) == (PACKET, p3())
    assert photograph.metadata.comments == (b"slide 17",)
    assert photograph.pages == 1
    write(photograph, tmp_path / "b.png")
    assert exiftool(tmp_path / "b.png")["PNG:Comment"] == "slide 17"


def test_the_profile_of_a_bmp(tmp_path):
    array = smooth()
    Image.fromarray(array).save(tmp_path / "a.bmp")
    data = (tmp_path / "a.bmp").read_bytes()
    pixels = data[54:]
    head = struct.pack("<LllHHLLllLL", 124, 53, 37, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    head += bytes(16) + b"DEBM" + bytes(48) + struct.pack("<LLLL", 4, 124 + len(pixels), len(p3()), 0)
    (tmp_path / "a.bmp").write_bytes(data[:10] + struct.pack("<L", 14 + 124) + head + pixels + p3())
    photograph = read(tmp_path / "a.bmp")
    assert photograph.metadata.icc == p3()
    np.testing.assert_array_equal(integers(photograph.pixels), array)


@pytest.mark.parametrize(
    "text",
    [
        (b"tEXt", b"Comment\0slide 17"),
        (b"zTXt", b"Comment\0\0" + zlib.compress(b"slide 17")),
        (b"iTXt", b"Comment\0\0\0\0\0slide 17"),
        (b"iTXt", b"Comment\0\1\0en\0Kommentar\0" + zlib.compress(b"slide 17")),
    ],
)
def test_a_comment_of_png_is_one_of_jpeg(tmp_path, text):
    (tmp_path / "a.png").write_bytes(png_with(smooth(), text))
    assert write(read(tmp_path / "a.png"), tmp_path / "a.jpg") == ()
    assert read(tmp_path / "a.jpg").metadata.comments == (b"slide 17",)


def test_texts_that_are_elsewhere_too_are_not_lost(tmp_path):
    exif = Image.Exif()
    exif[0x013B] = "Zoe the Great"
    chunks = ((b"tEXt", b"Artist\0Zoe the Great"), (b"tEXt", b"Title\0Dusk"), (b"eXIf", exif.tobytes()[6:]))
    (tmp_path / "a.png").write_bytes(png_with(smooth(), *chunks))
    assert write(read(tmp_path / "a.png"), tmp_path / "a.webp") == ("PNG texts (Title)",)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_background_and_the_shape_of_pixels_of_png_stay(tmp_path, channels):
    ground = (b"bKGD", struct.pack(f">{channels}H", *range(7, 7 + channels)))
    array = smooth() if channels == 3 else smooth()[..., 0]
    (tmp_path / "a.png").write_bytes(png_with(array, ground, (b"pHYs", struct.pack(">LLB", 2, 1, 0))))
    assert write(read(tmp_path / "a.png"), tmp_path / "b.png") == ()
    before, after = exiftool(tmp_path / "a.png"), exiftool(tmp_path / "b.png")
    for name in ("PNG:BackgroundColor", "PNG-pHYs:PixelsPerUnitX", "PNG-pHYs:PixelUnits"):
        assert before[name] == after[name]
    palette = Image.fromarray(smooth()).quantize(16)
    palette.save(tmp_path / "p.png")
    data = (tmp_path / "p.png").read_bytes()
    at = data.index(b"IDAT") - 4
    (tmp_path / "p.png").write_bytes(data[:at] + chunk(b"bKGD", b"\3") + data[at:])
    assert write(read(tmp_path / "p.png"), tmp_path / "q.png") == ("PNG chunk bKGD",)


def test_the_little_picture_in_iptc_does_not_live_on(tmp_path):
    long = b"\x1c\x02\xca\x80\x04" + struct.pack(">L", 40000) + b"STALE" * 8000
    records = IPTC[:10] + b"\x1c\x02\xc8\0\2\0\x0b" + long + IPTC[10:]
    block = b"8BIM\x04\x04\0\0" + struct.pack(">L", len(records)) + records
    (tmp_path / "a.jpg").write_bytes(jpeg_with(smooth(), (0xED, b"Photoshop 3.0\0" + block)))
    before = exiftool(tmp_path / "a.jpg")
    assert "IPTC:ObjectPreviewData" in before
    assert write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg") == ()
    assert b"STALE" not in (tmp_path / "b.jpg").read_bytes()
    expected = {name: value for name, value in before.items() if name.startswith("IPTC") and "Preview" not in name}
    assert expected.items() <= exiftool(tmp_path / "b.jpg").items()


def test_texts_of_a_picture_saved_for_the_web_stay(tmp_path):
    """Beside the quality, which is the coding's, Photoshop's segment may hold a comment and a copyright."""
    text = "© me".encode("utf-16-be")
    quality, rights = struct.pack(">HHL", 1, 4, 60), struct.pack(">HHL", 3, len(text) + 4, len(text) // 2) + text
    for body, kept in ((quality + bytes(2), False), (quality + rights + bytes(2), True)):
        (tmp_path / "a.jpg").write_bytes(jpeg_with(smooth(), (0xEC, b"Ducky" + body)))
        assert write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg") == ()
        found = exiftool(tmp_path / "b.jpg")
        assert found.get("Ducky:Copyright") == exiftool(tmp_path / "a.jpg").get("Ducky:Copyright")
        assert kept == any(name.startswith("Ducky") for name in found)
