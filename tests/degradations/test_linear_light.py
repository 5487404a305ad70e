"""The transfer functions of sRGB against scikit-image's, and against each other."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2xyz

from pellucid.degradations.linear_light import encoded, linear


def test_linear_light_is_that_of_scikit_image():
    values = torch.linspace(0, 1, 1000, dtype=torch.float64)
    image = values[:, None, None].expand(-1, 1, 3).numpy()
    # Of a grey, Y is the linear value itself.
    np.testing.assert_allclose(linear(values).numpy(), rgb2xyz(image)[:, 0, 1], atol=1e-6)


def test_there_and_back_again():
    values = torch.linspace(-0.2, 1.3, 2000, dtype=torch.float64)
    torch.testing.assert_close(encoded(linear(values)), values, atol=2e-6, rtol=0)
    torch.testing.assert_close(linear(encoded(values)), values, atol=2e-6, rtol=0)


@pytest.mark.parametrize("curve", [linear, encoded])
def test_the_curves_rise_keep_their_ends_and_their_input(curve):
    values = torch.linspace(-0.1, 1.1, 5000)
    before = values.clone()
    assert (curve(values).diff() > 0).all()
    assert torch.equal(values, before)
    torch.testing.assert_close(curve(torch.tensor([0.0, 1.0])), torch.tensor([0.0, 1.0]))
