"""The exact interval and test of a share, against published values, closed forms and scipy."""

import pytest

from pellucid.studies.preference.binomial import clopper_pearson, sign_test


def test_the_interval_of_conover_1971():
    # 682 of 925 plants, Conover (1971), p. 97, as R's documentation of binom.test works it out.
    assert clopper_pearson(682, 925) == pytest.approx((0.7076683, 0.7654066), abs=5e-8)


def test_the_test_of_the_lady_tasting_tea():
    # Eight cups, all named rightly by guessing one of two: twice (1/2)^8.
    assert sign_test(8, 8) == pytest.approx(2 / 256, rel=1e-12)
    assert sign_test(0, 8) == pytest.approx(2 / 256, rel=1e-12)
    assert sign_test(4, 8) == 1


@pytest.mark.parametrize("trials", [1, 7, 400])
def test_closed_forms_where_all_agree(trials):
    low, high = clopper_pearson(0, trials)
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / trials), rel=1e-12)
    assert clopper_pearson(trials, trials) == pytest.approx((0.025 ** (1 / trials), 1), rel=1e-12)


def test_against_scipy():
    binomtest = pytest.importorskip("scipy.stats").binomtest
    for trials in (1, 2, 5, 24, 40, 1920, 20_000):
        for successes in {0, 1, trials // 3, trials // 2, trials // 2 + 1, trials}:
            truth = binomtest(successes, trials)
            assert sign_test(successes, trials) == pytest.approx(truth.pvalue, rel=1e-8)
            for level in (0.5, 0.95, 0.999):
                interval = truth.proportion_ci(level, "exact")
                ours = clopper_pearson(successes, trials, level=level)
                assert ours == pytest.approx((interval.low, interval.high), rel=1e-8, abs=1e-12)


def test_interval_and_test_never_contradict_each_other():
    for trials in range(1, 40):
        for successes in range(trials + 1):
            low, high = clopper_pearson(successes, trials)
            assert (low > 0.5 or high < 0.5) == (sign_test(successes, trials) < 0.05)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 4), (5, 4)])
def test_impossible_counts_are_refused(successes, trials):
    for function in (clopper_pearson, sign_test):
        with pytest.raises(ValueError, match="of"):
            function(successes, trials)


@pytest.mark.parametrize("level", [0, 0.4, 1, 95])
def test_impossible_levels_are_refused(level):
    with pytest.raises(ValueError, match="level"):
        clopper_pearson(1, 2, level=level)
