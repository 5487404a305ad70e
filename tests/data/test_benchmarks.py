"""The registry of published sets, their layouts and places, and whether a copy is right."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from pellucid.data.benchmarks import (
    benchmarks,
    data_root,
    find_benchmark,
    folder_of,
    is_benchmark,
    locate,
    pairs,
    registry,
    verify,
)
from pellucid.data.benchmarks.layouts import PairLayout, best_layout, files_below, match, translate
from pellucid.errors import DataError, SettingsError

REGISTRY = """
tiny:
  title: Tiny
  task: denoising
  split: test
  count: 3
  layouts: [{clean: "{name}"}]
  paper: nobody
  repository: owner/tiny
  commit: c0ffee
  origin: {"{name}": "sets/Tiny one/{name}"}
duo:
  title: Duo
  task: deraining
  split: test
  count: 3
  layouts: [{degraded: "rain/{name}", clean: "clean/{name}"}]
  paper: nobody
  repository: owner/duo
  commit: c0ffee
  origin: {"rain/{name}.png": "in/{name}_rain.png", "clean/{name}.png": "out/{name}.png"}
duo_part: {title: Part of Duo, split: test, count: 1, part_of: duo, stems: ["2"], notes: 1 of 3.}
hand:
  title: Hand
  task: deblurring
  split: test
  count: 2
  layouts:
    - {degraded: "test/{scene}/blur/{name}", clean: "test/{scene}/sharp/{name}"}
    - {degraded: "input/{name}", clean: "target/{name}"}
  paper: nobody
  get: the authors of Hand
"""

CONTENTS = {
    "tiny": {"a.png": b"first", "b ä.png": b"second one", "c.png": b""},
    "duo": {
        **{f"rain/{number}.png": f"rain {number}".encode() for number in (1, 2, 10)},
        **{f"clean/{number}.png": b"the same" if number < 10 else b"other" for number in (1, 2, 10)},
    },
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A registry of small sets, and the folder for them."""
    (tmp_path / "registry/files").mkdir(parents=True)
    (tmp_path / "registry/registry.yaml").write_text(REGISTRY)
    for name, contents in CONTENTS.items():
        lines = [f"{path}\t{len(data)}\t{hashlib.sha256(data).hexdigest()}\t" for path, data in contents.items()]
        (tmp_path / f"registry/files/{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry/registry.yaml")
    monkeypatch.setenv("PELLUCID_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def put(folder: Path, contents: dict[str, bytes]) -> Path:
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


# The real registry


@pytest.mark.parametrize("name", list(benchmarks()))
def test_every_record_is_whole(name):
    benchmark = benchmarks()[name]
    assert benchmark.split in ("train", "test", "all")
    assert benchmark.title
    assert benchmark.paper
    assert benchmark.licence
    assert benchmark.fetchable != bool(benchmark.get)
    assert all(other in benchmarks() and other != name for other in benchmark.overlaps)
    if not benchmark.fetchable:
        assert not benchmark.files
        return
    paths = [file.path for file in benchmark.files]
    assert len(set(paths)) == len(paths)
    assert all(not Path(path).is_absolute() and ".." not in Path(path).parts for path in paths)
    assert re.fullmatch("[0-9a-f]{40}", benchmark.commit)
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) and file.bytes > 0 for file in benchmark.files)
    assert all(file.address.startswith(f"{benchmark.repository}/{benchmark.commit}/") for file in benchmark.files)
    found = match(paths, benchmark.layouts[0])
    assert (len(found.pairs), found.alone, found.doubled) == (benchmark.count, (), ())
    assert len(paths) == benchmark.count * (2 if benchmark.paired else 1)
    if benchmark.part_of:
        assert set(benchmark.files) < set(benchmarks()[benchmark.part_of].files)


def test_the_sets_of_the_documents_are_known_with_their_published_counts():
    counts = {name: benchmark.count for name, benchmark in benchmarks().items()}
    published = {"set12": 12, "bsd68": 68, "cbsd68": 68, "kodak24": 24, "mcmaster": 18, "urban100": 100}
    published |= {"rain100h": 100, "rain100l": 100, "test100": 100, "test1200": 1200, "test2800": 2800}
    published |= {"gopro": 1111, "hide": 2025, "realblur_r": 980, "realblur_j": 980, "dpdd": 76, "sidd": 1280}
    published |= {"sots_indoor": 500, "sots_outdoor": 500, "lol_eval15": 15, "lol_our485": 485, "rain13k": 13712}
    assert {name: counts[name] for name in published} == published


def test_parts_of_sets_say_so():
    for benchmark in benchmarks().values():
        if benchmark.part_of:
            whole = benchmarks()[benchmark.part_of]
            assert f"{benchmark.count} of " in benchmark.notes
            assert str(whole.count) in benchmark.title


