"""The oracle: it tells what it says it tells, and nothing without the clean picture."""

import pytest
import torch
import torch.nn.functional as F

from pellucid.errors import ModelError, SettingsError
from pellucid.models.priors import find_prior
from pellucid.priors import Oracle, Zeros, shown


def told(what, degraded, clean, width=None):
    oracle = Oracle(what, width)
    return oracle.encode(oracle.prepare_told(degraded, clean))[0]


@pytest.fixture
def clean():
    torch.manual_seed(0)
    return F.interpolate(torch.rand(1, 3, 12, 9), (64, 48), mode="bicubic").clamp(0, 1)


def test_exposure_is_the_clean_picture_s_whatever_the_degraded_one_is(clean):
    first, second = (told("exposure", factor * clean, clean) for factor in (0.1, 0.7))
    assert torch.equal(first, second)
    expected = [*clean.mean((2, 3))[0].tolist(), float(clean.mean())]
    assert (first[:4] * 0.15 + 0.45).tolist() == pytest.approx(expected, abs=1e-6)


def test_noise_is_its_deviation(clean):
    noise = torch.randn_like(clean) * (50 / 255)
    assert told("noise", clean + noise, clean)[:3].tolist() == pytest.approx([2, 2, 2], rel=0.05)


def test_affine_finds_slope_and_offset(clean):
    numbers = told("affine", 0.3 * clean + 0.5, clean)
    assert ((numbers[:3] + 1) / 2).tolist() == pytest.approx([0.3] * 3, abs=1e-4)
    assert (numbers[3:6] / 4).tolist() == pytest.approx([0.5] * 3, abs=1e-4)


def test_sharpness_is_zero_for_the_clean_picture_and_falls_with_blur(clean):
    sharp = clean + 0.1 * torch.randn_like(clean)
    assert told("sharpness", sharp, sharp)[:4].abs().max() < 1e-6
    blurred = F.avg_pool2d(sharp, 5, stride=1, padding=2)
    finest, *_, coarsest = told("sharpness", blurred, sharp)[:4].tolist()
    assert finest < -0.5
    assert finest < coarsest


@pytest.mark.parametrize("what", ["exposure", "noise", "affine", "sharpness"])
def test_spread_over_a_long_vector_it_tells_the_same(what, clean):
    short = told(what, 0.5 * clean, clean)
    long = told(what, 0.5 * clean, clean, width=1280)
    assert len(long) == 1280
    # A rotation and one factor: lengths agree, and so does the size of a component.
    assert float(long.square().mean()) == pytest.approx(float(short.square().mean()), rel=1e-4)


def test_it_has_nothing_to_say_without_the_clean_picture(clean):
    oracle = find_prior("oracle:exposure:64")
    assert (oracle.name, oracle.width) == ("oracle:exposure:64", 64)
    with pytest.raises(ModelError, match="pellucid ablate"):
        oracle(clean)
    with pytest.raises(ModelError, match="have none"):
        shown(oracle, clean, None)
    assert shown(Zeros(4), clean, None).shape == (1, 3, 1, 1)


@pytest.mark.parametrize("spec", ["oracle", "oracle:weather", "oracle:noise:2", "oracle:noise:x"])
def test_malformed_specs_are_refused(spec):
    with pytest.raises(SettingsError, match="oracle"):
        find_prior(spec)
