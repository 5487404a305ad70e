"""Places in the picture that turn with it, against the eight orientations of Pillow."""

import base64
import io
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from pellucid.images import read, write
from pellucid.images.xmp import turned_xmp
from support.pictures import exiftool, jpeg_with, smooth

HEAD = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:%s="http://www.metadataworkinggroup.com/schemas/regions/" '
    b'xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#" '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    b'xmlns:MP="http://ns.microsoft.com/photo/1.2/" xmlns:MPRI="http://ns.microsoft.com/photo/1.2/t/RegionInfo#" '
    b'xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#" '
)
ATTRIBUTES = (
    HEAD % b"mwg-rs" + b'tiff:Orientation="%d" tiff:ImageWidth="90" tiff:ImageLength="60" exif:PixelXDimension="90" '
    b'exif:PixelYDimension="60"><mwg-rs:Regions rdf:parseType="Resource">'
    b'<mwg-rs:AppliedToDimensions stDim:w="90" stDim:h="60" stDim:unit="pixel"/><mwg-rs:RegionList><rdf:Bag>'
    b'<rdf:li rdf:parseType="Resource"><mwg-rs:Area stArea:x="0.2" stArea:y="0.25" stArea:w="0.2" stArea:h="0.1" '
    b'stArea:unit="normalized"/><mwg-rs:Name>Zoe</mwg-rs:Name></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>'
    b'<MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag>'
    b'<rdf:li MPReg:Rectangle="0.1, 0.2, 0.2, 0.1" MPReg:PersonDisplayName="Zoe"/></rdf:Bag></MPRI:Regions>'
    b"</MP:RegionInfo></rdf:Description></rdf:RDF></x:xmpmeta>"
)
ELEMENTS = (
    HEAD % b"r" + b"><tiff:Orientation>%d</tiff:Orientation><tiff:ImageWidth>90</tiff:ImageWidth>"
    b"<tiff:ImageLength>60</tiff:ImageLength><exif:PixelXDimension>90</exif:PixelXDimension>"
    b"<exif:PixelYDimension>60</exif:PixelYDimension>"
    b'<r:Regions rdf:parseType="Resource"><r:AppliedToDimensions rdf:parseType="Resource"><stDim:w>90</stDim:w>'
    b"<stDim:h>60</stDim:h><stDim:unit>pixel</stDim:unit></r:AppliedToDimensions><r:RegionList><rdf:Bag>"
    b'<rdf:li rdf:parseType="Resource"><r:Area rdf:parseType="Resource"><stArea:x>0.2</stArea:x>'
    b"<stArea:y>0.25</stArea:y><stArea:w>0.2</stArea:w><stArea:h>0.1</stArea:h><stArea:unit>normalized</stArea:unit></r:Area><r:Name>Zoe</r:Name>"
    b"</rdf:li></rdf:Bag></r:RegionList></r:Regions>"
    b'<MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag><rdf:li rdf:parseType="Resource">'
    b"<MPReg:Rectangle>0.1, 0.2, 0.2, 0.1</MPReg:Rectangle></rdf:li></rdf:Bag></MPRI:Regions></MP:RegionInfo>"
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)


