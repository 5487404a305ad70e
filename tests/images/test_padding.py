"""Padding, compared with numpy's reflection for every small size."""

import numpy as np
import pytest
import torch

from pellucid.images.padding import pad_around, pad_to, pad_to_multiple


@pytest.mark.parametrize("height", [1, 2, 3, 7])
@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("target", [(8, 8), (7, 23), (40, 1)])
def test_it_is_numpys_reflection(height, width, target):
    image = torch.rand(2, 3, height, width)
    grown = pad_to(image, *target)
    below, right = max(0, target[0] - height), max(0, target[1] - width)
    expected = np.pad(image.numpy(), ((0, 0), (0, 0), (0, below), (0, right)), mode="reflect")
    np.testing.assert_array_equal(grown.numpy(), expected)


@pytest.mark.parametrize("sides", [(1, 1), (2, 5), (7, 3)])
@pytest.mark.parametrize("margin", [0, 1, 4, 20])
def test_on_every_side_it_is_numpys_reflection(sides, margin):
    image = torch.rand(2, *sides)
    expected = np.pad(image.numpy(), ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
    np.testing.assert_array_equal(pad_around(image, margin).numpy(), expected)


def test_fitting_images_are_not_copied():
    image = torch.rand(1, 3, 16, 8)
    assert pad_to_multiple(image, 8) is image
    assert pad_to_multiple(torch.rand(1, 3, 17, 8), 8).shape == (1, 3, 24, 8)
