"""Calibration against brute force, scipy and what it promises on synthetic data."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from pellucid.degradations import KINDS
from pellucid.diagnosis import Heads, conformal_margin, expected_error, fit_temperature, reliability
from pellucid.diagnosis.heads import QUANTILES, pinball


def entropy(temperature, logits, truth):
    probabilities = 1 / (1 + np.exp(-logits / temperature))
    return -np.mean(truth * np.log(probabilities) + (1 - truth) * np.log(1 - probabilities))


def test_the_temperature_is_scipys():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, 400)
    truth = (generator.random(400) < 1 / (1 + np.exp(-logits / 2.5))).astype(float)
    found = fit_temperature(torch.from_numpy(logits), torch.from_numpy(truth))
    best = minimize_scalar(entropy, bounds=(0.05, 20), args=(logits, truth), method="bounded", options={"xatol": 1e-6})
    assert found == pytest.approx(best.x, rel=1e-4)
    assert 1.5 < found < 4


def test_overconfidence_is_undone():
    generator = torch.Generator().manual_seed(0)
    honest = torch.randn(20000, generator=generator)
    truth = torch.rand(20000, generator=generator) < honest.sigmoid()
    assert fit_temperature(4 * honest, truth) == pytest.approx(4, rel=0.06)
    assert expected_error(honest.sigmoid(), truth) < 0.01
    assert expected_error((4 * honest).sigmoid(), truth) > 0.1


@pytest.mark.parametrize("truth", [torch.zeros(5), torch.ones(5), torch.zeros(0)])
def test_one_sided_examples_set_no_temperature(truth):
    assert fit_temperature(torch.randn(len(truth)), truth) == 1


def test_the_margin_is_the_smallest_that_covers_enough():
    low, high, truth = torch.rand(9) * 40, 60 + torch.rand(9) * 40, torch.rand(9) * 100
    margin = conformal_margin(low, high, truth, 0.8)
    margins = sorted(max(a - c, c - b) for a, b, c in zip(low.tolist(), high.tolist(), truth.tolist(), strict=True))
    assert margin == pytest.approx(margins[7])  # the eighth of nine: ceil(10 x 0.8)
    assert conformal_margin(low[:3], high[:3], truth[:3], 0.8) == math.inf
    assert conformal_margin(low[:0], high[:0], truth[:0], 0.8) == math.inf
    assert conformal_margin(low[:4], high[:4], truth[:4], 0.8) == pytest.approx(
        max(max(a - c, c - b) for a, b, c in zip(low[:4].tolist(), high[:4].tolist(), truth[:4].tolist(), strict=True))
    )


def test_intervals_cover_what_they_say_however_wrong_they_were():
    generator = torch.Generator().manual_seed(0)
    for half in (0.2, 3.0):  # far too narrow, far too wide
        covered = []
        for _ in range(200):
            middle = torch.randn(61, generator=generator)
            truth = middle + torch.randn(61, generator=generator)
            margin = conformal_margin(middle[:60] - half, middle[:60] + half, truth[:60], 0.8)
            covered.append(abs(float(truth[60] - middle[60])) <= half + margin)
        # 0.8 to 0.8 + 1 / 61 by the theorem, here within three deviations of a binomial of 200.
        assert 0.715 < sum(covered) / 200 < 0.9


def test_reliability_against_counting_by_hand():
    probabilities = torch.tensor([0.0, 0.05, 0.1, 0.11, 0.95, 1.0])
    present = torch.tensor([0, 1, 0, 0, 1, 1])
    table = reliability(probabilities, present)
    assert [row.count for row in table] == [3, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert table[0].predicted == pytest.approx(0.05)
    assert table[0].observed == pytest.approx(1 / 3)
    assert (table[5].predicted, table[5].observed) == (0, 0)
    expected = (3 * abs(0.05 - 1 / 3) + 1 * 0.11 + 2 * abs(0.975 - 1)) / 6
    assert expected_error(probabilities, present) == pytest.approx(expected)


def test_the_pinball_loss_is_least_at_the_quantiles():
    truth = torch.arange(1001.0)
    best = []
    for place in range(len(QUANTILES)):
        costs = {}
        for guess in range(0, 1001, 10):
            errors = truth - guess
            level = QUANTILES[place]
            costs[guess] = float(torch.maximum(level * errors, (level - 1) * errors).mean())
        best.append(min(costs, key=costs.get))
    assert best == [100, 500, 900]
    rows = torch.tensor([[10.0, 20.0, 30.0]])
    expected = (0.1 * 15 + 0.5 * 5 + 0.1 * 5) / 3  # of 25: above by 15, above by 5, below by 5
    assert float(pinball(rows, torch.tensor([25.0]))[0]) == pytest.approx(expected)


def test_heads_calibrate_every_kind_by_itself():
    torch.manual_seed(0)
    heads = Heads(6, 8).eval()
    features = torch.randn(300, 6) * 4
    logits, quantiles = heads(features)
    assert (quantiles.diff(dim=2) >= 0).all()
    assert quantiles.min() >= 0
    assert quantiles.max() <= 100
    present = torch.rand(300, len(KINDS)) < (logits / 3).sigmoid()
    present[:, 2] = False
    severity = (quantiles[:, :, 1] + 30 * torch.randn(300, len(KINDS))).clamp(0, 100).detach()
    heads.calibrate(features, present, severity)
    assert float(heads.temperature[0]) == pytest.approx(fit_temperature(logits[:, 0], present[:, 0]), rel=1e-6)
    assert float(heads.temperature[2]) == 1
    assert float(heads.margin[2]) == 100  # nothing is known: the interval is everything
    probabilities, intervals = heads.predict(features)
    torch.testing.assert_close(probabilities[:, 4], (logits[:, 4] / heads.temperature[4]).sigmoid())
    for kind in (0, 1, 3, 8):
        there = present[:, kind]
        low, _, high = intervals[there, kind].unbind(1)
        held = ((low <= severity[there, kind]) & (severity[there, kind] <= high)).float().mean()
        assert 0.8 <= held < 0.87
    assert (intervals.diff(dim=2) >= 0).all()


def test_a_negative_margin_never_turns_an_interval_over():
    heads = Heads(4, 4).eval()
    heads.margin.fill_(-1000.0)
    _, severities = heads.predict(torch.randn(5, 4))
    assert (severities.diff(dim=2) == 0).all()