@pytest.mark.parametrize("form", [ATTRIBUTES, ELEMENTS], ids=["attributes", "elements"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_faces_and_subjects_stay_where_they_are(tmp_path, form, orientation, suffix):
    """Each region is painted into the picture; where the turned picture is bright, the turned region must be."""
    array = np.zeros((60, 90, 3), np.uint8)
    array[12:18, 9:27] = 255  # centre (0.2, 0.25), sides 0.2 and 0.1; left 0.1, top 0.2
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x9214] = (18, 15, 18, 6)
    segments = [(0xE1, exif.tobytes()), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + form % orientation)]
    (tmp_path / "a.jpg").write_bytes(jpeg_with(array, *segments, quality=100, subsampling=0))
    with Image.open(tmp_path / "a.jpg") as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture))[..., 0] > 127
    rows, columns = np.flatnonzero(upright.any(1)), np.flatnonzero(upright.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    height, width = upright.shape
    write(read(tmp_path / "a.jpg"), tmp_path / f"b{suffix}")
    found = exiftool(tmp_path / f"b{suffix}")
    area = [found[f"XMP-mwg-rs:RegionArea{name}"] for name in "XYWH"]
    expected = [
        (left + right) / 2 / width,
        (top + bottom) / 2 / height,
        (right - left) / width,
        (bottom - top) / height,
    ]
    assert area == pytest.approx(expected, abs=1e-6)
    rectangle = [float(part) for part in found["XMP-MP:RegionRectangle"].split(",")]
    expected = [left / width, top / height, (right - left) / width, (bottom - top) / height]
    assert rectangle == pytest.approx(expected, abs=1e-6)
    subject = [int(part) for part in str(found["ExifIFD:SubjectArea"]).split()]
    assert subject == [(left + right) // 2, (top + bottom) // 2, right - left, bottom - top]
    sizes = ("XMP-tiff:Image", "XMP-exif:ExifImage")
    assert all((found[f"{name}Width"], found[f"{name}Height"]) == (width, height) for name in sizes)
    applied = found["XMP-mwg-rs:RegionAppliedToDimensionsW"], found["XMP-mwg-rs:RegionAppliedToDimensionsH"]
    assert applied == (width, height)
    assert found["XMP-tiff:Orientation"] == 1


@pytest.mark.parametrize(
    "form", [ATTRIBUTES % 1, ELEMENTS % 1, b"", b"<x/>", b"\xff\xfe<\0", b"<mwg-rs:Area stArea:x='a'/>"]
)
def test_upright_and_strange_packets_stay_byte_for_byte(form):
    assert turned_xmp(form, 1, 90, 60) == form
    if b"RDF" not in form:
        assert turned_xmp(form, 6, 90, 60) == form


def test_turning_twice_by_half_comes_back():
    form = ATTRIBUTES % 1
    again = turned_xmp(turned_xmp(form, 3, 90, 60), 3, 90, 60)
    assert again == form


@pytest.mark.parametrize("orientation", range(1, 9))
def test_subjects_in_xmp_and_regions_of_iptc_turn_too(tmp_path, orientation):
    """Against the regions of the Metadata Working Group, which the test above holds to the pixels."""
    boundary = (
        b'<rdf:li rdf:parseType="Resource"><I:RegionBoundary rdf:parseType="Resource"><I:rbShape>%s</I:rbShape>'
        b"<I:rbUnit>%s</I:rbUnit>%s</I:RegionBoundary></rdf:li>"
    )
    point = b'<rdf:li I:rbX="%s" I:rbY="%s"/>'
    regions = (
        boundary
        % (b"rectangle", b"relative", b"<I:rbX>0.1</I:rbX><I:rbY>0.2</I:rbY><I:rbW>0.2</I:rbW><I:rbH>0.1</I:rbH>")
        + boundary % (b"circle", b"relative", b"<I:rbX>0.2</I:rbX><I:rbY>0.25</I:rbY><I:rbRx>0.1</I:rbRx>")
        + boundary
        % (b"polygon", b"pixel", b"<I:rbVertices><rdf:Seq>%s</rdf:Seq></I:rbVertices>" % (point % (b"18", b"15")))
    )
    more = (
        b"<exif:SubjectArea><rdf:Seq>"
        + b"".join(b"<rdf:li>%d</rdf:li>" % n for n in (18, 15, 18, 6))
        + b"</rdf:Seq></exif:SubjectArea><I:ImageRegion "
        b'xmlns:I="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"><rdf:Bag>' + regions + b"</rdf:Bag></I:ImageRegion>"
    )
    xmp = (ATTRIBUTES % orientation).replace(b"</rdf:Description>", more + b"</rdf:Description>")
    exif = Image.Exif()
    exif[0x0112] = orientation
    segments = [(0xE1, exif.tobytes()), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)]
    (tmp_path / "a.jpg").write_bytes(jpeg_with(np.zeros((60, 90, 3), np.uint8), *segments))
    write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    found = exiftool(tmp_path / "b.jpg", "-struct")
    area = found["XMP-mwg-rs:RegionInfo"]["RegionList"][0]["Area"]
    x, y, across, down = (float(area[name]) for name in ("X", "Y", "W", "H"))
    width, height = (90, 60) if orientation < 5 else (60, 90)
    assert [int(n) for n in found["XMP-exif:SubjectArea"]] == [
        round(n) for n in (x * width, y * height, across * width, down * height)
    ]
    rectangle, circle, polygon = (region["RegionBoundary"] for region in found["XMP-iptcExt:ImageRegion"])
    sides = [float(rectangle[name]) for name in ("RbX", "RbY", "RbW", "RbH")]
    assert sides == pytest.approx([x - across / 2, y - down / 2, across, down], abs=1e-6)
    assert [float(circle[name]) for name in ("RbX", "RbY")] == pytest.approx([x, y], abs=1e-6)
    assert float(circle["RbRx"]) * width == pytest.approx(9, abs=1e-3)
    (vertex,) = polygon["RbVertices"]
    assert (float(vertex["RbX"]), float(vertex["RbY"])) == pytest.approx((x * width, y * height))


def depth_map(array, kind):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return base64.b64encode(file.getvalue())


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", [1, 2, 6, 7])
def test_a_depth_map_turns_with_its_picture(tmp_path, kind, orientation):
    truth = np.zeros((16, 24), np.uint8)
    truth[:8, :8] = 200
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/" '
        b'GDepth:Mime="image/%s" GDepth:Data="%s"/></rdf:RDF></x:xmpmeta>'
        % (kind.lower().encode(), depth_map(truth, kind))
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    segments = [(0xE1, exif.tobytes()), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)]
    (tmp_path / "a.jpg").write_bytes(jpeg_with(smooth(), *segments))
    write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    (data,) = re.findall(rb'GDepth:Data="([^"]*)"', (tmp_path / "b.jpg").read_bytes())
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        expected = Image.fromarray(truth)
        expected.getexif()[0x0112] = orientation
        expected = np.asarray(ImageOps.exif_transpose(expected))
        assert np.abs(np.asarray(picture).astype(int) - expected).max() < (20 if kind == "JPEG" else 1)
    part = read(tmp_path / "a.jpg").part(slice(0, 20), slice(0, 20))
    assert "places in the whole picture (it is a part of it)" in write(part, tmp_path / "c.jpg")
    assert b"GDepth:" not in (tmp_path / "c.jpg").read_bytes()


