"""What of a folder is taken for photographs, and what is passed over."""

import os

import pytest
import torch

from pellucid.images import Photograph, few_names, in_folder, passed_over, read, readable, write

PHOTOGRAPHS = [
    "IMG_1.JPG",
    "a.png",
    "bing.jfif",
    "old.jpe",
    "iphone.heic",
    "b.HEIF",
    "photo.jxl",
    "raw.CR3",
    "n.nef",
    "x.gif",
]
OTHERS = ["._IMG_1.JPG", "Thumbs.db", "desktop.ini", ".hidden.png", "no_suffix", "notes.txt", "~$a.png", "a.xmp"]
FOLDERS = ["@eaDir", ".thumbnails", "__MACOSX", "#recycle"]


@pytest.fixture
def album(tmp_path):
    for name in PHOTOGRAPHS + OTHERS:
        (tmp_path / name).touch()
    for name in [*FOLDERS, "below"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "c.jpg").touch()
    return tmp_path


def test_photographs_and_what_is_passed_over(album):
    found = in_folder(album)
    assert {path.name for path in found.photographs} == set(PHOTOGRAPHS)
    assert {path.name for path in found.passed_over} == {*OTHERS, *FOLDERS}
    deep = in_folder(album, recursive=True)
    assert {path.name for path in deep.photographs} == {*PHOTOGRAPHS, "c.jpg"}
    assert len(deep.photographs) == len(PHOTOGRAPHS) + 1
    assert {path.name for path in deep.passed_over} == {*OTHERS, *FOLDERS}
    assert passed_over([album, album / "a.png"]) == list(found.passed_over)
    assert all(readable(name) for name in PHOTOGRAPHS)
    assert not any(readable(name) for name in OTHERS)


def test_loops_of_links_end(album):
    try:
        os.symlink(album, album / "below/loop")
    except OSError:
        pytest.skip("no links here")
    assert len(in_folder(album, recursive=True).photographs) == len(PHOTOGRAPHS) + 1


def test_few_names_are_one_line(tmp_path):
    assert few_names([tmp_path / "two\nlines", tmp_path / "b"]) == "'two\\nlines', b"
    assert few_names([tmp_path / str(index) for index in range(10)]).endswith("7 and 2 more")


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPE", ".mpo", ".jps", ".jif", ".pjpeg"])
def test_other_suffixes_of_jpeg(tmp_path, suffix):
    write(Photograph(torch.rand(1, 3, 9, 8)), tmp_path / f"a{suffix}")
    assert read(tmp_path / f"a{suffix}").format == "jpeg"


def test_small_copies_in_the_libraries_of_programs_are_passed_over(tmp_path):
    inside = ["Photos.photoslibrary/originals/A/a.jpg", "@Recycle/b.jpg", "My Smart Previews.lrdata/0/c.dng"]
    inside += ["Photos.photoslibrary/resources/derivatives/a_1.jpg", "#snapshot/d.png", "resources/e.png"]
    for name in inside:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = in_folder(tmp_path, recursive=True)
    names = [path.relative_to(tmp_path).as_posix() for path in found.photographs]
    assert names == ["Photos.photoslibrary/originals/A/a.jpg", "resources/e.png"]
    assert {path.name for path in found.passed_over} >= {"@Recycle", "My Smart Previews.lrdata", "#snapshot"}
