"""The image's own statistics, against numpy, scikit-image, and what was put into the image."""

import io
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pellucid.models.priors import find_prior
from pellucid.priors import STATISTICS, Prior, image_statistics


def named(image):
    values = image_statistics(image)[0]
    assert len(values) == len(STATISTICS) == 40
    return dict(zip(STATISTICS, values.tolist(), strict=True))


def unlogarithmic(value):
    return (256**value - 1) / 255


@pytest.fixture
def smooth():
    """A picture without noise, as smooth as enlarging makes it; by no whole number, which would look like blocks."""
    return F.interpolate(torch.rand(1, 3, 13, 17), (96, 128), mode="bicubic").clamp(0.1, 0.9)


def test_colours_are_what_they_are_called():
    image = torch.rand(1, 3, 37, 53) ** 2
    found = named(image)
    pixels = image[0].double().numpy()
    for channel, colour in enumerate(("red", "green", "blue")):
        plane = pixels[channel]
        assert found[f"mean {colour}"] == pytest.approx(plane.mean(), abs=1e-6)
        assert found[f"deviation {colour}"] == pytest.approx(2 * plane.std(), abs=1e-6)
        for part in (0.05, 0.25, 0.5, 0.75, 0.95):
            below = (plane <= found[f"quantile {part} {colour}"]).mean()
            assert below == pytest.approx(part, abs=1.01 / plane.size)
    assert found["darkest colour"] == pytest.approx(pixels.min(0).mean(), abs=1e-6)
    assert found["chroma"] == pytest.approx((pixels.max(0) - pixels.min(0)).mean(), abs=1e-6)


def test_clipped_pixels_are_counted():
    image = torch.full((1, 3, 10, 10), 0.5)
    image[..., :2, :] = 0
    image[..., 2:3, :] = 7  # outside [0, 1]: clamped
    image[:, 0, 3, :] = 1  # red alone is no white
    found = named(image)
    assert found["black"] == pytest.approx(0.2)
    assert found["white"] == pytest.approx(0.1)


def test_gradients_are_mean_differences_at_each_scale():
    rng = np.random.default_rng(0)
    grey = rng.random((48, 64))
    found = named(torch.from_numpy(grey).float().expand(1, 3, -1, -1))
    for scale in (1, 2, 4, 8):
        small = grey.reshape(48 // scale, scale, 64 // scale, scale).mean((1, 3))
        across, down = np.abs(np.diff(small, axis=1)).mean(), np.abs(np.diff(small, axis=0)).mean()
        assert unlogarithmic(found[f"gradient across at 1/{scale}"]) == pytest.approx(across, rel=1e-4)
        assert unlogarithmic(found[f"gradient down at 1/{scale}"]) == pytest.approx(down, rel=1e-4)


@pytest.mark.parametrize("sigma", [5, 15, 50])
def test_noise_is_estimated(smooth, sigma):
    noisy = 0.3 + 0.4 * smooth + torch.randn(smooth.shape) * torch.tensor([1, 0.5, 0.25]).view(1, 3, 1, 1) * sigma / 255
    found = named(noisy)
    for colour, part in (("red", 1), ("green", 0.5), ("blue", 0.25)):
        assert unlogarithmic(found[f"noise {colour}"]) * 255 == pytest.approx(part * sigma, rel=0.15, abs=0.3)


def test_blur_is_scikit_images(smooth):
    measure = pytest.importorskip("skimage.measure").blur_effect
    for image in (smooth, (smooth + torch.randn(smooth.shape) * 0.1).clamp(0, 1)):
        luma = (0.299 * image[0, 0] + 0.587 * image[0, 1] + 0.114 * image[0, 2]).double().numpy()
        down, across = measure(luma, h_size=11, reduce_func=None)
        found = named(image)
        assert found["blur across"] == pytest.approx(across, abs=1e-4)
        assert found["blur down"] == pytest.approx(down, abs=1e-4)


def test_blocks_of_jpeg_show(smooth):
    image_module = pytest.importorskip("PIL.Image")
    noisy = (smooth + torch.randn(smooth.shape) * 0.03).clamp(0, 1)
    pixels = (noisy[0] * 255).byte().permute(1, 2, 0).numpy()

    def compressed(quality):
        file = io.BytesIO()
        image_module.fromarray(pixels).save(file, "JPEG", quality=quality)
        return torch.from_numpy(np.array(image_module.open(file))).permute(2, 0, 1)[None] / 255

    strong, weak = named(compressed(5)), named(compressed(98))
    for axis in ("across", "down"):
        assert weak[f"blocks {axis}"] == pytest.approx(0.5, abs=0.03)
        assert strong[f"blocks {axis}"] > 0.7


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 200), (37, 53), (7, 8)])
def test_any_size_gives_finite_numbers_in_range(size):
    for image in (torch.rand(2, 3, *size), torch.zeros(2, 3, *size), torch.ones(2, 3, *size)):
        values = image_statistics(image)
        assert values.shape == (2, 40)
        assert values.isfinite().all()
        assert values.min() >= 0
        assert values.max() <= 1
        vectors = find_prior("statistics")(image)
        torch.testing.assert_close(vectors.square().mean(1), torch.ones(2))


def test_large_images_are_sampled_evenly():
    ramp = torch.linspace(0, 1, 1400).expand(1, 3, 1400, 1400)
    found = named(ramp)
    for part in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert found[f"quantile {part} red"] == pytest.approx(part, abs=3e-3)


def test_the_vector_holds_the_statistics_themselves():
    prior = find_prior("statistics")
    assert isinstance(prior, Prior)
    assert (prior.name, prior.width, prior.size, prior.view_channels) == ("statistics", 41, (1, 1), 40)
    images = torch.rand(3, 3, 20, 30, requires_grad=True)
    vectors = prior(images)
    assert not vectors.requires_grad
    # Divided by the last component, the normalisation is gone.
    torch.testing.assert_close((vectors / vectors[:, -1:] + 1)[:, :-1] / 2, image_statistics(images).detach())
    torch.testing.assert_close(vectors, torch.cat([prior(image[None]) for image in images]))


def test_it_has_no_maps_and_takes_images_only():
    assert not hasattr(find_prior("statistics"), "maps")
    with pytest.raises(ValueError, match="expected an RGB image"):
        image_statistics(torch.rand(3, 8, 8))
    assert math.isclose(unlogarithmic(1.0), 1.0)
