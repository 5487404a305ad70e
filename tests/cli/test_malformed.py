"""`pellucid restore` of what no picture can be read from: each is named in one line, and nothing is written."""

import json

import pytest

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


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_many_more_in_memory_and_from_the_disk(tmp_path, seed, monkeypatch):
    monkeypatch.setattr(files, "LARGE", 1000 if seed % 2 else files.LARGE)
    with small_bands():
        for path in write_malformed(tmp_path / "in", 600, seed):
            for memory in (None, 1):
                with pytest.raises(ImageError) as caught:
                    read(path, memory=memory)
                assert "\n" not in str(caught.value)


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
