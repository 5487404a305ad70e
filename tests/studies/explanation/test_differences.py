"""Differences by column, by thirds of the inputs and by band, against numbers worked out by hand."""

import math

import pytest

from pellucid.evaluation.candidates import DEGRADED
from pellucid.studies.explanation.bands import BANDS
from pellucid.studies.explanation.differences import columns_of
from pellucid.studies.explanation.feeding import BOOSTED, NETWORK, ZEROS
from support.explained import FLAT, result


def test_differences_are_paired_by_photograph():
    # The gains are 1 and 3, whatever the photographs are worth.
    [column] = columns_of([result(0, network=20, boosted=21), result(1, network=40, boosted=43)])
    gain = column.comparison(BOOSTED, NETWORK)
    assert (gain.mean, gain.low, gain.high) == pytest.approx((2, 1, 3))
    assert gain.p == 0.5  # of four choices of signs, two are as far from 0
    assert gain.photographs == 2
    assert column.psnr[NETWORK] == 30


def test_columns_are_kept_apart():
    found = columns_of([result(index, condition=condition) for condition in ("b", "a") for index in range(3)])
    assert [(column.condition, column.photographs) for column in found] == [("b", 3), ("a", 3)]


def test_other_models_and_the_student():
    rows = [result(index, theirs=30.0 + index, small=30.9) for index in range(4)]
    [column] = columns_of(rows, ["theirs"], "small")
    assert column.comparison(BOOSTED, "theirs").mean == pytest.approx(1 - 1.5)
    assert column.comparison("small", BOOSTED).mean == pytest.approx(-0.1)


def test_shown_is_what_is_sure_and_large_enough():
    def shown(gains):
        rows = [result(index, network=30.0, boosted=30.0 + gain) for index, gain in enumerate(gains)]
        return columns_of(rows)[0].comparison(BOOSTED, NETWORK).shown

    assert shown([0.1] * 6) == 1
    assert shown([-0.1] * 6) == -1
    assert shown([0.1] * 5) == 0  # p = 1 / 16
    assert shown([0.004] * 20) == 0  # 0.00 in every table
    assert shown([0.3, -0.3] * 5) == 0
    assert shown([0.0] * 6) == 0


def test_what_has_no_error_is_left_out():
    rows = [result(0), result(1), result(2, boosted=math.inf), result(3, network=math.inf, boosted=math.inf)]
    [column] = columns_of(rows)
    assert column.comparison(BOOSTED, NETWORK).photographs == 2
    assert column.comparison(BOOSTED, ZEROS).photographs == 2
    assert column.photographs == 4
    assert column.psnr[BOOSTED] is None
    [column] = columns_of([result(0), result(1, network=math.inf)])
    assert column.comparison(BOOSTED, NETWORK) is None


def test_thirds_by_the_input():
    # The worse the input, the more is gained; the order of the photographs says nothing.
    inputs = [14.0, 10.0, 18.0, 11.0, 15.0, 19.0, 12.0, 16.0, 20.0, 17.0]
    [column] = columns_of([result(index, degraded=value, boosted=50 - value) for index, value in enumerate(inputs)])
    assert [(third.low, third.high) for third in column.terciles] == [(10, 12), (14, 17), (18, 20)]
    assert [third.comparisons[0].mean for third in column.terciles] == pytest.approx([9, 4.5, 1])
    assert [third.comparisons[0].photographs for third in column.terciles] == [3, 4, 3]


@pytest.mark.parametrize("inputs", [range(10, 18), [20 + index / 100 for index in range(30)], [math.inf] * 12])
def test_few_photographs_or_inputs_alike_have_no_thirds(inputs):
    assert columns_of([result(index, degraded=value) for index, value in enumerate(inputs)])[0].terciles == ()


def test_bands_are_compared_in_decibels_of_less_error():
    half = (1e-4, 5e-5, 1e-4, 0.0, 1e-4)
    rows = [result(index, bands={BOOSTED: half}) for index in range(2)]
    bands = columns_of(rows)[0].bands
    assert [band.band for band in bands] == [band.name for band in BANDS]
    assert bands[1].share == pytest.approx(0.2)
    gain, fed_zeros, own = bands[1].comparisons
    assert (gain.first, gain.second, gain.mean) == (BOOSTED, NETWORK, pytest.approx(10 * math.log10(2)))
    assert (fed_zeros.first, fed_zeros.mean) == (ZEROS, 0)
    assert (own.second, own.mean) == (ZEROS, pytest.approx(10 * math.log10(2)))
    assert [one.first for one in bands[3].comparisons] == [ZEROS]  # no error at all is no number of decibels


def test_results_are_json():
    entries = result(0, degraded=math.inf).as_dict()
    assert entries["psnr"][DEGRADED] is None
    assert entries["bands"][ZEROS] == list(FLAT)
