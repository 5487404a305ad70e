"""Names, errors, and files that appear whole or not at all."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from pellucid.errors import ImageError, SettingsError
from pellucid.images import Photograph, read, supported, write
from support.pictures import SIZE, encoded, noise, read_metadata


@pytest.mark.parametrize(
    "stem", ["Zoë 夜景 🌙", "a[page=3]", "50% off%d%s", "[autorotate]", "-x", "a'b\"c", "two\nlines"]
)
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_any_name_is_only_a_name(tmp_path, stem, suffix):
    path = tmp_path / f"{stem}{suffix}"
    write(Photograph(torch.rand(1, 3, 6, 5)), path)
    assert os.listdir(tmp_path) == [path.name]
    assert read(path).pixels.shape == (1, 3, 6, 5)
    path.write_bytes(b"")
    with pytest.raises(ImageError) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_not_unicode(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system has only Unicode names")
    write(Photograph(torch.rand(1, 3, 6, 5)), path)
    assert read(path).pixels.shape == (1, 3, 6, 5)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp", "avif", "gif"])
def test_truncated_files(tmp_path, capfd, kind, share):
    data = encoded(kind)
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=rf"cut\.{kind}: ") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_progressive_and_damaged_files(tmp_path, capfd):
    (tmp_path / "p.jpg").write_bytes(encoded("jpeg", progressive=True)[:-300])
    damaged = bytearray(encoded("png"))
    damaged[len(damaged) // 2] ^= 0xFF
    (tmp_path / "d.png").write_bytes(damaged)
    for name in ("p.jpg", "d.png"):
        with pytest.raises(ImageError, match="truncated, damaged"):
            read(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_damage_anywhere_is_read_or_refused_but_never_crashes(tmp_path, capfd):
    """Every seventeenth byte of files with all kinds of metadata, one at a time, is set to 255."""
    small = Photograph(torch.rand(1, 3, 4, 4))
    metadata = read_metadata(tmp_path)
    for suffix in (".jpg", ".png", ".tif"):
        path = tmp_path / f"d{suffix}"
        write(replace(small, metadata=replace(metadata, icc=b"")), path)
        whole = path.read_bytes()
        read_well, messages = 0, []
        for at in range(3, len(whole), 17):
            path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
            try:
                write(read(path), tmp_path / f"again{suffix}")
                read_well += 1
            except ImageError as error:
                messages.append(str(error))
        assert read_well > 10
        assert not any("\n" in message for message in messages)
    assert capfd.readouterr() == ("", "")


def test_what_is_not_a_picture(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
    tifffile.imwrite(tmp_path / "raw.dng", noise(*SIZE, 3), photometric="rgb")
    tifffile.imwrite(tmp_path / "signed.tif", noise(*SIZE, 3).astype(np.int16), photometric="rgb")
    expected = {
        "empty.png": "the file is empty",
        "text.jpg": "not a picture that can be read",
        "folder.png": "Is a directory",
        "drawing.svg": "not a picture that can be read",
        "missing.png": "No such file",
        "raw.dng": "camera raw",
        "signed.tif": "3 channels of short",
        "nul\0.png": "null",
    }
    for name, reason in expected.items():
        with pytest.raises(ImageError, match=reason) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert name.split("\0")[0] in str(caught.value)


def test_supported():
    assert supported("a/b.JPG")
    assert supported(Path("x.tiff"))
    assert not supported("x.gif")
    assert not supported("png")


def test_a_failed_write_leaves_everything_as_it_was(tmp_path, monkeypatch):
    good, path = Photograph(torch.rand(1, 3, 6, 5)), tmp_path / "x.png"
    write(good, path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(ImageError, match=r"x\.png: cannot be written: No space left on device"):
            write(replace(good, pixels=torch.zeros(1, 3, 9, 9)), path)
    with pytest.raises(ImageError, match="NaN"):
        write(Photograph(torch.full((1, 3, 6, 5), torch.nan)), path)
    with pytest.raises(ImageError, match="exists already"):
        write(good, path, overwrite=False)
    with pytest.raises(SettingsError, match="quality"):
        write(good, path, quality=0)
    assert os.listdir(tmp_path) == ["x.png"]
    assert path.read_bytes() == before


def test_where_nothing_can_be_written(tmp_path):
    good = Photograph(torch.rand(1, 3, 6, 5))
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for name, reason in {
        "file/x.png": "Not a directory",
        "none/x.png": "No such file",
        "folder.png": "folder",
        "x.gif": r"suffix '\.gif'; known: .*\.png",
        "x": "suffix ''",
        "x" * 300 + ".png": "too long",
        "nul\0.png": "null",
    }.items():
        with pytest.raises(ImageError, match=reason) as caught:
            write(good, tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match=r"wide\.webp: cannot be written as webp"):
        write(Photograph(torch.rand(1, 3, 1, 17000)), tmp_path / "wide.webp")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_permissions_and_links_are_those_of_the_place(tmp_path):
    good = Photograph(torch.rand(1, 3, 6, 5))
    (tmp_path / "plain").touch()
    write(good, tmp_path / "new.png")
    assert (tmp_path / "new.png").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "new.png").chmod(0o600)
    (tmp_path / "link.png").symlink_to(tmp_path / "new.png")
    write(replace(good, pixels=torch.zeros(1, 3, 2, 2)), tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert stat.S_IMODE((tmp_path / "new.png").stat().st_mode) == 0o600
    assert read(tmp_path / "new.png").pixels.shape == (1, 3, 2, 2)
