"""Losses against the clean image: by hand, and by the metric of the same name."""

import pytest
import torch

from pellucid.losses import LOSSES, absolute, charbonnier, detail, dissimilarity, squared
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


def test_detail_does_not_ask_how_bright_but_what_noise_there_is(pair):
    clean = 0.2 + 0.5 * pair[1].clamp(0, 1)
    smallest = 1e-3
    assert float(detail(clean, clean)) == pytest.approx(smallest, rel=1e-3)
    assert float(detail(1.4 * clean, clean)) < 0.1 * float(charbonnier(1.4 * clean, clean))
    noisy = clean + 0.1 * torch.randn(clean.shape)
    assert float(detail(noisy, clean)) == pytest.approx(float(charbonnier(noisy, clean)), rel=0.1)
    large, other = torch.rand(1, 1, 80, 80) + 0.1, torch.rand(1, 1, 80, 80) + 0.1
    means = [torch.nn.functional.avg_pool2d(image[..., 24:57, 24:57], 33).item() for image in (other, large)]
    at = large[0, 0, 40, 40] * (means[0] + 0.02) / (means[1] + 0.02) - other[0, 0, 40, 40]
    slope = torch.autograd.functional.jacobian(lambda image: detail(image, other), large)[0, 0, 40, 40]
    assert float(slope) == pytest.approx(
        float(at / (at**2 + 1e-6).sqrt()) * (means[0] + 0.02) / (means[1] + 0.02) / 80**2, rel=1e-3
    )
