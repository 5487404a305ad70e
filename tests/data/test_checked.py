"""Damaged photographs are named before anything is trained on them, all at once, and what is sound is read once."""

import os

import pytest
import torch

from pellucid import images
from pellucid.data import checked
from pellucid.data.checked import check_photographs
from pellucid.errors import DataError
from pellucid.training.data import DataSettings, split_sources


@pytest.fixture
def reads(tmp_path, monkeypatch):
    """The photographs that are read, with a cache of their own."""
    found = []
    monkeypatch.setattr(checked, "cache_folder", lambda: tmp_path / "cache")
    read = images.read
    monkeypatch.setattr(checked.images, "read", lambda path: found.append(path.name) or read(path))
    return found


def folder(place, count=12):
    place.mkdir()
    for number in range(count):
        pixels = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(number))
        images.write(images.Photograph(pixels), place / f"{number:02}.png")
    return place


def test_all_that_are_damaged_are_named_before_the_first_step(tmp_path, reads):
    place = folder(tmp_path / "photographs")
    (place / "03.png").write_bytes((place / "03.png").read_bytes()[:100])
    (place / "07.png").write_bytes(b"<html>404</html>")
    data = DataSettings(folder=str(place), degradations=["noise sigma=25"], validation=2)
    with pytest.raises(DataError) as raised:
        split_sources(data)
    text = str(raised.value)
    assert text.startswith("2 photographs cannot be read")
    assert "03.png" in text
    assert "07.png" in text
    assert "\n" not in text
    assert sorted(reads) == [f"{number:02}.png" for number in range(12)]


def test_what_is_sound_is_read_once_until_it_changes(tmp_path, reads):
    paths = sorted(folder(tmp_path / "photographs").iterdir())
    check_photographs([*paths, paths[0]])
    assert len(reads) == 12
    check_photographs(paths)
    assert len(reads) == 12
    os.utime(paths[4], ns=(1, 1))
    check_photographs(paths)
    assert reads[12:] == ["04.png"]
    paths[5].write_bytes(b"")
    for _ in range(2):  # what is damaged is never taken for sound
        with pytest.raises(DataError, match=r"1 photograph cannot be read, .*05.png: the file is empty"):
            check_photographs(paths)


def test_a_cache_that_cannot_be_written_is_no_hindrance(tmp_path, reads, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(checked, "cache_folder", lambda: tmp_path / "file/below")
    check_photographs(folder(tmp_path / "photographs", 2).iterdir())
    with pytest.raises(DataError, match=r"none\.png: cannot be read"):
        check_photographs([tmp_path / "none.png"])
