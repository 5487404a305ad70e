"""Losses against the clean image: by hand, and by the metric of the same name."""

import pytest
import torch

from pellucid.losses import LOSSES, absolute, charbonnier, dissimilarity, squared
from pellucid.metrics import ssim


@pytest.fixture
def pair():
    clean = torch.rand(2, 3, 17, 23)
    return clean + 0.1 * torch.randn(clean.shape), clean


def test_pixel_losses_are_means_over_all_values(pair):
    differences = [float(a) - float(b) for a, b in zip(*(image.flatten() for image in pair), strict=True)]
    count = len(differences)
    assert float(absolute(*pair)) == pytest.approx(sum(map(abs, differences)) / count, rel=1e-5)
    assert float(squared(*pair)) == pytest.approx(sum(d * d for d in differences) / count, rel=1e-5)
    assert float(charbonnier(*pair)) == pytest.approx(sum((d * d + 1e-6) ** 0.5 for d in differences) / count, rel=1e-5)


def test_dissimilarity_is_one_less_the_metric(pair):
    assert float(dissimilarity(*pair)) == pytest.approx(1 - float(ssim(*pair).mean()), abs=1e-6)
    assert float(dissimilarity(pair[1], pair[1])) == pytest.approx(0, abs=1e-6)


def test_dissimilarity_has_the_gradient_of_small_steps(pair):
    restored, clean = (image[:1, :1, :12, :13].double().requires_grad_(index == 0) for index, image in enumerate(pair))
    slope = torch.autograd.grad(LOSSES["ssim"](restored.float(), clean.float()), restored)[0]
    step = torch.zeros_like(slope)
    step[0, 0, 5, 6] = 1e-4
    with torch.no_grad():
        up, down = (1 - ssim(restored + sign * step, clean).mean() for sign in (1, -1))
    assert float(slope[0, 0, 5, 6]) == pytest.approx(float(up - down) / 2e-4, rel=1e-3)


def test_dissimilarity_refuses_images_smaller_than_its_window():
    with pytest.raises(ValueError, match="11 x 11"):
        dissimilarity(torch.rand(1, 3, 10, 30), torch.rand(1, 3, 10, 30))
