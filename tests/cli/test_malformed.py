"""`pellucid restore` of what no picture can be read from: each is named in one line, and nothing is written."""

import json

import pytest
import torch

from pellucid.errors import ImageError
from pellucid.images import files, read
from support.malformed import bombs, whole_files, write_malformed
from support.streaming import small_bands

COUNT = 300


@pytest.mark.parametrize("json_wanted", [False, True])
def test_three_hundred_malformed_files(run, identity, tmp_path, json_wanted):
    paths = write_malformed(tmp_path / "in", COUNT)
    options = ["--json"] if json_wanted else []
    status, out, err = run("restore", tmp_path / "in", "-o", tmp_path / "out", "--model", identity, *options)
    assert status == 1
    lines = err.splitlines()
    assert len(lines) == COUNT
    assert all(sum(str(path) in line for line in lines) == 1 for path in paths)
    assert not (tmp_path / "out").exists()
    if json_wanted:
        told = json.loads(out)["photographs"]
        assert [one["status"] for one in told] == ["failed"] * COUNT
        assert all(one["error"] for one in told)
    else:
        assert f"{COUNT} failed" in out


def read_or_words(path, memory):
    try:
        return read(path, memory=memory), ""
    except ImageError as error:
        return None, str(error)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_many_more_in_memory_and_from_the_disk(tmp_path, seed, monkeypatch):
    monkeypatch.setattr(files, "LARGE", 1000 if seed % 2 else files.LARGE)
    whole = {}
    for name, data in whole_files().items():
        (tmp_path / f"a{name}").write_bytes(data)
        whole[name] = read(tmp_path / f"a{name}").pixels
    with small_bands():
        for path in write_malformed(tmp_path / "in", 600, seed):
            for memory in (None, 1):
                found, words = read_or_words(path, memory)
                assert "\n" not in words
                if found is not None:  # a bit that fills a byte up may be flipped: nothing is damaged then
                    assert torch.equal(found.pixels, whole[path.name.split("flipped")[1]])


def test_malformed_files_are_malformed_in_one_thing_alone(tmp_path):
    """The files that they are made of can be read."""
    for name, data in whole_files().items():
        (tmp_path / f"a{name}").write_bytes(data)
        assert read(tmp_path / f"a{name}").pixels.shape == (1, 3, 40, 56)


def test_bombs_go_off_neither_in_memory_nor_on_the_disk(tmp_path):
    for name, data in bombs().items():
        (tmp_path / f"a{name}").write_bytes(data)
        for memory in (None, 1):
            with pytest.raises(ImageError):
                read(tmp_path / f"a{name}", memory=memory)
