"""The registry of published sets: every record is whole, with the published counts and addresses."""

import json
import re
from pathlib import Path

import pytest

from pellucid.data.benchmarks import (
    benchmarks,
    find_benchmark,
    is_benchmark,
)
from pellucid.data.benchmarks.layouts import match
from pellucid.errors import SettingsError


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


def test_names_forgive_case_and_hyphens_and_unknown_ones_are_helped():
    assert find_benchmark("SOTS-Indoor").name == "sots_indoor"
    assert find_benchmark("lol-v1").name == "lol_eval15"
    assert is_benchmark("Set12")
    assert not is_benchmark("photographs")
    with pytest.raises(SettingsError, match="did you mean 'rain100"):
        find_benchmark("rain100")
