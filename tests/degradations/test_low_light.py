"""Low light against the arithmetic of exposure, and the statistics of its noise."""

import math

import numpy as np
import pytest
import torch
from skimage.color import rgb2xyz

from pellucid.degradations.linear_light import linear
from pellucid.degradations.low_light import LowLight
from pellucid.errors import SettingsError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def light_of(values):
    """Linear light, by scikit-image."""
    grey = np.repeat(np.asarray(values, dtype=np.float64).reshape(-1, 1, 1), 3, axis=2)
    return rgb2xyz(grey)[:, 0, 1]


def test_exposure_and_gamma_are_of_linear_light():
    clean = torch.linspace(0, 1, 200).reshape(1, 1, 200)
    dark = LowLight(0.25, gamma=1.5)(clean, seeded()).flatten()
    expected = 0.25 * light_of(clean.flatten()) ** 1.5
    encoded = np.where(expected <= 0.0031308, 12.92 * expected, 1.055 * expected ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(dark.numpy(), encoded, atol=0.51 / 255)


def test_it_is_stored_in_bytes():
    dark = LowLight(0.05, noise=30)(torch.rand(3, 40, 40, generator=seeded()), seeded())
    torch.testing.assert_close(dark * 255, (dark * 255).round(), atol=1e-4, rtol=0)
    assert dark.min() >= 0


def test_the_darkness_of_lol_is_in_reach():
    clean = torch.rand(3, 60, 60, generator=seeded()) * 0.8
    for exposure in (0.02, 0.1):
        assert 0.03 < float(LowLight(exposure, noise=20)(clean, seeded()).mean()) < 0.15


@pytest.mark.parametrize("exposure", [0.1, 0.5])
def test_brightened_mid_grey_has_the_noise_it_says(exposure):
    clean = torch.full((3, 300, 300), 0.5)
    # The rounding to bytes would count at low exposure, so the noise is well above it.
    dark = linear(LowLight(exposure, noise=12)(clean, seeded()).double())
    bright = dark / exposure
    encoded = 1.055 * bright.clamp(min=0.0032) ** (1 / 2.4) - 0.055
    assert encoded.std() * 255 == pytest.approx(12, rel=0.03)


def test_the_variance_is_a_line_of_the_light():
    degradation = LowLight(0.5, noise=10)
    shot, read = degradation.variances()
    for value in (0.4, 0.9):
        dark = linear(LowLight(0.5, noise=10)(torch.full((1, 400, 400), value), seeded()).double())
        light = 0.5 * float(light_of([value])[0])
        assert dark.var() == pytest.approx(shot * light + read, rel=0.03)
        assert dark.mean() == pytest.approx(light, rel=0.01)


def test_shadows_have_the_worse_noise():
    def ratio(value):
        dark = linear(LowLight(0.3, noise=10)(torch.full((1, 200, 200), value), seeded()))
        return float(dark.mean() / dark.std())

    assert ratio(0.3) < ratio(0.5) / 1.5 < ratio(0.9)


def test_a_cast_colours_grey_and_differs_between_photographs():
    clean = torch.full((200, 3, 2, 2), 0.6)
    dark = linear(LowLight(0.5, cast=0.2)(clean, seeded(1)))[..., 0, 0]
    ratios = (dark[:, 0] / dark[:, 2]).log()
    assert abs(ratios.mean()) < 0.06
    assert ratios.std() == pytest.approx(math.log(4 / 3), rel=0.15)
    assert torch.equal(LowLight(0.5, cast=0.3)(clean[:, :1], seeded(1)), LowLight(0.5)(clean[:, :1], seeded(1)))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (3, 37, 53), (1, 37, 53), (2, 2, 3, 5, 7)])
def test_any_shape_from_the_generator_and_as_its_members(shape):
    degradation = LowLight(0.1, 1.3, 20, 0.2)
    clean = torch.rand(shape, generator=seeded())
    before = clean.clone()
    dark = degradation(clean, seeded(1))
    assert dark.shape == shape
    assert torch.equal(clean, before)
    generator = seeded(1)
    members = [degradation(member, generator) for member in clean.reshape(-1, *shape[-3:])]
    assert torch.equal(dark, torch.stack(members).reshape(shape))


def test_severity_is_the_loss_of_mid_grey_and_rises():
    clean = torch.rand(3, 30, 30, generator=seeded())
    darks = [LowLight(exposure) for exposure in (0.9, 0.3, 0.1, 0.02)]
    grey = torch.full((1, 1, 1), 0.5)
    for dark in darks:
        assert dark.severity == pytest.approx(100 - 200 * float(dark(grey, seeded())), abs=0.5)
    assert LowLight(0.3, gamma=2).severity > LowLight(0.3).severity
    errors = [float((dark(clean, seeded()) - clean).square().mean()) for dark in darks]
    assert errors == sorted(errors)
    assert [dark.severity for dark in darks] == sorted(dark.severity for dark in darks)
    assert LowLight(0.001, 3, 100, 1).severity <= 100


@pytest.mark.parametrize(
    "settings",
    [{"exposure": 0}, {"exposure": 1.0}, {"gamma": 0.5}, {"noise": -1}, {"cast": 2}, {"exposure": math.nan}],
)
def test_refusals(settings):
    with pytest.raises(SettingsError, match=f"low-light: {next(iter(settings))}"):
        LowLight(**({"exposure": 0.1} | settings))
