"""Whether a copy is right: every file that is missing, wrong or extra is named."""

import pytest

from pellucid.data.benchmarks import (
    locate,
    pairs,
    verify,
)
from pellucid.data.benchmarks.layouts import files_below
from pellucid.errors import DataError
from support.benchmarks import CONTENTS, put


def test_real_copies_are_right_and_parts_say_what_is_missing(shared, monkeypatch):
    monkeypatch.setenv("PELLUCID_DATA", str(shared / "data/eval"))
    for name in ("set12", "bsd68", "kodak24", "classic5", "lol_eval15", "rain100h_30", "sots_indoor_20"):
        check = verify(name)
        assert check.right, check.summary()
        assert len(pairs(name)) == check.benchmark.count
    assert pairs("rain100h_30")[0] == tuple(shared / f"data/eval/rain100h/{side}/1.png" for side in ("rain", "clean"))
    whole = verify("rain100h")
    assert (whole.found, len(whole.missing), whole.wrong, whole.extra) == (60, 140, (), ())
    with pytest.raises(DataError, match=r"rain100h: 60 of 200 files right, 140 missing"):
        locate("rain100h")


def test_missing_wrong_and_extra_files_are_named(root):
    put(root / "tiny", {"a.png": b"first", "b ä.png": b"another on", "more.png": b"x", ".DS_Store": b"litter"})
    check = verify("tiny")
    assert not check.right
    assert (check.missing, check.wrong, check.extra) == (("c.png",), ("b ä.png",), ("more.png",))
    assert check.summary() == "tiny: 1 of 3 files right, 1 missing, 1 wrong, 1 extra"


@pytest.mark.parametrize("kind", ["folder", "shorter", "loop"])
def test_what_is_no_right_file_is_wrong_or_missing(root, kind):
    put(root / "tiny", CONTENTS["tiny"])
    path = root / "tiny/a.png"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "shorter":
        path.write_bytes(b"firs")
    else:
        path.symlink_to(path)
    check = verify("tiny")
    assert check.wrong + check.missing == ("a.png",)
    assert check.found == 2


def test_a_part_is_right_although_the_whole_is_not(root):
    put(root / "duo", {path: data for path, data in CONTENTS["duo"].items() if "2" in path})
    assert verify("duo_part").right
    assert len(verify("duo").missing) == 4


def test_folders_may_be_links(root, tmp_path):
    elsewhere = put(tmp_path / "elsewhere", CONTENTS["duo"])
    (root / "duo").mkdir(parents=True)
    for side in ("rain", "clean"):
        (root / "duo" / side).symlink_to(elsewhere / side)
    (root / "duo/clean/above").symlink_to(root / "duo")  # a loop must end
    assert verify("duo").found == 6


def test_a_set_without_hashes_is_checked_by_its_layouts(root):
    names = [f"GOPR{scene}/{side}/{number}.png" for scene in (1, 2) for side in ("blur", "sharp") for number in (1,)]
    put(root / "hand", {f"GOPRO_Large/test/{name}": b"x" for name in names} | {"GOPRO_Large/readme.txt": b""})
    check = verify("hand")
    assert check.right
    assert not check.hashed
    assert "no hashes are published" in check.summary()
    assert [clean.parent.parent.name for _, clean in pairs("hand")] == ["GOPR1", "GOPR2"]
    (root / "hand/GOPRO_Large/test/GOPR2/sharp/1.png").unlink()
    assert verify("hand").problems == (
        "the published set has 2",
        "GOPRO_Large/test/GOPR2/blur/1.png without a partner",
    )
    with pytest.raises(DataError, match=r"hand: 1 of 2 pairs there, the published set has 2"):
        locate("hand")


def test_another_layout_and_none_at_all(root):
    put(root / "hand", {f"{side}/{number}.jpg": b"x" for side in ("input", "target") for number in (1, 2)})
    assert verify("hand").right
    put(root / "hand", {"target/1.png": b"x"})
    assert verify("hand").problems == ("target/1.png is a second clean picture for the same ones",)
    for path in files_below(root / "hand"):
        (root / "hand" / path).unlink()
    put(root / "hand", {"pictures/1.png": b"x"})
    assert "none of its 1 files lies as" in verify("hand").summary()
