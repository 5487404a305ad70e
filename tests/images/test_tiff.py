"""TIFF as it is written here: byte orders, BigTIFF, EXIF with its maker notes; by tifffile and exiftool."""

import struct
import subprocess

import numpy as np
import pytest
import tifffile
from PIL import Image

from pellucid.errors import ImageError
from pellucid.images import Metadata, Photograph, read, tiff, write
from pellucid.images.exif import ExifTables, exif_block, exif_tables, fitted, movable_note
from pellucid.images.tiff_tables import Structure
from support.pictures import IPTC, camera_exif, exiftool, integers, jpeg_with, noise, p3, smooth


def canon_exif(order="<", padding=0):
    """EXIF with a maker note of Canon, whose one value lies at an offset from the beginning of the block."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0110], exif[0x010E] = "Canon", "Canon EOS 5D Mark IV", "x" * (padding + 1)
    owner = b"A Photographer".ljust(32, b"\0")
    exif.get_ifd(0x8769)[0x927C] = struct.pack(order + "HHHLLL", 1, 9, 2, 32, 0, 0) + owner
    exif.get_ifd(0x8769)[0x829A] = 0.005
    data = bytearray(exif.tobytes())
    at = data.index(owner)
    struct.pack_into(order + "L", data, at - 8, at - 6)
    return bytes(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_every_order_and_size_is_read_by_others(tmp_path, monkeypatch, order, big, dtype):
    array = np.random.default_rng(0).random((700, 150, 3))  # several strips
    array = array.astype(dtype) if dtype is np.float32 else (array * np.iinfo(dtype).max).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb")
    photograph = read(tmp_path / "a.tif")
    metadata = Metadata(exif=camera_exif(order)[6:], xmp=b"<x/>", iptc=IPTC, icc=p3(), dpi=(300.0, 150.5))
    monkeypatch.setattr(tiff, "_MOST_CLASSIC", 0 if big else 2**32)
    lost = write(Photograph(photograph.pixels, bits=photograph.bits, metadata=metadata), tmp_path / "b.tif")
    assert lost == (("maker notes",) if big else ())
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert (file.is_bigtiff, file.byteorder) == (big, order)
        page = file.pages[0]
        assert page.dtype == dtype
        assert page.tags["XResolution"].value == (300, 1)
        assert page.tags["YResolution"].value == (1505000, 10000)
        assert page.iccprofile == p3()
        np.testing.assert_array_equal(page.asarray(), array)
    found = exiftool(tmp_path / "b.tif")
    group = "ExifOffset" if big else "ExifIFD"  # so exiftool calls it there; GPS it passes over
    assert (found["IFD0:Make"], found[f"{group}:ExposureTime"]) == ("Canon", 0.008)
    assert big or found["GPS:GPSLatitudeRef"] == "N"
    again = read(tmp_path / "b.tif")
    assert (again.metadata.iptc, again.metadata.xmp, again.metadata.icc) == (IPTC, b"<x/>", p3())
    assert (again.pixels == photograph.pixels).all()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("padding", [0, 5000])
def test_maker_notes_stay_readable_on_every_way(tmp_path, order, padding):
    exif = canon_exif(order, padding)
    (tmp_path / "a.jpg").write_bytes(jpeg_with(smooth(), (0xE1, exif)))
    source = tmp_path / "a.jpg"
    for step, suffix in enumerate((".tif", ".png", ".tif", ".webp", ".avif", ".tif", ".jpg")):
        target = tmp_path / f"{step}{suffix}"
        assert write(read(source), target) == ()
        assert exiftool(target)["Canon:OwnerName"] == "A Photographer"
        source = target


@pytest.mark.parametrize("order", ["<", ">"])
def test_notes_behind_a_long_file_are_kept_at_their_place_or_named(tmp_path, order):
    """A TIFF of another program has its note behind the pixels: there it can stay for the first megabyte."""
    for side, kept in ((200, True), (900, False)):
        tifffile.imwrite(tmp_path / "p.tif", noise(side, side, 3), photometric="rgb", byteorder=order, metadata=None)
        data = bytearray((tmp_path / "p.tif").read_bytes())
        data += bytes(len(data) % 2)
        at = len(data)
        block = exif_tables(Structure(canon_exif(order)[6:]))
        note = bytearray(block.below[0x8769][0x927C][2])
        struct.pack_into(order + "L", note, 10, at + 18)
        data += note
        exif_at = len(data)
        entry = struct.pack(order + "HHLL", 0x927C, 7, len(note), at)
        data += struct.pack(order + "H", 1) + entry + bytes(4)
        first = exif_tables(Structure(bytes(data)))
        make = (2, 6, b"Canon\0"), (2, 21, b"Canon EOS 5D Mark IV\0")
        tags = {**first.first, 271: make[0], 272: make[1], 0x8769: (4, 1, struct.pack("<L", exif_at))}
        from pellucid.images.tiff_tables import table_bytes

        start = len(data)
        data += table_bytes(tags, start, order)
        struct.pack_into(order + "L", data, 4, start)
        (tmp_path / "a.tif").write_bytes(data)
        assert exiftool(tmp_path / "a.tif")["Canon:OwnerName"] == "A Photographer"
        lost = write(read(tmp_path / "a.tif"), tmp_path / "b.png")
        found = exiftool(tmp_path / "b.png")
        assert found["IFD0:Make"] == "Canon"
        assert (found.get("Canon:OwnerName") == "A Photographer", lost) == (kept, () if kept else ("maker notes",))


def test_exif_is_fitted_by_leaving_out_the_longest_values():
    tables = exif_tables(Structure(camera_exif("<")[6:]))
    tables.first[270] = (2, 50_001, b"d" * 50_000 + b"\0")
    tables.below[0x8769][37510] = (7, 60_000, b"ASCII\0\0\0" + bytes(59_992))
    block, lost = exif_block(tables)
    assert lost == []
    assert len(block) > 110_000
    small, lost = fitted(block, 65_527)
    assert lost == ["the user's comment"]
    assert len(small) <= 65_527
    small, lost = fitted(block, 4_000)
    assert lost == ["the user's comment", "the description"]
    kept = exif_tables(Structure(small))
    assert kept.below[0x8769][0x829A] == tables.below[0x8769][0x829A]
    assert fitted(small, 65_527) == (small, [])
    assert fitted(b"II*\0\xff\xff\xff\xff" + bytes(99_999), 65_527) == (b"", ["EXIF"])


def test_notes_with_offsets_into_themselves_may_move():
    assert movable_note(b"Nikon\0\x02\x10\0\0MM\0*")
    assert movable_note(b"Apple iOS\0\0\1MM")
    assert not movable_note(struct.pack("<H", 9))
    tables = ExifTables(below={0x8769: {0x927C: (7, 30, b"FUJIFILM" + bytes(22))}}, note_at=2**30)
    block, lost = exif_block(tables)
    assert lost == []
    assert b"FUJIFILM" in block
    tables = ExifTables(below={0x8769: {0x927C: (7, 30, b"Panasonic" + bytes(21))}}, note_at=2**30)
    block, lost = exif_block(tables)
    assert lost == ["maker notes"]
    assert b"Panasonic" not in block


def test_thumbnail_tables_and_old_bytes_do_not_live_on(tmp_path):
    thumbnail = b"\xff\xd8STALE" * 20
    (tmp_path / "a.jpg").write_bytes(jpeg_with(smooth(), (0xE1, camera_exif("<", 6, thumbnail))))
    write(read(tmp_path / "a.jpg"), tmp_path / "b.tif")
    assert b"STALE" not in (tmp_path / "b.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert len(file.pages) == 1


def test_layers_and_strange_tags_are_named(tmp_path):
    tags = [(37724, 7, 9, b"layers..!", True), (50000, 3, 1, 7, True), (285, 2, 0, "page one", True)]
    tifffile.imwrite(tmp_path / "a.tif", smooth(), photometric="rgb", extratags=tags)
    assert write(read(tmp_path / "a.tif"), tmp_path / "b.tif") == ("Photoshop layers", "TIFF tags 50000")
    assert exiftool(tmp_path / "b.tif")["IFD0:PageName"] == "page one"


@pytest.mark.parametrize("compression", ["zstd", "lzma", "lerc", "jpeg2000", "jpegxl"])
@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_compressions_that_libvips_does_not_know_are_not_black(tmp_path, compression, tile):
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "a.tif", smooth(90, 100), photometric="rgb", compression=compression, tile=tile)
    np.testing.assert_array_equal(integers(read(tmp_path / "a.tif").pixels), smooth(90, 100))


@pytest.mark.parametrize("tile", [None, (64, 64)])
@pytest.mark.parametrize("compression", ["deflate", None, "lzw"])
def test_damaged_and_missing_tiles_are_not_passed_over(tmp_path, tile, compression):
    if compression == "lzw":
        pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "a.tif", noise(200, 150, 3), photometric="rgb", compression=compression, tile=tile)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    (tmp_path / "cut.tif").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ImageError, match=r"cut\.tif: truncated or damaged"):
        read(tmp_path / "cut.tif")
    if compression == "deflate":
        data[len(data) * 2 // 3] ^= 0x55
        (tmp_path / "flipped.tif").write_bytes(data)
        with pytest.raises(ImageError, match=r"flipped\.tif: truncated or damaged tiff \(damaged pixels\)"):
            read(tmp_path / "flipped.tif")


def test_luma_and_chroma_become_rgb(tmp_path):
    y, x = np.mgrid[:60, :80]
    array = np.stack([3 * x, 4 * y, 128 + 0 * x], -1).astype(np.uint8)
    Image.fromarray(array).convert("YCbCr").save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as picture:
        truth = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(integers(read(tmp_path / "a.tif").pixels) - truth).max() <= 1


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("extra", [(0,), (1,), (2,), (0, 0), (2, 0), (0, 2), (1, 0), (0, 1)])
@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_channels_beside_the_colours_stay_what_and_where_they_were(tmp_path, photometric, extra, dtype, planar):
    most = 1 if dtype == np.float32 else np.iinfo(dtype).max
    shares = np.random.default_rng(0).random((40, 48, 3 + len(extra)))
    shares = shares if photometric == "rgb" else shares[..., 2:]
    colours = shares.shape[2] - len(extra)
    for index, meaning in enumerate(extra):
        if meaning == 1:  # colours are multiplied by it, so none is above it
            shares[..., :colours] *= shares[..., colours + index, None]
    array = (shares * most).astype(dtype)
    laid = np.moveaxis(array, -1, 0).copy() if planar == "separate" else array
    options = {"photometric": photometric, "planarconfig": planar, "extrasamples": extra, "rowsperstrip": 9}
    tifffile.imwrite(tmp_path / "a.tif", laid, metadata=None, **options)
    photograph = read(tmp_path / "a.tif")
    write(photograph.with_pixels(photograph.pixels.clone()), tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert tuple(file.pages[0].extrasamples) == extra
        tolerance = 1e-6 if dtype == np.float32 and 1 in extra else 0
        np.testing.assert_allclose(file.pages[0].asarray(), array, atol=tolerance, rtol=0)


@pytest.mark.parametrize("source", [".jpg", ".tif"])
def test_every_tag_of_the_first_table_goes_into_tiff_or_is_named(tmp_path, source):
    """TIFF/EP, DNG and Camera Raw put into it what EXIF has elsewhere."""
    tags = {"SecurityClassification": "T", "ImageHistory": "cropped", "UniqueCameraModel": "EOS", "Lens": "50 mm"}
    Image.fromarray(smooth()).save(tmp_path / f"a{source}", icc_profile=p3())
    options = [f"-IFD0:{name}={value}" for name, value in tags.items()]
    options += ["-IFD0:WhitePoint=0.3127 0.329", "-IFD0:ImageNumber=7", "-IFD0:ProfileName=strange"]
    exiftool(tmp_path / f"a{source}")  # skips where it is not installed
    subprocess.run(["exiftool", "-q", "-overwrite_original", *options, tmp_path / f"a{source}"], check=True)
    before = exiftool(tmp_path / f"a{source}")
    lost = write(read(tmp_path / f"a{source}"), tmp_path / "b.tif")
    after = exiftool(tmp_path / "b.tif")
    for name in (*tags, "WhitePoint", "ImageNumber"):
        assert before[f"IFD0:{name}"] == after[f"IFD0:{name}"]
    assert [word.partition(" ")[2] for word in lost] == (["tags 50936"] if "IFD0:ProfileName" in before else [])
