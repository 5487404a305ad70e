"""Bootstrap intervals against SciPy, a loop, and the theory of large samples."""

import numpy as np
import pytest
import scipy.stats

from pellucid.metrics import Difference, bootstrap_interval, paired_difference, sign_flip_p, statistics


def test_agrees_with_scipy():
    values = np.random.default_rng(5).gamma(2.0, 1.0, 40)
    low, high = bootstrap_interval(values, level=0.9)
    truth = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, confidence_level=0.9, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    width = truth.high - truth.low
    assert low == pytest.approx(truth.low, abs=0.04 * width)
    assert high == pytest.approx(truth.high, abs=0.04 * width)


def test_agrees_with_a_loop():
    values = [1.0, 2.0, 4.0, 8.0]
    generator = np.random.default_rng(7)
    draws = generator.integers(0, 4, (500, 4))
    means = sorted(sum(values[i] for i in draw) / 4 for draw in draws)
    assert bootstrap_interval(values, resamples=500, seed=7) == pytest.approx(np.quantile(means, [0.025, 0.975]))


def test_agrees_with_the_normal_theory_of_a_large_sample():
    values = np.random.default_rng(0).normal(30, 2, 2000)
    error = values.std(ddof=1) / np.sqrt(len(values))
    expected = values.mean() + 1.96 * error * np.array([-1, 1])
    assert bootstrap_interval(values) == pytest.approx(expected, abs=0.1 * error)


def test_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(3)
    samples = generator.normal(0, 1, (300, 30))
    hits = sum(low <= 0 <= high for low, high in (bootstrap_interval(s, resamples=400, level=0.8) for s in samples))
    assert 0.70 < hits / 300 < 0.87


def test_the_same_seed_gives_the_same_interval(monkeypatch):
    values = np.random.default_rng(2).normal(size=50)
    first = bootstrap_interval(values, seed=4)
    assert first == bootstrap_interval(list(values), seed=4)
    assert first != bootstrap_interval(values, seed=5)
    # Smaller pieces draw the same numbers.
    monkeypatch.setattr(statistics, "_CHUNK", 50 * 77)
    assert first == bootstrap_interval(values, seed=4)


def test_seeds_are_resampled_beside_pictures(monkeypatch):
    """Against a loop over both; and wider than pictures alone where seeds differ."""
    values = np.random.default_rng(6).normal(size=(3, 20)) + np.array([[-1.0], [0.0], [2.0]])
    generator, means = np.random.default_rng(8), []
    for _ in range(20_000):
        runs, pictures = generator.integers(0, 3, 3), generator.integers(0, 20, 20)
        means.append(np.mean([values[run, picture] for run in runs for picture in pictures]))
    expected = np.quantile(means, [0.025, 0.975])
    found = bootstrap_interval(values)
    assert found == pytest.approx(expected, abs=0.05 * (expected[1] - expected[0]))
    alone = bootstrap_interval(values.mean(0))
    assert found[1] - found[0] > 2 * (alone[1] - alone[0])
    monkeypatch.setattr(statistics, "_CHUNK", 60 * 77)
    assert found == bootstrap_interval(values)
    # One seed is no more than its pictures, and seeds that agree add nothing to them.
    assert bootstrap_interval(values[:1]) == bootstrap_interval(values[0])
    assert bootstrap_interval(np.repeat(values[:1], 3, 0)) == pytest.approx(bootstrap_interval(values[0]))
    difference = paired_difference(values, np.zeros((3, 20)))
    assert (difference.low, difference.high, difference.n) == (*found, 20)
    assert sign_flip_p(values, np.zeros((3, 20))) == sign_flip_p(values.mean(0), np.zeros(20))


def test_pairs_cancel_what_is_hard_for_both():
    generator = np.random.default_rng(0)
    hard = generator.normal(30, 5, 60)
    a, b = hard + 0.2 + generator.normal(0, 0.1, 60), hard
    difference = paired_difference(a, b)
    assert difference.n == 60
    assert difference.mean == pytest.approx(np.mean(a - b))
    assert (difference.low, difference.high) == bootstrap_interval(a - b)
    assert difference.low > 0.15
    assert difference.significant
    assert not paired_difference(b, b).significant
    swapped = paired_difference(b, a)
    assert (swapped.low, swapped.high) == pytest.approx((-difference.high, -difference.low), abs=0.01)
    assert swapped.significant


def test_a_difference_prints_itself():
    assert str(Difference(mean=0.21, low=0.1, high=0.3456, n=24)) == "+0.210 [+0.100, +0.346] over 24"


def test_one_value_has_no_interval():
    assert np.isnan(bootstrap_interval([3.0])).all()
    assert not paired_difference([3.0], [1.0]).significant


def test_wrong_calls():
    for values, words in (([], "non-empty"), ([[[1.0, 2.0]]], "one per picture"), ([1.0, float("inf")], "not finite")):
        with pytest.raises(ValueError, match=words):
            bootstrap_interval(values)
    with pytest.raises(ValueError, match="as many"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval([1.0, 2.0], level=95)
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_interval([1.0, 2.0], resamples=0)


@pytest.mark.parametrize("pairs", [5, 13, 40])
def test_the_permutation_test_agrees_with_scipy(pairs):
    generator = np.random.default_rng(pairs)
    a, b = generator.normal(0.3, 1, pairs), generator.normal(0, 1, pairs)
    truth = scipy.stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
    ).pvalue
    assert sign_flip_p(a, b) == pytest.approx(truth, abs=1e-12 if pairs <= 13 else 0.02)


def test_the_permutation_test_of_no_difference_is_one():
    assert sign_flip_p([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == 1
    with pytest.raises(ValueError, match="as many"):
        sign_flip_p([1.0], [1.0, 2.0])
