"""Noise of a sensor: its strength as promised, its correlations, and the way to the sensor and back."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from pellucid.degradations.sensor import Camera, SensorNoise
from pellucid.errors import SettingsError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("channels", [1, 3])
def test_developing_undoes_the_way_back(channels):
    image = torch.rand(channels, 37, 53, generator=seeded())
    camera = Camera.draw(channels, seeded(1))
    torch.testing.assert_close(camera.developed(camera.raw(image)), image, atol=2e-5, rtol=0)


def test_grey_is_the_light_divided_by_the_gains():
    camera = Camera.draw(3, seeded(2))
    grey = 0.7
    tone = brentq(lambda x: 3 * x**2 - 2 * x**3 - grey, 0, 1)
    light = ((tone + 0.055) / 1.055) ** 2.4
    raw = camera.raw(torch.full((3, 1, 1), grey)).flatten()
    torch.testing.assert_close(raw, light / camera.gains, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(camera.matrix.sum(dim=1), torch.ones(3))


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("sigma", [4, 15])
def test_mid_grey_has_the_strength_it_says_whatever_the_camera(sigma, correlation):
    clean = torch.full((3, 200, 200), 0.5)
    squares = []
    for seed in range(3):
        noise = SensorNoise(sigma, correlation=correlation)(clean, seeded(seed)) - clean
        squares.append(float(noise.square().mean()) ** 0.5 * 255)
    # Blobs are few, and the curves bend: not to the percent.
    assert np.mean(squares) == pytest.approx(sigma, rel=0.06)


def test_grey_photographs_have_it_too():
    clean = torch.full((1, 300, 300), 0.5)
    noise = SensorNoise(10, correlation=0.8)(clean, seeded()) - clean
    assert noise.std() * 255 == pytest.approx(10, rel=0.03)


def test_shot_and_read_noise_follow_the_line_of_the_paper():
    camera = Camera.draw(3, seeded())
    shot, read = camera.noise(0.08, 1.0, torch.eye(3, dtype=torch.float64))
    assert math.log(read) == pytest.approx(2.18 * math.log(shot) + 1.20)
    assert 0.0001 < shot < 0.012
    assert camera.noise(0.08, 4.0, torch.eye(3, dtype=torch.float64))[0] < shot
    assert camera.noise(0.08, 0.0, torch.eye(3, dtype=torch.float64))[1] == 0


def test_the_variance_in_raw_values_is_a_line_of_the_signal():
    noise = SensorNoise(10, correlation=0)
    for value in (0.2, 0.6):
        clean = torch.full((3, 250, 250), value)
        camera = Camera.draw(3, seeded(5))
        shot, read = camera.noise(10 / 255, 1.0, noise.covariance(3))
        raw = camera.raw(noise(clean, seeded(5)))
        expected = shot * camera.raw(clean)[:, 0, 0] + read
        torch.testing.assert_close(raw.flatten(1).var(dim=1), expected, rtol=0.03, atol=0)


def test_white_has_less_noise_and_shadows_more_read_noise():
    white, black = torch.ones(3, 80, 80), torch.full((3, 80, 80), 0.02)

    def spread(image, **settings):
        return float((SensorNoise(20, correlation=0, **settings)(image, seeded(3)) - image).square().mean())

    assert spread(white) < spread(torch.full((3, 80, 80), 0.5)) / 20
    assert spread(black, read=5) > 1.5 * spread(black, read=0)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 1.0])
def test_the_field_has_the_covariance_it_says(correlation):
    noise = SensorNoise(20, correlation=correlation)
    fields = torch.stack([noise.field(torch.Size((3, 150, 150)), seeded(seed)) for seed in range(4)])
    found = np.cov(fields.transpose(0, 1).flatten(1).numpy())
    np.testing.assert_allclose(found, noise.covariance(3).numpy(), atol=0.03)


def test_colour_comes_in_blobs_and_brightness_does_not():
    field = SensorNoise(20, correlation=1).field(torch.Size((3, 200, 200)), seeded())
    brightness = field.mean(dim=0)
    colour = field - brightness

    def alike(plane, away):
        return float((plane[..., away:] * plane[..., :-away]).mean() / plane.square().mean())

    assert alike(colour, 2) > 0.7
    assert abs(alike(brightness, 3)) < 0.03
    # Of the taps (0.5, 1, 0.5) neighbours share 1 of 1.5.
    assert alike(brightness, 1) == pytest.approx(1 / 1.5, abs=0.03)
    white = SensorNoise(20, correlation=0).field(torch.Size((3, 200, 200)), seeded())
    assert abs(alike(white, 1)) < 0.02


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (3, 37, 53), (1, 37, 53), (2, 2, 3, 5, 7)])
def test_any_shape_in_range_and_from_the_generator(shape):
    clean = torch.rand(shape, generator=seeded())
    before = clean.clone()
    degraded = SensorNoise()(clean, seeded(1))
    assert degraded.shape == shape
    assert degraded.min() >= 0
    assert degraded.max() <= 1
    assert torch.equal(clean, before)
    assert torch.equal(degraded, SensorNoise()(clean, seeded(1)))


def test_a_batch_is_its_members():
    batch = torch.rand(2, 3, 20, 30, generator=seeded())
    generator = seeded(7)
    members = torch.stack([SensorNoise(30)(image, generator) for image in batch])
    assert torch.equal(SensorNoise(30)(batch, seeded(7)), members)


def test_severity_rises_and_fidelity_falls():
    clean = torch.rand(3, 60, 60, generator=seeded()) * 0.6 + 0.2
    noises = [SensorNoise(sigma) for sigma in (0, 5, 20, 50)]
    assert [noise.severity for noise in noises] == [0, 10, 40, 100]
    errors = [float((noise(clean, seeded()) - clean).square().mean()) for noise in noises]
    assert errors[0] == 0
    assert all(one < other for one, other in pairwise(errors))


@pytest.mark.parametrize("settings", [{"sigma": 101}, {"read": -1}, {"correlation": 1.5}, {"sigma": float("nan")}])
def test_refusals(settings):
    with pytest.raises(SettingsError, match=f"sensor-noise: {next(iter(settings))}"):
        SensorNoise(**settings)
