"""Estimates without a clean picture: known noise, known blur, known JPEG quality."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

from pellucid.metrics import blockiness, noise_sigma, sharpness

PHOTOGRAPHS = {"astronaut": data.astronaut, "chelsea": data.chelsea, "coffee": data.coffee, "rocket": data.rocket}


def tensor(image):
    return torch.from_numpy(np.atleast_3d(image)).permute(2, 0, 1)[None]


def noisy(photograph, sigma, seed=0):
    """8 bits, clipped: what a camera or a test set gives."""
    noise = np.random.default_rng(seed).normal(0, sigma, photograph.shape)
    return np.clip(np.round(photograph + noise), 0, 255) / 255


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_noise_of_photographs(name):
    photograph = PHOTOGRAPHS[name]()[:300, :400]
    estimates = [noise_sigma(tensor(noisy(photograph, sigma))).item() for sigma in (0, 5, 10, 25, 50)]
    assert estimates[0] < 2
    assert estimates[1:] == pytest.approx([5, 10, 25, 50], rel=0.12)


def test_noise_that_is_not_clipped():
    photograph = data.chelsea()
    image = photograph / 255 + np.random.default_rng(1).normal(0, 25 / 255, photograph.shape)
    assert noise_sigma(tensor(image)).item() == pytest.approx(25, rel=0.05)


def test_pure_noise_of_any_size():
    generator = torch.Generator().manual_seed(0)
    for height, width in ((200, 200), (37, 53), (20, 30)):
        image = 0.5 + torch.randn(1, 1, height, width, generator=generator) * 10 / 255
        assert noise_sigma(image).item() == pytest.approx(10, rel=0.1)


def test_slopes_and_flat_pictures_have_no_noise():
    ramp = torch.linspace(0.1, 0.9, 64, dtype=torch.float64).expand(1, 3, 64, 64)
    assert noise_sigma(ramp + ramp.mT).item() == pytest.approx(0, abs=1e-9)
    for level in (0.0, 0.3, 1.0):
        assert noise_sigma(torch.full((1, 3, 40, 40), level)).item() == pytest.approx(0, abs=1e-4)
    assert noise_sigma(torch.zeros(1, 3, 4, 4)).item() == 0


def test_black_bars_do_not_hide_noise():
    image = noisy(data.chelsea()[:256, :256], 20)
    image[:90] = image[-90:] = 0
    assert noise_sigma(tensor(image)).item() == pytest.approx(20, rel=0.1)


def test_sharpness_falls_with_blur():
    photograph = data.coffee()[:120, :150] / 255
    values = [sharpness(tensor(gaussian_filter(photograph, (s, s, 0)))).item() for s in (0, 0.5, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 20 * values[-1]


def test_sharpness_of_white_noise_is_known():
    # The taps of the Laplacian are 1, 1, 1, 1, -4: white noise of variance v gives 20 v.
    image = 0.5 + torch.randn(1, 1, 300, 300, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.02
    assert sharpness(image).item() == pytest.approx(20 * (0.02 * 255) ** 2, rel=0.03)


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_blockiness_rises_as_jpeg_quality_falls(name):
    photograph = PHOTOGRAPHS[name]()[40:240, 100:300]

    def compressed(quality):
        file = io.BytesIO()
        Image.fromarray(photograph).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file)) / 255

    values = [blockiness(tensor(photograph / 255)).item()]
    values += [blockiness(tensor(compressed(quality))).item() for quality in (60, 30, 10, 5)]
    assert values[0] == pytest.approx(1, abs=0.1)
    assert values == sorted(values)
    assert values[-1] > 2
    # Off the grid, there is no more across it than beside it.
    assert blockiness(tensor(compressed(10)[3:, 3:])).item() < 1.1


def test_blockiness_of_known_pictures():
    flat = torch.full((1, 3, 32, 32), 0.5)
    noise = torch.rand(1, 3, 800, 800, generator=torch.Generator().manual_seed(0))
    assert blockiness(flat).item() == pytest.approx(1)
    assert blockiness(noise).item() == pytest.approx(1, abs=0.01)


def test_batches_are_independent():
    images = torch.cat([tensor(noisy(data.coffee()[:80, :90], sigma)) for sigma in (5, 30)])
    for measure in (noise_sigma, sharpness, blockiness):
        values = measure(images)
        assert values.shape == (2,)
        assert values.dtype == torch.float64
        torch.testing.assert_close(values, torch.cat([measure(image[None]) for image in images]))


@pytest.mark.parametrize(("measure", "least"), [(noise_sigma, 4), (sharpness, 3), (blockiness, 9)])
def test_too_small(measure, least):
    with pytest.raises(ValueError, match=f"each side needs {least}"):
        measure(torch.zeros(1, 3, least - 1, 40))
    assert measure(torch.rand(1, 3, least, least)).isfinite().all()
    with pytest.raises(ValueError, match="B, C, H, W"):
        measure(torch.zeros(3, 40, 40))
