"""The luma against scikit-image's rgb2ycbcr."""

import numpy as np
import pytest
import torch
from skimage import data
from skimage.color import rgb2ycbcr

from pellucid.metrics import luma
from pellucid.metrics.colour import grey


def test_luma_agrees_with_scikit_image():
    rgb = data.coffee()[:37, :53]
    image = torch.from_numpy(rgb / 255).permute(2, 0, 1)[None]
    expected = rgb2ycbcr(rgb)[..., 0] / 255
    assert luma(image).shape == (1, 1, 37, 53)
    np.testing.assert_allclose(luma(image)[0, 0].numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(luma(image.float())[0, 0].numpy(), expected, atol=1e-7)


def test_the_range_of_luma():
    image = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert luma(image).flatten().tolist() == pytest.approx([16 / 255, 235 / 255], abs=1e-12)
    assert grey(image).flatten().tolist() == pytest.approx([0, 1], abs=1e-12)


def test_grey_is_the_full_range_luma():
    image = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).reshape(1, 3, 1, 1)
    torch.testing.assert_close(grey(image), (image * weights).sum(1, keepdim=True), atol=1e-6, rtol=0)
    assert torch.equal(grey(image[:, :1]), image[:, :1])


@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (1, 4, 4, 4), (3, 4, 4)])
def test_only_rgb_has_a_luma(shape):
    with pytest.raises(ValueError, match="B, 3, H, W"):
        luma(torch.zeros(shape))