def test_places_in_pixels_grow_with_the_picture(tmp_path):
    """Those in parts of the picture stay."""
    head = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" '
        'xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#" '
        'xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:exif="http://ns.adobe.com/exif/1.0/">'
        '<mwg-rs:Regions rdf:parseType="Resource">'
        '<mwg-rs:AppliedToDimensions stDim:w="53" stDim:h="37" stDim:unit="pixel"/>'
        "<mwg-rs:RegionList><rdf:Bag>"
    )
    region = (
        '<rdf:li rdf:parseType="Resource"><mwg-rs:Area stArea:x="{0}" stArea:y="{0}" stArea:w="{0}" stArea:h="{0}" '
        'stArea:unit="{1}"/></rdf:li>'
    )
    tail = (
        "</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions><Iptc4xmpExt:ImageRegion><rdf:Bag>"
        '<rdf:li rdf:parseType="Resource"><Iptc4xmpExt:RegionBoundary Iptc4xmpExt:rbShape="rectangle" '
        'Iptc4xmpExt:rbUnit="pixel" Iptc4xmpExt:rbX="10" Iptc4xmpExt:rbY="10" Iptc4xmpExt:rbW="8" Iptc4xmpExt:rbH="6"/>'
        "</rdf:li></rdf:Bag></Iptc4xmpExt:ImageRegion><exif:SubjectArea><rdf:Seq><rdf:li>20</rdf:li><rdf:li>10</rdf:li>"
        "<rdf:li>8</rdf:li><rdf:li>6</rdf:li></rdf:Seq></exif:SubjectArea></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    xmp = head + region.format("0.25", "normalized") + region.format("12", "pixel") + tail
    (tmp_path / "a.jpg").write_bytes(jpeg_with(smooth(), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp.encode())))
    photograph = read(tmp_path / "a.jpg")
    write(photograph.with_pixels(torch.zeros(1, 3, 74, 159)), tmp_path / "b.jpg")
    found = exiftool(tmp_path / "b.jpg")
    sides = found["XMP-mwg-rs:RegionAppliedToDimensionsW"], found["XMP-mwg-rs:RegionAppliedToDimensionsH"]
    assert sides == (159, 74)
    assert found["XMP-mwg-rs:RegionAreaX"] == [0.25, 36]
    assert found["XMP-mwg-rs:RegionAreaH"] == [0.25, 24]
    names = ("X", "Y", "W", "H")
    assert [found[f"XMP-iptcExt:ImageRegionBoundary{name}"] for name in names] == [30, 20, 24, 12]
    assert found["XMP-exif:SubjectArea"] == [60, 20, 24, 12]


