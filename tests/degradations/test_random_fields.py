"""Random fields: variance and correlation against their formula."""

import math

import pytest
import torch

from pellucid.degradations.random_fields import smooth_fields


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [2.0, 3.3])
def test_every_pixel_has_variance_one_and_neighbours_are_alike(size):
    fields = smooth_fields(4000, 9, 12, size, seeded())
    assert fields.shape == (4000, 9, 12)
    variances = fields.var(dim=0)
    assert variances.min() > 0.88
    assert variances.max() < 1.12
    assert variances.mean() == pytest.approx(1, abs=0.02)
    for away in (1, 3):
        alike = (fields[:, :, :-away] * fields[:, :, away:]).mean()
        assert alike == pytest.approx(math.exp(-((away / size) ** 2) / 4), abs=0.02)


def test_fields_are_independent_and_come_from_the_generator():
    first = smooth_fields(2, 200, 200, 1.0, seeded(3))
    assert abs(float((first[0] * first[1]).mean())) < 0.03
    assert torch.equal(first, smooth_fields(2, 200, 200, 1.0, seeded(3)))


def test_a_single_pixel_has_a_field_too():
    assert smooth_fields(5000, 1, 1, 50.0, seeded()).std() == pytest.approx(1, abs=0.04)
