"""What lies behind the picture in one file: gain maps, second pictures, videos, frames, pages and thumbnails."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from pellucid.images import read, write
from support.pictures import camera_exif, exiftool, integers, jpeg_with, noise, smooth

RDF = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4" '
    b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" '
    b'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    b'xmlns:Item="http://ns.google.com/photos/1.0/container/item/" %s>'
    b"<Container:Directory><rdf:Seq>%s</rdf:Seq></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"
)
ITEM = b'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="%s" Item:Mime="%s"%s/></rdf:li>'
VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(range(256)) * 8


def jpeg(array, **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def listing(primary, sizes, kinds, at):
    """An MPF segment at `at`, for a first picture of `primary` bytes and others behind it."""
    entries, begin = struct.pack(">LLLHH", 0x030000, primary, 0, 0, 0), primary
    for size, kind in zip(sizes, kinds, strict=True):
        entries += struct.pack(">LLLHH", kind, size, max(begin - at - 8, 0), 0, 0)
        begin += size
    rows = struct.pack(">HHHL4s", 3, 0xB000, 7, 4, b"0100") + struct.pack(">HHLL", 0xB001, 4, 1, len(sizes) + 1)
    rows += struct.pack(">HHLLL", 0xB002, 7, len(entries), 50, 0)
    return b"MPF\0MM\0*" + struct.pack(">L", 8) + rows + entries


def with_pictures(*pictures, kinds, xmp=b"", exif=b"", extra=b""):
    """A JPEG file with others behind it, listed as cameras do."""
    segments = [(0xE1, exif)] if exif else []
    segments += [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)] if xmp else []
    first = jpeg_with(smooth(), *segments, quality=95)
    at = 20 + sum(4 + len(body) for _, body in segments)
    length = len(listing(0, [0] * len(pictures), kinds, 0)) + 4
    segment = (0xE2, listing(len(first) + length, [len(picture) for picture in pictures], kinds, at))
    return jpeg_with(smooth(), *segments, segment, behind=b"".join(pictures) + extra, quality=95)


def gain_map():
    array = np.zeros((12, 20), np.uint8)
    array[:6, :10] = 200
    return jpeg(
        array,
        xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" '
        b'hdrgm:Version="1.0"/>',
    )


def ultra_hdr(exif=b""):
    picture = gain_map()
    items = ITEM % (b"Primary", b"image/jpeg", b"") + ITEM % (
        b"GainMap",
        b"image/jpeg",
        b' Item:Length="%d"' % len(picture),
    )
    return with_pictures(picture, kinds=[0], xmp=RDF % (b'hdrgm:Version="1.0"', items), exif=exif), picture


def second(path):
    """The second picture that the list of a file tells, as the list places it."""
    data = path.read_bytes()
    at = data.index(b"MPF\0") + 4
    order = "<" if data[at : at + 2] == b"II" else ">"
    start = at + struct.unpack_from(order + "L", data, at + 4)[0]
    rows = [struct.unpack_from(order + "HHLL", data, start + 2 + 12 * k) for k in range(3)]
    entries = at + next(value for tag, _, _, value in rows if tag == 0xB002)
    _, primary, *_ = struct.unpack_from(order + "LLL", data, entries)
    _, size, offset = struct.unpack_from(order + "LLL", data, entries + 16)
    assert data[primary - 2 : primary] == b"\xff\xd9"
    return data[at + offset :][:size]


def test_a_gain_map_is_kept_where_the_lists_say(tmp_path):
    data, picture = ultra_hdr()
    (tmp_path / "a.jpg").write_bytes(data)
    assert second(tmp_path / "a.jpg") == picture
    photograph = read(tmp_path / "a.jpg")
    assert [piece.kind for piece in photograph.metadata.pieces] == ["gain map"]
    assert write(photograph, tmp_path / "b.jpg", quality=70) == ()
    assert second(tmp_path / "b.jpg") == picture
    assert (tmp_path / "b.jpg").read_bytes().endswith(picture)
    found = exiftool(tmp_path / "b.jpg")
    assert found["XMP-Container:DirectoryItemLength"] == len(picture)
    assert found["MPF0:NumberOfImages"] == 2


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_a_gain_map_is_turned_with_its_picture(tmp_path, orientation):
    data, _ = ultra_hdr(exif=camera_exif("<", orientation))
    (tmp_path / "a.jpg").write_bytes(data)
    write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    turned = second(tmp_path / "b.jpg")
    with Image.open(io.BytesIO(turned)) as picture:
        array = np.asarray(picture)
        assert b"hdrgm" in picture.info["xmp"]
    truth = np.zeros((12, 20))
    truth[:6, :10] = 200
    expected = {3: np.rot90(truth, 2), 6: np.rot90(truth, -1), 7: np.rot90(truth, 2).T}[orientation]
    assert np.abs(array.astype(int) - expected).mean() < 5
    assert exiftool(tmp_path / "b.jpg")["XMP-Container:DirectoryItemLength"] == len(turned)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif"])
def test_what_other_formats_cannot_hold_is_named_and_not_claimed(tmp_path, suffix):
    (tmp_path / "a.jpg").write_bytes(ultra_hdr()[0])
    assert write(read(tmp_path / "a.jpg"), tmp_path / f"b{suffix}") == ("gain map",)
    found = exiftool(tmp_path / f"b{suffix}")
    assert found["XMP-xmp:Rating"] == 4
    assert not any(name.startswith(("XMP-hdrgm", "XMP-Container", "XMP-GCamera")) for name in found)


def motion_photo():
    items = ITEM % (b"Primary", b"image/jpeg", b"") + ITEM % (
        b"MotionPhoto",
        b"video/mp4",
        b' Item:Length="%d"' % len(VIDEO),
    )
    xmp = RDF % (b'GCamera:MotionPhoto="1" GCamera:MicroVideo="1" GCamera:MicroVideoOffset="%d"' % len(VIDEO), items)
    return jpeg_with(smooth(), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp), behind=VIDEO)


def test_a_motion_photo_keeps_its_video_or_says_so(tmp_path):
    (tmp_path / "a.jpg").write_bytes(motion_photo())
    assert write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg") == ()
    data = (tmp_path / "b.jpg").read_bytes()
    offset = exiftool(tmp_path / "b.jpg")["XMP-GCamera:MicroVideoOffset"]
    assert data[-offset:] == VIDEO
    assert data[-offset - 2 : -offset] == b"\xff\xd9"
    assert write(read(tmp_path / "b.jpg"), tmp_path / "c.png") == ("video of a motion photo",)
    assert not any("GCamera" in name for name in exiftool(tmp_path / "c.png"))


def test_xmp_that_claims_what_is_not_there_is_cleaned(tmp_path):
    data = motion_photo().removesuffix(VIDEO)
    (tmp_path / "a.jpg").write_bytes(data)
    (word,) = write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    assert "there is none in the file" in word
    assert not any("GCamera" in name for name in exiftool(tmp_path / "b.jpg"))


def test_a_second_view_is_kept_and_stale_previews_are_not(tmp_path):
    view, preview = jpeg(smooth() // 2), jpeg(smooth()[::2, ::2])
    (tmp_path / "a.jpg").write_bytes(with_pictures(preview, view, kinds=[0x010002, 0x020002]))
    photograph = read(tmp_path / "a.jpg")
    assert [piece.kind for piece in photograph.metadata.pieces] == ["second picture"]
    assert write(photograph, tmp_path / "b.jpg") == ()
    assert second(tmp_path / "b.jpg") == view
    assert preview not in (tmp_path / "b.jpg").read_bytes()
    with Image.open(tmp_path / "b.jpg") as again:
        assert again.n_frames == 2


def test_three_views_are_kept_and_counted(tmp_path):
    """As Pillow writes them, which tells the size of the third from the first on."""
    frames = [Image.fromarray(smooth() // (k + 1)) for k in range(3)]
    frames[0].save(tmp_path / "a.mpo", save_all=True, append_images=frames[1:])
    photograph = read(tmp_path / "a.mpo")
    assert write(photograph, tmp_path / "b.jpg") == ()
    with Image.open(tmp_path / "b.jpg") as again:
        assert again.n_frames == 3
        for number in (1, 2):
            again.seek(number)
            assert np.abs(np.asarray(again).astype(int) - np.asarray(frames[number])).mean() < 3
    assert write(photograph, tmp_path / "b.png") == ("second picture (2 of them)",)


def test_a_mask_among_the_pages_is_named(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(smooth(), photometric="rgb", metadata=None)
        file.write(smooth()[..., 0] > 90, photometric="minisblack", subfiletype=4, metadata=None)
    photograph = read(tmp_path / "a.tif")
    assert (photograph.pages, photograph.lost) == (1, ("a mask among its pages",))


def test_frames_are_counted(tmp_path):
    frames = [Image.fromarray(noise(16, 16, 3) // (k + 1)) for k in range(3)]
    for suffix in (".png", ".gif", ".webp", ".tif", ".avif"):
        frames[0].save(tmp_path / f"m{suffix}", save_all=True, append_images=frames[1:])
        photograph = read(tmp_path / f"m{suffix}")
        assert photograph.pages == 3
        assert any("the other 2 of its 3" in word for word in write(photograph, tmp_path / "o.png"))


@pytest.mark.parametrize("old", [False, True])
def test_the_page_that_is_no_thumbnail_is_read(tmp_path, old):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        tags = [(255, 3, 1, 2, True)] if old else []
        file.write(
            smooth()[::3, ::3].copy(), photometric="rgb", subfiletype=0 if old else 1, extratags=tags, metadata=None
        )
        file.write(smooth(), photometric="rgb", metadata=None)
    if old:  # the old tag alone says it
        data = bytearray((tmp_path / "a.tif").read_bytes())
        data[data.index(struct.pack("<HHL", 254, 4, 1)) :][:2] = b""
        at = data.index(struct.pack("<HHL", 254, 4, 1))
        data[at : at + 2] = struct.pack("<H", 253)
        (tmp_path / "a.tif").write_bytes(data)
    photograph = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(integers(photograph.pixels), smooth())
    assert photograph.pages == 1


def test_a_picture_below_its_thumbnail_is_read(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(smooth()[::3, ::3].copy(), photometric="rgb", subfiletype=1, subifds=1, metadata=None)
        file.write(smooth(), photometric="rgb", subfiletype=0, metadata=None)
    np.testing.assert_array_equal(integers(read(tmp_path / "a.tif").pixels), smooth())


def test_a_gain_map_in_no_list_and_a_video_behind_it_are_told_apart(tmp_path):
    """As cameras write both: the picture is turned, and its gain map with it; the video stays as it is."""
    picture = gain_map()
    items = ITEM % (b"Primary", b"image/jpeg", b"") + ITEM % (
        b"GainMap",
        b"image/jpeg",
        b' Item:Length="%d"' % len(picture),
    )
    items += ITEM % (b"MotionPhoto", b"video/mp4", b' Item:Length="%d"' % len(VIDEO))
    xmp = RDF % (b'hdrgm:Version="1.0" GCamera:MotionPhoto="1"', items)
    segments = ((0xE1, camera_exif("<", 6)), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp))
    (tmp_path / "a.jpg").write_bytes(jpeg_with(smooth(), *segments, behind=picture + VIDEO))
    photograph = read(tmp_path / "a.jpg")
    assert [piece.kind for piece in photograph.metadata.pieces] == ["gain map", "video of a motion photo"]
    assert write(photograph, tmp_path / "b.jpg") == ()
    data = (tmp_path / "b.jpg").read_bytes()
    assert data.endswith(VIDEO)
    sizes = exiftool(tmp_path / "b.jpg", "-struct")["XMP-Container:Directory"]
    length = next(int(row["Item"]["Length"]) for row in sizes if row["Item"]["Semantic"] == "GainMap")
    with Image.open(io.BytesIO(data[-len(VIDEO) - length : -len(VIDEO)])) as turned:
        assert turned.size == (12, 20)


def test_room_in_front_of_a_gain_map_stays(tmp_path):
    """Where no list tells of it: the container says how much room there is."""
    room, picture = bytes(37), gain_map()
    items = ITEM % (b"Primary", b"image/jpeg", b' Item:Padding="37"')
    items += ITEM % (b"GainMap", b"image/jpeg", b' Item:Length="%d"' % len(picture))
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + RDF % (b'hdrgm:Version="1.0"', items)
    (tmp_path / "a.jpg").write_bytes(jpeg_with(smooth(), (0xE1, xmp), behind=room + picture))
    photograph = read(tmp_path / "a.jpg")
    assert photograph.metadata.piece_words() == ["gain map"]
    assert write(photograph, tmp_path / "b.jpg") == ()
    assert (tmp_path / "b.jpg").read_bytes().endswith(b"\xff\xd9" + room + picture)


def test_lengths_that_stand_in_elements_change_with_a_turned_gain_map(tmp_path):
    picture = gain_map()
    item = (
        b'<rdf:li rdf:parseType="Resource"><C:Item rdf:parseType="Resource"><I:Semantic>%s</I:Semantic>'
        b"<I:Length>%d</I:Length></C:Item></rdf:li>"
    )
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:C="http://ns.google.com/photos/1.0/container/" '
        b'xmlns:I="http://ns.google.com/photos/1.0/container/item/"><C:Directory><rdf:Seq>'
        + item % (b"Primary", 0)
        + item % (b"GainMap", len(picture))
        + b"</rdf:Seq></C:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    (tmp_path / "a.jpg").write_bytes(with_pictures(picture, kinds=[0], xmp=xmp, exif=camera_exif("<", 6)))
    write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    turned = second(tmp_path / "b.jpg")
    assert len(turned) != len(picture)
    assert b"<I:Length>%d</I:Length>" % len(turned) in (tmp_path / "b.jpg").read_bytes()
    assert b"<I:Length>0</I:Length>" in (tmp_path / "b.jpg").read_bytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("stale", [False, True])
def test_what_a_list_of_pictures_says_of_them_stays(tmp_path, order, stale):
    """A pair of views says which depends on which, and how far they are apart."""
    views = [jpeg(smooth()[::2, ::2]), jpeg(smooth() // 2)] if stale else [jpeg(smooth() // 2)]
    kinds = [0x010002, 0x40020002] if stale else [0x40020002]
    first = (0xA0020002, (len(views) + 1, 0))

    def block(primary, at):
        entries, begin = struct.pack(order + "LLLHH", first[0], primary, 0, *first[1]), primary
        for kind, view in zip(kinds, views, strict=True):
            entries += struct.pack(order + "LLLHH", kind, len(view), max(begin - at, 0), 0, 0)
            begin += len(view)
        rows = struct.pack(order + "HHHL4s", 4, 0xB000, 7, 4, b"0100")
        rows += struct.pack(order + "HHLL", 0xB001, 4, 1, len(views) + 1)
        rows += struct.pack(order + "HHLL", 0xB002, 7, len(entries), 62) + struct.pack(order + "HHLL", 0xB004, 4, 1, 9)
        own = 62 + len(entries)
        below = struct.pack(order + "HHHLHH", 2, 0xB101, 3, 1, 7, 0)
        below += struct.pack(order + "HHLLLLL", 0xB206, 5, 1, own + 30, 0, 630, 10)
        head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "L", 8)
        return b"MPF\0" + head + rows + struct.pack(order + "L", own) + entries + below

    size = 4 + len(block(0, 0))
    segment = (0xE2, block(len(jpeg_with(smooth(), quality=95)) + size, 20 + 8))
    (tmp_path / "a.jpg").write_bytes(jpeg_with(smooth(), segment, behind=b"".join(views), quality=95))
    before = exiftool(tmp_path / "a.jpg")
    assert before["MPF0:BaselineLength"] == 63
    assert write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg", quality=80) == ()
    after = exiftool(tmp_path / "b.jpg")
    for name in ("MPF0:BaselineLength", "MPF0:MPImageNumber", "MPF0:TotalFrames"):
        assert before.get(name) == after.get(name)
    for name in ("MPImageFlags", "MPImageType"):
        assert before[f"MPImage1:{name}"] == after[f"MPImage1:{name}"]
        assert before[f"MPImage{len(views) + 1}:{name}"] == after[f"MPImage2:{name}"]
    assert after["MPImage1:DependentImage1EntryNumber"] == 2
    start, length = after["MPImage2:MPImageStart"], after["MPImage2:MPImageLength"]
    assert (tmp_path / "b.jpg").read_bytes()[start : start + length] == views[-1]
