"""The signal-to-noise map, against brute force and its meaning."""

import math

import numpy as np
import pytest
import torch

from pellucid.models.priors import find_prior
from pellucid.priors import Prior, snr_map


def brute_force(image):
    red, green, blue = image.double().numpy()
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    ratio = np.empty_like(luma)
    for i, j in np.ndindex(*luma.shape):
        mean = luma[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3].mean()
        ratio[i, j] = mean / (abs(luma[i, j] - mean) + 1e-4)
    return ratio


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (13, 17)])
def test_the_map_is_the_papers(size):
    images = torch.rand(2, 3, *size)
    maps = snr_map(images)
    assert maps.shape == (2, 1, *size)
    for image, found in zip(images, maps, strict=True):
        np.testing.assert_allclose(found[0].numpy(), brute_force(image), rtol=5e-3)
    normalised = find_prior("snr").maps(images)
    largest = maps.amax((1, 2, 3), keepdim=True)
    torch.testing.assert_close(normalised, maps / (largest + 1e-4))
    assert normalised.min() >= 0
    assert normalised.max() <= 1


def test_noise_lowers_it_where_it_is():
    image = torch.full((1, 3, 40, 40), 0.5)
    image[..., 20:] += torch.randn(1, 1, 40, 20) * 0.1
    ratio = snr_map(image)
    assert ratio[..., 3:17].min() > 1000
    assert ratio[..., 23:].median() < 20
    view = find_prior("snr").prepare(image)
    assert view[..., :7].min() > view[..., 9:].max() + 0.3


def test_the_vector_is_the_pooled_logarithm():
    prior = find_prior("snr")
    assert isinstance(prior, Prior)
    assert (prior.name, prior.width, prior.size, prior.view_channels) == ("snr", 257, (16, 16), 1)
    images = torch.rand(2, 3, 32, 48, requires_grad=True)
    vectors = prior(images)
    assert not vectors.requires_grad
    assert not prior.maps(images).requires_grad
    torch.testing.assert_close(vectors.square().mean(1), torch.ones(2))
    values = (vectors / vectors[:, -1:] + 1)[:, :-1] / 2
    ratio = brute_force(images[1].detach())
    expected = (np.log1p(ratio) / math.log(10001)).reshape(16, 2, 16, 3).mean((1, 3))
    np.testing.assert_allclose(values[1].reshape(16, 16).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (37, 53)])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_images_of_any_size_are_finite(size, level):
    image = torch.full((1, 3, *size), level)
    prior = find_prior("snr")
    assert prior(image).isfinite().all()
    assert prior.maps(image).isfinite().all()
