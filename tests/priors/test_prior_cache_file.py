"""Vectors on disk: whatever happens to the file, and whoever else writes to it."""

import sqlite3
import subprocess
import sys

import pytest
import torch

from pellucid.errors import SettingsError
from pellucid.models.priors import find_prior
from pellucid.priors import Cached, RandomVectors


@pytest.fixture
def prior():
    return RandomVectors(7)


def file_of(folder):
    return folder / "vectors.sqlite"


@pytest.mark.parametrize("damage", ["garbage", "empty", "cut", "middle"])
def test_a_damaged_file_is_begun_anew(prior, tmp_path, damage):
    views = torch.rand(300, 3, 8, 8)
    cached = Cached(prior, tmp_path)
    expected = cached.encode(views)
    file = file_of(tmp_path)
    content = bytearray(file.read_bytes())
    assert len(content) > 16000
    middle = content.copy()
    middle[4096:12000] = bytes(255 for _ in range(12000 - 4096))
    file.write_bytes({"garbage": b"no database" * 999, "empty": b"", "cut": content[:5000], "middle": middle}[damage])
    for one in (cached, Cached(prior, tmp_path)):
        torch.testing.assert_close(one.encode(views), expected)
    again = Cached(prior, tmp_path)
    assert torch.equal(again.encode(views), expected)
    assert again.computed == 0


def test_a_damaged_vector_is_computed_again(prior, tmp_path):
    views = torch.rand(4, 3, 8, 8)
    cached = Cached(prior, tmp_path)
    expected = cached.encode(views)
    with sqlite3.connect(file_of(tmp_path)) as base:
        rows = base.execute("SELECT key, vector FROM vectors").fetchall()
        bad = bytearray(rows[0][1])
        bad[5] ^= 4
        base.execute("UPDATE vectors SET vector = ? WHERE key = ?", (bytes(bad), rows[0][0]))
        base.execute("UPDATE vectors SET vector = ? WHERE key = ?", (rows[1][1][:-4], rows[1][0]))
        base.execute("UPDATE vectors SET vector = NULL WHERE key = ?", (rows[2][0],))
    base.close()
    again = Cached(prior, tmp_path)
    torch.testing.assert_close(again.encode(views), expected)
    assert (again.computed, again.found) == (3, 1)
    torch.testing.assert_close(again.encode(views), expected)
    assert again.computed == 3  # mended


def test_a_vector_under_anothers_key_is_not_taken(prior, tmp_path):
    views = torch.rand(2, 3, 8, 8)
    cached = Cached(prior, tmp_path)
    expected = cached.encode(views)
    with sqlite3.connect(file_of(tmp_path)) as base:
        (one, first, sum_one), (two, second, sum_two) = base.execute("SELECT * FROM vectors").fetchall()
        base.execute("UPDATE vectors SET vector = ?, checksum = ? WHERE key = ?", (second, sum_two, one))
        base.execute("UPDATE vectors SET vector = ?, checksum = ? WHERE key = ?", (first, sum_one, two))
    base.close()
    assert torch.equal(cached.encode(views), expected)
    assert cached.computed == 4


def test_a_folder_that_cannot_be_used_is_named(prior, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file: cannot keep vectors here \(.*"):
        Cached(prior, tmp_path / "file")
    file_of(tmp_path).mkdir()
    with pytest.raises(SettingsError, match=r"cannot keep vectors here \(unable to open database file\)"):
        Cached(prior, tmp_path)


def test_without_a_place_to_write_it_warns_and_computes(prior, tmp_path, monkeypatch):
    cached = Cached(prior, tmp_path)
    monkeypatch.setattr("pellucid.priors.cache.PATIENCE", 0.01)
    view = torch.rand(2, 3, 8, 8)
    other = sqlite3.connect(file_of(tmp_path))
    other.execute("BEGIN EXCLUSIVE")
    with pytest.warns(UserWarning, match="could not be kept .*locked"):
        vectors = cached.encode(view)
    assert torch.equal(vectors, prior.encode(view))
    other.rollback()
    other.close()
    cached.encode(view)
    assert torch.equal(cached.encode(view), vectors)
    assert cached.computed == 4


WORKER = """
import sys, torch
from pellucid.priors import Cached
from pellucid.models.priors import find_prior
torch.set_num_threads(1)
images = torch.rand(60, 3, 8, 8, generator=torch.Generator().manual_seed(0))
cached = Cached(find_prior("joined(snr, random:50)"), sys.argv[1])
start = int(sys.argv[2])
for index in range(start, start + 40):
    cached(images[index, None])
print(cached.computed + cached.found, float(cached(images[start : start + 40]).sum()))
"""


def test_two_processes_write_at_once(tmp_path):
    running = [
        subprocess.Popen([sys.executable, "-c", WORKER, tmp_path, str(start)], stdout=subprocess.PIPE, text=True)
        for start in (0, 20)
    ]
    printed = [process.communicate(timeout=100)[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    prior = find_prior("joined(snr, random:50)")
    images = torch.rand(60, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.cat([prior(image[None]) for image in images])
    for start, (count, total) in zip((0, 20), printed, strict=True):
        assert int(count) == 40
        assert float(total) == pytest.approx(float(expected[start : start + 40].sum()), rel=1e-5)
    cached = Cached(prior, tmp_path)
    assert torch.equal(cached(images), expected)
    assert cached.computed == 0  # the identity is the same in every process
    with sqlite3.connect(file_of(tmp_path)) as base:
        assert base.execute("SELECT count(*) FROM vectors").fetchone() == (60,)
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    base.close()
