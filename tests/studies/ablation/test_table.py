"""What the table of an ablation says: gains by photograph and seed, and what is shown."""

import csv
import math
from io import StringIO
from statistics import fmean

import pytest

from pellucid.evaluation.rows import Row
from pellucid.studies.ablation.arms import BASE, NETWORK, Arm
from pellucid.studies.ablation.table import HEADINGS, as_csv, cells, results_of, verdict


def rows_of(scores):
    """Scores {(arm, seed): PSNR by photograph} as rows, and their runs."""

    class FakeRun:
        def __init__(self, arm, seed):
            self.arm, self.seed = Arm(arm, {}, "h", prior=arm.startswith("mobilenet")), seed

    runs = {f"{arm} {seed}": FakeRun(arm, seed) for arm, seed in scores}
    rows = [
        Row(f"{arm} {seed}", "set", "pairs", "pairs-rgb", str(index), value, 0.5)
        for (arm, seed), values in scores.items()
        for index, value in enumerate(values)
    ]
    return rows, runs, dict.fromkeys(runs, 7)


def test_gains_are_paired_by_photograph_and_seed():
    scores = {
        (BASE, 0): [21.0, 31.0, 41.0],
        (BASE, 1): [23.0, 33.0, 43.0],
        (NETWORK, 0): [20.0, 30.0, 40.0],
        (NETWORK, 1): [20.0, 30.0, 40.0],
        ("no prior", 0): [22.5, 31.5, 42.5],
        ("no prior", 1): [22.5, 31.5, 42.5],
    }
    base, network, control = results_of(*rows_of(scores))
    assert base.psnr == pytest.approx(fmean([21, 31, 41, 23, 33, 43]))
    assert base.psnr_deviation == pytest.approx(2**0.5)  # of the seeds' means, 31 and 33
    assert base.over_network.mean == pytest.approx(2)
    assert (base.over_network.low, base.over_network.high) == pytest.approx((1, 3))  # one seed gained 1 dB, the other 3
    assert base.over_network.by_seed == pytest.approx((1, 3))
    assert base.over_controls[0].mean == pytest.approx((-0.5 + 0.5 - 0.5) / 3)
    assert not base.over_controls[0].shown
    assert network.over_network is None
    assert control.over_controls == ()
    assert "not shown to help" in verdict([base])[0]
    assert base.over_network.shown == 0  # 2 dB on each of three photographs may still be chance


@pytest.mark.parametrize(("gain", "photographs", "helps"), [(2, 6, True), (2, 5, False), (0.004, 40, False)])
def test_the_prior_helps_where_the_gain_is_sure_and_seen(gain, photographs, helps):
    control = [20.0 + index for index in range(photographs)]
    scores = {(BASE, 0): [value + gain for value in control], ("no prior", 0): control}
    said = verdict(results_of(*rows_of(scores)))[0]
    assert ("the prior helps" in said) == helps
    assert ("not shown to help: not clearly better than no prior" in said) != helps


def test_what_one_seed_gains_and_another_loses_is_not_shown():
    """However alike the photographs are in it."""
    control = [20.0 + index for index in range(40)]
    scores = {("no prior", seed): control for seed in (0, 1)}
    scores |= {(BASE, 0): [value + 0.03 for value in control], (BASE, 1): [value - 0.01 for value in control]}
    compared = results_of(*rows_of(scores))[-1].over_controls[0]
    assert compared.mean == pytest.approx(0.01)
    assert compared.p < 0.05
    assert (compared.low, compared.high) == pytest.approx((-0.01, 0.03))
    assert compared.shown == 0


def test_photographs_that_come_out_exactly_have_no_difference():
    scores = {(BASE, 0): [21.0, math.inf, 24.0], ("no prior", 0): [20.0, 30.0, math.inf], (NETWORK, 0): [math.inf] * 3}
    base = results_of(*rows_of(scores))[0]
    assert base.over_controls[0].mean == 1
    assert base.over_network is None


def test_the_table_of_values_has_every_comparison():
    control = [20.0 + index for index in range(8)]
    scores = {(BASE, 0): [value + 1 for value in control], ("no prior", 0): control, (NETWORK, 0): control}
    lines = list(csv.DictReader(StringIO(as_csv(results_of(*rows_of(scores))))))
    assert [line["arm"] for line in lines] == [BASE, "no prior", NETWORK]
    for name in ("over_network", "over_no_prior"):
        assert float(lines[0][name]) == float(lines[0][f"{name}_low"]) == float(lines[0][f"{name}_high"]) == 1
        assert float(lines[0][f"{name}_p"]) == 2 / 2**8
        assert lines[0][f"{name}_shown"] == "1"
    assert lines[0]["over_random_prior"] == lines[2]["over_network"] == ""


def test_another_prior_is_compared_with_the_controls_that_are_its_own_too():
    control = [20.0 + index for index in range(8)]
    scores = {
        (BASE, 0): control,
        ("no prior", 0): [value - 2 for value in control],
        ("shuffled prior", 0): control,  # the vectors of the recipe's own prior
        ("equal parameters", 0): [value + 3 for value in control],
        ("mobilenet_v2", 0): [value + 1 for value in control],
        ("width=32", 0): control,
    }
    found = {result.arm: result for result in results_of(*rows_of(scores))}
    assert {one.other: one.mean for one in found["mobilenet_v2"].over_controls} == {
        "no prior": 3,
        "equal parameters": -2,
    }
    assert found["width=32"].over_controls == ()
    place = HEADINGS.index("over no prior, dB")
    ((_, lines),) = cells(list(found.values()))
    told = {line[0]: line[place] for line in lines}
    assert told["mobilenet_v2"] == "+3.000 [+3.000, +3.000]*"
    assert told[BASE].startswith("+2.000")
    assert told["no prior"] == told["width=32"] == ""