def test_thumbnails_do_not_live_on(tmp_path):
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        b'xmlns:xmpGImg="http://ns.adobe.com/xap/1.0/g/img/" xmp:Rating="3"><xmp:Thumbnails><rdf:Alt>'
        b'<rdf:li rdf:parseType="Resource"><xmpGImg:image>U1RBTEU=</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>'
        b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    (tmp_path / "a.jpg").write_bytes(jpeg_with(smooth(), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)))
    write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    assert b"U1RBTEU=" not in (tmp_path / "b.jpg").read_bytes()
    assert exiftool(tmp_path / "b.jpg")["XMP-xmp:Rating"] == 3


@pytest.mark.parametrize("suffix", [".avif", ".jxl"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_places_turn_where_the_container_turns_the_picture(tmp_path, suffix, orientation):
    """AVIF, HEIF and JPEG XL tell the orientation beside EXIF, and their readers turn the pixels."""
    if suffix == ".jxl":
        pytest.importorskip("imagecodecs")
    tool = {".avif": "avifenc", ".jxl": "cjxl"}[suffix]
    if shutil.which(tool) is None:
        pytest.skip(
            f"{tool} is not installed: apt-get install {'libavif-bin' if suffix == '.avif' else 'libjxl-tools'}"
        )
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x9214] = (18, 15, 18, 6)
    segments = [(0xE1, exif.tobytes()), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + ATTRIBUTES % orientation)]
    (tmp_path / "a.jpg").write_bytes(jpeg_with(smooth(60, 90), *segments, quality=100, subsampling=0))
    if suffix == ".jxl":
        command = ["cjxl", tmp_path / "a.jpg", tmp_path / "a.jxl"]
        subprocess.run(command, check=True, capture_output=True)
    else:
        Image.fromarray(smooth(60, 90)).save(tmp_path / "a.png")
        angle = {3: "2", 6: "3", 8: "1"}[orientation]
        command = ["avifenc", "--irot", angle, tmp_path / "a.png", tmp_path / "a.avif"]
        subprocess.run(command, check=True, capture_output=True)
        command = ["exiftool", "-q", "-overwrite_original", "-tagsfromfile", tmp_path / "a.jpg", "-all:all"]
        subprocess.run([*command, tmp_path / "a.avif"], check=True)
    write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    write(read(tmp_path / f"a{suffix}"), tmp_path / "c.jpg")
    expected, found = exiftool(tmp_path / "b.jpg"), exiftool(tmp_path / "c.jpg")
    names = [f"XMP-mwg-rs:RegionArea{name}" for name in "XYWH"]
    names += ["XMP-MP:RegionRectangle", "ExifIFD:SubjectArea", "IFD0:Orientation"]
    assert {name: found[name] for name in names} == {name: expected[name] for name in names}
    with Image.open(tmp_path / "b.jpg") as one, Image.open(tmp_path / "c.jpg") as other:
        assert one.size == other.size
