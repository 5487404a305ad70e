"""What all priors share, against brute force."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pellucid.priors import Prior, RandomVectors, Student, Zeros, unit_rms, whole_view


def test_unit_rms_is_the_unit_vector_times_the_root_of_its_width():
    vector = torch.randn(5, 48) * torch.tensor([1e-3, 1.0, 1e4, 7.0, 0.1])[:, None]
    expected = torch.nn.functional.normalize(vector, dim=1) * 48**0.5
    torch.testing.assert_close(unit_rms(vector), expected)


def test_unit_rms_of_nothing_is_finite_and_so_is_its_gradient():
    vector = torch.zeros(2, 8, requires_grad=True)
    unit_rms(vector).sum().backward()
    assert torch.equal(unit_rms(vector), torch.zeros(2, 8))
    assert vector.grad is not None
    assert vector.grad.isfinite().all()


def test_unit_rms_returns_float32_from_half_precision():
    assert unit_rms(torch.ones(1, 4, dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (37, 53), (300, 20)])
def test_a_view_of_any_size_has_the_size_asked_for_and_stays_in_range(shape):
    view = whole_view(torch.rand(2, 3, *shape) * 3 - 1, (24, 32))
    assert view.shape == (2, 3, 24, 32)
    assert view.min() >= 0
    assert view.max() <= 1


def test_a_view_of_one_colour_is_that_colour():
    image = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1)
    torch.testing.assert_close(whole_view(image, (7, 9)), image.expand(1, 3, 7, 9))


def test_a_view_shrinks_like_pillows_antialiased_bicubic():
    image_module = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).random((61, 83), dtype=np.float32) * 0.5 + 0.25
    expected = np.asarray(image_module.fromarray(pixels).resize((20, 16), image_module.Resampling.BICUBIC))
    view = whole_view(torch.from_numpy(pixels).expand(1, 3, -1, -1), (16, 20))
    np.testing.assert_allclose(view[0, 0].numpy(), expected, atol=1e-5)


def test_a_view_has_the_margins_of_the_image():
    image = torch.zeros(1, 3, 40, 120)
    image[..., :6] = 1
    view = whole_view(image, (20, 20))
    assert view[..., 0].min() > 0.9
    assert view[..., 2:].max() < 0.1


def test_a_huge_image_is_seen_as_by_one_antialiased_resize():
    # Beyond 32 times the target it is averaged down first, which must not show.
    smooth = F.interpolate(torch.rand(1, 3, 4, 4), (400, 600), mode="bilinear")
    huge = (smooth + torch.randn(smooth.shape) * 0.05).clamp(0, 1)
    expected = F.interpolate(huge, (4, 5), mode="bicubic", antialias=True).clamp(0, 1)
    torch.testing.assert_close(whole_view(huge, (4, 5)), expected, atol=0.01, rtol=0)
    assert expected.std() > 0.05


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 4, 8, 8), (1, 3, 0, 8)])
def test_a_tensor_that_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="expected an RGB image"):
        whole_view(torch.zeros(shape), (8, 8))


@pytest.mark.parametrize("prior", [Zeros(4), RandomVectors(4), Student(4, size=32, channels=[4], texture=[4])])
def test_priors_fit_the_protocol(prior):
    assert isinstance(prior, Prior)
    view = prior.prepare(torch.rand(2, 3, 9, 5))
    assert view.shape == (2, prior.view_channels, *prior.size)
    assert prior.encode(view).shape == (2, prior.width)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", [(1, 9), (37, 53), (300, 20), (2100, 64)])
def test_a_view_is_what_torch_makes_of_the_picture(shape, channels_last):
    image = torch.rand(2, 3, *shape)
    image = image.to(memory_format=torch.channels_last) if channels_last else image
    means = F.adaptive_avg_pool2d(image, tuple(min(side, 32 * 16) for side in shape))
    expected = F.interpolate(means, size=(16, 16), mode="bicubic", antialias=True).clamp(0, 1)
    with torch.autocast("cpu", torch.bfloat16):  # nothing is rounded to half
        torch.testing.assert_close(whole_view(image, (16, 16)), expected, atol=2e-6, rtol=0)
