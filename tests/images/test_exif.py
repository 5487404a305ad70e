"""EXIF within and between formats, as Pillow reads it."""

import numpy as np
import pytest
from PIL import Image

from pellucid import images
from pellucid.images import read, write
from support.pictures import camera_exif, integers, said, smooth


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


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"x" * 9]
)
def test_broken_exif_does_not_stop_anything(tmp_path, exif):
    Image.fromarray(smooth()).save(tmp_path / "b.jpg", exif=exif)
    for suffix in (".jpg", ".png", ".tif"):
        write(read(tmp_path / "b.jpg"), tmp_path / f"c{suffix}")
        np.testing.assert_allclose(integers(read(tmp_path / f"c{suffix}").pixels), smooth(), atol=12)