def test_addresses_are_those_of_the_sources(shared):
    """Independent truth: the list that the registry was made from."""
    sources = json.loads((shared / "data/sources.json").read_text())
    known = {
        (f"{source['repository']}/{source['commit']}/{file['path']}", file["sha256"], file["bytes"])
        for source in sources.values()
        for file in source["files"]
    }
    for benchmark in benchmarks().values():
        assert {(file.address, file.sha256, file.bytes) for file in benchmark.files} <= known


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


# Names and places


def test_names_forgive_case_and_hyphens_and_unknown_ones_are_helped():
    assert find_benchmark("SOTS-Indoor").name == "sots_indoor"
    assert find_benchmark("lol-v1").name == "lol_eval15"
    assert is_benchmark("Set12")
    assert not is_benchmark("photographs")
    with pytest.raises(SettingsError, match="did you mean 'rain100"):
        find_benchmark("rain100")


def test_the_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PELLUCID_DATA", str(tmp_path / "mine"))
    assert folder_of("set12") == tmp_path / "mine/set12"
    monkeypatch.delenv("PELLUCID_DATA")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_root() == tmp_path / "pellucid/data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_root() == Path.home() / ".cache/pellucid/data"


def test_locate_gives_the_folder_or_the_remedy(root):
    with pytest.raises(DataError, match=r"tiny: not in .*tiny; `pellucid data fetch tiny`"):
        locate("tiny")
    put(root / "tiny", CONTENTS["tiny"])
    assert locate("tiny") == root / "tiny"
    assert pairs("tiny") == [(None, root / "tiny" / name) for name in ("a.png", "b ä.png", "c.png")]
    (root / "tiny/a.png").write_bytes(b"fIrst")
    with pytest.raises(DataError, match=r"tiny: 2 of 3 files right, 1 wrong, .*`pellucid data fetch tiny` puts right"):
        locate("tiny")
    with pytest.raises(DataError, match=r"hand: .*no stable address.*get it from the authors of Hand, put it into"):
        locate("hand")


def test_pairs_are_in_the_order_of_their_numbers_and_a_part_has_its_own(root):
    put(root / "duo", CONTENTS["duo"])
    assert [clean.name for _, clean in pairs("duo")] == ["1.png", "2.png", "10.png"]
    assert pairs("duo_part") == [(root / "duo/rain/2.png", root / "duo/clean/2.png")]


# Verifying


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


# Layouts


@pytest.mark.parametrize(
    ("name", "files", "pairs_expected"),
    [
        ("hide", ["test/test-close-ups/a.png", "test/test-long-shot/b.png", "GT/a.png", "GT/b.png", "GT/c.png"], 2),
        ("realblur_j", ["s1/blur/blur_1.png", "s1/gt/gt_1.png", "s2/blur/blur_1.png", "s2/gt/gt_1.png"], 2),
        ("dpdd", ["test_c/source/A2.png", "test_c/target/B9.png", "test_c/source/A10.png", "test_c/target/B11.png"], 2),
        ("sots_outdoor", ["hazy/0001_0.8_0.2.jpg", "hazy/0001_0.9_0.1.jpg", "gt/0001.png"], 2),
        ("lol_v2_real", ["LOL-v2/Real_captured/Test/Low/low7.png", "LOL-v2/Real_captured/Test/Normal/normal7.png"], 1),
        ("rain100l", ["rainy/rain-001.png", "norain-001.png"], 1),
        ("rain100l", ["rain-001.png", "norain-001.png"], 1),
        ("sid", ["Sony/short/10003_00_0.04s.ARW", "Sony/short/10003_01_0.1s.ARW", "Sony/long/10003_00_10s.ARW"], 2),
    ],
)
def test_published_layouts_pair_up(name, files, pairs_expected):
    benchmark = benchmarks()[name]
    _, found = best_layout(files, benchmark.layouts, benchmark.suffixes)
    assert (len(found.pairs), found.alone, found.doubled) == (pairs_expected, (), ())


def test_pairing_by_order_sorts_numbers_as_numbers():
    found = match(["s/A10.png", "s/A2.png", "t/B11.png", "t/B3.png"], PairLayout("t/{name}", "s/{name}", by="order"))
    assert found.pairs == (("s/A2.png", "t/B3.png"), ("s/A10.png", "t/B11.png"))


def test_scenes_of_two_splits_do_not_mix():
    """A train folder beside the test folder must not lend partners to it."""
    paths = ["train/input/1.png", "train/target/1.png", "test/input/1.png"]
    found = match(paths, PairLayout("target/{name}", "input/{name}"))
    assert found.pairs == (("train/input/1.png", "train/target/1.png"),)
    assert found.alone == ("test/input/1.png",)


def test_translating_a_path_that_no_pattern_knows_is_an_error():
    assert translate("clean/a b.png", [("{name}", "x"), ("clean/{name}.png", "out/{name}_c.png")]) == "out/a b_c.png"
    with pytest.raises(ValueError, match="no pattern"):
        translate("clean/a.png", [("rain/{name}", "{name}")])
