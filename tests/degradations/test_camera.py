"""Noise of cameras: its law, its mosaic, what processing leaves of it, and that the picture beneath stays as it is."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from pellucid.degradations import as_text, parse
from pellucid.degradations.camera import CameraNoise, demosaicked, photographed
from pellucid.errors import SettingsError

WAYS = ("bilinear", "gradient-corrected")
PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def mosaic_of(colours, phase):
    """One colour in each pixel, found by asking each pixel for its place."""
    mosaic = torch.empty(colours.shape[1:])
    for row in range(mosaic.shape[0]):
        for column in range(mosaic.shape[1]):
            place = ((row - phase[0]) % 2, (column - phase[1]) % 2)
            mosaic[row, column] = colours[{(0, 0): 0, (1, 1): 2}.get(place, 1), row, column]
    return mosaic


def noise_of(settings, clean, seed=0):
    return CameraNoise(**settings)(clean, seeded(seed)) - clean


def spectrum(noise):
    """The power of a plane (H, W) in rings of spatial frequency, of 16 up to that of Nyquist, its mean one."""
    height, width = noise.shape
    power = np.abs(np.fft.fft2(noise - noise.mean())) ** 2
    away = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    rings = np.minimum((away * 32).astype(int), 16)
    means = np.bincount(rings.ravel(), power.ravel()) / np.bincount(rings.ravel())
    return means[:16] / means[:16].mean()


def brightness(noise):
    return np.tensordot([0.299, 0.587, 0.114], noise.numpy(), 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("phase", PHASES)
def test_one_colour_and_ramps_come_back_exactly(way, phase):
    colour = torch.tensor([0.2, 0.5, 0.9])[:, None, None].expand(3, 11, 14)
    torch.testing.assert_close(demosaicked(mosaic_of(colour, phase), phase, way), colour, atol=1e-6, rtol=0)
    down, across = torch.arange(11.0)[:, None], torch.arange(14.0)
    ramps = torch.stack(
        [0.1 + 0.02 * down + 0.01 * across, 0.3 + 0.01 * down + 0 * across, 0.9 - 0.03 * across + 0 * down]
    )
    found = demosaicked(mosaic_of(ramps, phase), phase, way)
    # At the border the mirror image breaks a ramp.
    torch.testing.assert_close(found[:, 2:-2, 2:-2], ramps[:, 2:-2, 2:-2], atol=1e-6, rtol=0)


@pytest.mark.parametrize("phase", PHASES)
def test_bilinear_is_the_mean_of_the_neighbours_that_have_the_colour(phase):
    colours = torch.rand(3, 12, 9, generator=seeded())
    mosaic = mosaic_of(colours, phase)
    found = demosaicked(mosaic, phase, "bilinear")
    weights = np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    for channel in range(3):
        one_hot = torch.zeros(3, 12, 9)
        one_hot[channel] = 1
        there = mosaic_of(one_hot, phase).numpy()
        # Normalised convolution, with the mirror image about the outermost pixels beyond the border.
        expected = convolve(mosaic.numpy() * there, weights, mode="mirror") / convolve(there, weights, mode="mirror")
        measured = there > 0
        np.testing.assert_allclose(found[channel].numpy()[measured], mosaic.numpy()[measured])
        if channel == 1:
            cross = np.array([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])
            expected = convolve(mosaic.numpy() * there, cross, mode="mirror") / 4
        np.testing.assert_allclose(found[channel].numpy()[~measured], expected[~measured], atol=1e-6)


def test_gradient_correction_is_sharper_than_bilinear_on_grey_detail():
    """In a grey picture all colours have the same detail, which is what the correction counts on (Malvar et al.)."""
    grid = torch.arange(64.0)
    waves = 0.5 + 0.4 * torch.sin(grid[:, None] * 1.1) * torch.cos(grid * 0.9)
    grey = waves.expand(3, 64, 64)
    errors = [
        float((demosaicked(mosaic_of(grey, (0, 0)), (0, 0), way) - grey)[:, 4:-4, 4:-4].square().mean()) for way in WAYS
    ]
    assert errors[1] < errors[0] / 3


def test_a_camera_without_noise_keeps_plain_areas_and_alters_fine_detail():
    plain = torch.tensor([0.3, 0.5, 0.7])[:, None, None].expand(3, 40, 40)
    grid = torch.arange(40)
    checks = (0.3 + 0.4 * ((grid[:, None] + grid) % 2)).expand(3, 40, 40)
    errors = []
    for seed in range(12):
        torch.testing.assert_close(photographed(plain, seeded(seed)), plain, atol=2e-3, rtol=0)
        found = photographed(checks, seeded(seed))
        assert found.shape == checks.shape
        assert found.min() >= 0
        assert found.max() <= 1
        assert torch.equal(found, photographed(checks, seeded(seed)))
        errors.append(float((found - checks).abs().mean()))
    # A checkerboard of single pixels is what a mosaic cannot hold.
    assert min(errors) > 0.05
    for shape in ((3, 1, 1), (3, 1, 30), (3, 7, 3)):
        assert photographed(torch.rand(shape), seeded()).shape == shape


def test_raw_variance_is_a_line_of_the_signal():
    """Read noise scatters between cameras, so a seed is kept, and with it the camera; the slope is that of the ISO alone."""
    noise = CameraNoise(1600)
    values = torch.tensor([0.05, 0.2, 0.4, 0.8])
    generators = [seeded(3) for _ in values]
    variances = [
        float(noise._measured(torch.full((3, 300, 300), float(value)), (0, 1), generator).var())
        for value, generator in zip(values, generators, strict=True)
    ]
    slope, constant = np.polyfit(values.numpy(), variances, 1)
    assert slope == pytest.approx(1.6e-3, rel=0.03)
    scatter = float(torch.randn((), generator=seeded(3)))
    read = math.exp(2.18 * math.log(1.6e-3) + 1.20 + 0.26 * scatter)
    assert variances[0] == pytest.approx(1.6e-3 * 0.05 + read, rel=0.03)
    assert constant == pytest.approx(read, abs=1e-5)


def test_rows_share_noise_and_hot_pixels_shine():
    raw = torch.full((3, 200, 200), 0.2)
    plain = CameraNoise(6400)._measured(raw, (0, 0), seeded(1))
    added = CameraNoise(6400, defects=0.8)._measured(raw, (0, 0), seeded(1)) - plain
    rows = added.median(dim=1).values
    scatter = float(torch.randn((), generator=seeded(1)))
    read = math.exp(2.18 * math.log(6.4e-3) + 1.20 + 0.26 * scatter)
    assert rows.std() == pytest.approx(5 * 0.8 * read**0.5, rel=0.12)
    shining = added - rows[:, None]
    assert float((shining > 1e-5).float().mean()) == pytest.approx(0.008, abs=0.002)
    assert shining.min() > -1e-5
    assert shining.max() > 0.8


def test_the_noise_is_not_white_and_colour_blotches_are_wider():
    clean = torch.full((3, 256, 256), 0.45)
    plain = noise_of({"iso": 3200, "denoising": 0.0, "demosaicking": "bilinear"}, clean)
    smoothed = noise_of({"iso": 3200, "denoising": 1.0}, clean)
    white = spectrum(torch.randn(256, 256, generator=seeded()).numpy())
    assert white[12:].mean() / white[:4].mean() == pytest.approx(1, abs=0.15)
    for noise in (plain, smoothed):
        rings = spectrum(brightness(noise))
        assert rings[12:].mean() < 0.5 * rings[:4].mean()
    for noise, most in ((plain, 0.5), (smoothed, 0.05)):
        colour = spectrum((noise[2] - noise[1]).numpy())
        rings = spectrum(brightness(noise))
        assert colour[8:].mean() / colour[:2].mean() < rings[8:].mean() / rings[:2].mean()
        assert colour[8:].mean() / colour[:2].mean() < most


def test_sharpening_lifts_fine_grain_and_enlarging_widens_it():
    clean = torch.full((3, 256, 256), 0.45)
    settings = {"iso": 3200, "denoising": 0.5, "demosaicking": "bilinear"}
    plain, sharp, large, small = (
        brightness(noise_of(settings | more, clean))
        for more in ({}, {"sharpening": 1.5}, {"scale": 2.0}, {"scale": 0.5})
    )
    assert sharp.std() > 1.1 * plain.std()
    assert spectrum(sharp)[10:].mean() > spectrum(plain)[10:].mean()
    assert spectrum(large)[10:].mean() < 0.5 * spectrum(plain)[10:].mean()
    assert small.std() < plain.std()


def test_the_picture_is_left_as_it_is():
    """Fine detail is neither demosaicked nor smoothed nor sharpened: what little noise there is has a mean of nothing."""
    grid = torch.arange(48)
    checks = (0.3 + 0.4 * ((grid[:, None] + grid) % 2)).expand(3, 48, 48)
    settings = CameraNoise(50, denoising=1.0, sharpening=2.0, scale=0.7)
    mean = torch.stack([settings(checks, seeded(seed)) for seed in range(40)]).mean(0)
    assert float((mean - checks).abs().max()) < 0.01


def test_edges_keep_noise_that_flat_areas_lose():
    edge = torch.full((3, 160, 160), 0.35)
    edge[:, :, 80:] = 0.6
    flat = torch.full((3, 160, 160), 0.35)
    at_edge, beside = (
        torch.stack([noise_of({"iso": 1600, "denoising": 1.0}, image, seed)[:, :, 79] for seed in range(6)]).std()
        for image in (edge, flat)
    )
    assert at_edge > 1.5 * beside


@pytest.mark.parametrize(
    "settings",
    [
        {"iso": 200, "denoising": 0.0},
        {"iso": 3200, "denoising": 0.0},
        {"iso": 3200},
        {"iso": 3200, "denoising": 1.0, "sharpening": 1.0},
        {"iso": 3200, "scale": 0.5},
        {"iso": 6400, "scale": 2.0},
    ],
)
def test_severity_is_twice_the_strength_at_mid_grey(settings):
    clean = torch.full((3, 128, 128), 0.5)
    squares = [noise_of(settings, clean, seed).square().mean() for seed in range(24)]
    sigma = 255 * float(torch.stack(squares).mean().sqrt())
    assert CameraNoise(**settings).severity == pytest.approx(2 * sigma, rel=0.25)


def test_severity_rises_with_iso_and_falls_with_denoising():
    severities = [CameraNoise(iso).severity for iso in (0, 100, 1600, 25600, 409600)]
    assert severities[0] == 0
    assert all(one < other for one, other in pairwise(severities))
    assert severities[-1] <= 100
    assert CameraNoise(3200, denoising=1).severity < CameraNoise(3200, denoising=0).severity


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scale", [0.25, 0.8, 1.0, 3.5])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (3, 1, 40), (3, 37, 53), (1, 37, 53), (2, 2, 3, 5, 7)])
def test_any_shape_in_range_and_from_the_generator(shape, scale, way):
    clean = torch.rand(shape, generator=seeded())
    before = clean.clone()
    noise = CameraNoise(6400, way, 0.7, 1.0, scale, 0.5)
    degraded = noise(clean, seeded(1))
    assert degraded.shape == shape
    assert degraded.isfinite().all()
    assert degraded.min() >= 0
    assert degraded.max() <= 1
    assert torch.equal(clean, before)
    assert torch.equal(degraded, noise(clean, seeded(1)))
    assert not torch.equal(degraded, noise(clean, seeded(2)))


def test_grey_photographs_stay_grey_and_colour_ones_get_coloured_noise():
    grey = torch.full((1, 64, 64), 0.4)
    one = CameraNoise(6400, denoising=0)(grey, seeded())
    assert one.shape == (1, 64, 64)
    assert one.std() > 0.01
    colour = CameraNoise(6400, denoising=0)(grey.expand(3, -1, -1), seeded())
    assert (colour[0] - colour[2]).std() > 0.01
    # The luma of the very noise that a colour photograph gets.
    luma = torch.tensordot(torch.tensor([0.299, 0.587, 0.114]), colour, 1)
    torch.testing.assert_close(one[0], luma, atol=1e-5, rtol=0)


def test_no_iso_changes_nothing():
    clean = torch.rand(3, 20, 20, generator=seeded())
    assert torch.equal(CameraNoise(0, sharpening=2)(clean, seeded()), clean)


@pytest.mark.parametrize(
    "text", ["camera-noise iso=400 demosaicking=bilinear scale=0.5 defects=0.25", "camera-noise denoising=1"]
)
def test_text_round_trip(text):
    assert as_text(parse(text)) == text
    assert parse(as_text(parse(text))) == parse(text)


@pytest.mark.parametrize(
    "settings",
    [
        {"iso": -1},
        {"denoising": 1.5},
        {"sharpening": -0.1},
        {"scale": 0.1},
        {"defects": 11},
        {"iso": float("nan")},
        {"demosaicking": "ahd"},
    ],
)
def test_refusals(settings):
    with pytest.raises(SettingsError, match=f"camera-noise: {next(iter(settings))}"):
        CameraNoise(**settings)
