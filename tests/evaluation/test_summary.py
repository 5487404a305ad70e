"""Means, intervals and gains, against numbers worked out by hand."""

import math

import pytest

from pellucid.evaluation.candidates import DEGRADED
from pellucid.evaluation.rows import Row
from pellucid.evaluation.summary import summarise


def rows_of(scores, **others):
    return [
        Row(model, "set", "c", "pairs-rgb", str(index), value, 0.5, **others)
        for model, values in scores.items()
        for index, value in enumerate(values)
    ]


def test_gains_are_paired_and_against_the_first_model():
    summaries = summarise(rows_of({DEGRADED: [1, 2, 3], "a": [20, 30, 40], "b": [21, 31, 41]}))
    by_model = {summary.model: summary for summary in summaries}
    assert by_model["a"].gain is None
    assert by_model[DEGRADED].gain is None
    assert by_model["b"].gain == pytest.approx(1)
    # The differences are all one, so the paired interval has no width, however far the photographs lie apart.
    assert by_model["b"].gain_interval == pytest.approx((1, 1))
    assert by_model["b"].gain_p == pytest.approx(2 / 8)  # of eight choices of signs, two are as far from 0
    low, high = by_model["b"].psnr_interval
    assert low < 31 < high


def test_another_baseline_can_be_chosen():
    summaries = summarise(rows_of({"a": [20, 30], "b": [21, 32]}), baseline="b")
    assert [summary.gain for summary in summaries] == [pytest.approx(-1.5), None]


def test_one_photograph_and_infinite_scores_have_no_interval():
    assert summarise(rows_of({"a": [20.0]}))[0].psnr_interval is None
    infinite = summarise(rows_of({"a": [20.0, math.inf]}))[0]
    assert infinite.psnr_interval is None
    assert infinite.psnr == math.inf


def test_columns_are_not_mixed():
    rows = rows_of({"a": [20.0, 22.0]})
    rows += [Row("a", "set", "c", "derain-y", "0", 30.0, 0.9), Row("a", "other", "c", "pairs-rgb", "0", 40.0, 0.9)]
    assert [summary.psnr for summary in summarise(rows)] == [21.0, 30.0, 40.0]


def test_time_is_averaged_and_the_largest_memory_counts():
    rows = [
        Row("a", "set", "c", "pairs-rgb", "0", 20.0, 0.5, seconds=1.0, memory=100, extra={"ms-ssim": 0.5}),
        Row("a", "set", "c", "pairs-rgb", "1", 20.0, 0.5, seconds=3.0, memory=70, extra={"ms-ssim": 0.7}),
    ]
    (summary,) = summarise(rows)
    assert (summary.seconds, summary.memory) == (2.0, 100)
    assert summary.extra == {"ms-ssim": pytest.approx(0.6)}
