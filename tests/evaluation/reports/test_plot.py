"""Where dots lie: in the order of their scores, on one scale for all models."""

import numpy as np
import pytest

from pellucid.evaluation.reports.plot import strip_plot
from support.documents import FIRST, row, summary


def rows_of(scores):
    return [
        row(model, FIRST, str(index), value) for model, values in scores.items() for index, value in enumerate(values)
    ]


def test_dots_means_intervals_and_ticks_share_one_scale():
    scores = {"a": [20.0, 24.0, 31.0], "b": [22.0, 30.0]}
    means = [summary("a", FIRST, 25.0, 0.9, psnr_interval=[21.0, 30.0]), summary("b", FIRST, 26.0, 0.9)]
    plot = strip_plot(rows_of(scores), means)
    values = [20, 24, 31, 22, 30, 25, 26, 21, 30, *(float(text) for _, text in plot.ticks)]
    places = [dot.x for strip in plot.strips for dot in strip.dots]
    places += [strip.mean for strip in plot.strips] + [*plot.strips[0].interval, *(x for x, _ in plot.ticks)]
    slope, start = np.polyfit(values, places, 1)
    assert slope > 0
    np.testing.assert_allclose(places, slope * np.array(values) + start, atol=2e-3)
    assert 0 < min(places) < 10 < 90 < max(places) < 100
    assert plot.strips[1].interval is None
    assert [strip.model for strip in plot.strips] == ["a", "b"]
    assert {dot.photograph for dot in plot.strips[0].dots} == {"0", "1", "2"}


@pytest.mark.parametrize("ends", [(20, 40), (20, 20.001), (30, 30), (0.013, 95), (-3, 2), (24.9, 25.1), (31.02, 31.9)])
def test_ticks_are_round_few_and_inside(ends):
    plot = strip_plot(rows_of({"a": ends}), [])
    values = [float(text) for _, text in plot.ticks]
    assert len(values) <= 7
    assert all(0 < x < 100 for x, _ in plot.ticks)
    assert all(len(text.lstrip("-").replace(".", "")) <= 4 for _, text in plot.ticks)
    assert len(values) >= 2 or ends[1] - ends[0] < 0.01


def test_infinite_scores_have_no_place_but_are_counted():
    plot = strip_plot(rows_of({"a": [20.0, None, 30.0], "b": [None]}), [summary("b", FIRST, None, 1.0)])
    assert [strip.infinite for strip in plot.strips] == [1, 1]
    assert [len(strip.dots) for strip in plot.strips] == [2, 0]
    assert plot.strips[1].mean is None
    assert strip_plot(rows_of({"b": [None]}), []) is None
    assert strip_plot([], []) is None


def test_dots_of_equal_scores_do_not_hide_one_another():
    dots = strip_plot(rows_of({"a": [20.0] * 8}), []).strips[0].dots
    heights = sorted(dot.y for dot in dots)
    assert min(np.diff(heights)) > 3
    assert 0 < heights[0] < heights[-1] < 100
