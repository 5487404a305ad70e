"""Which file is the partner of which."""

import pytest

from pellucid.data.benchmarks import (
    benchmarks,
)
from pellucid.data.benchmarks.layouts import PairLayout, best_layout, match, translate


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
