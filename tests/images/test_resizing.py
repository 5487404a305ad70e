"""Bicubic resizing, against the published small pictures, Pillow, and sums written out."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid import images
from pellucid.images.resizing import bicubic

SETS = Path(os.environ.get("PELLUCID_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "eval"


@pytest.mark.parametrize("name", ["set5/x4", "set5/x2"])
def test_published_small_pictures_come_out_to_the_last_bit(name):
    """Huang et al. made them with MATLAB's imresize; any other edge or rounding differs in some of their pixels."""
    folder = SETS / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    for path in sorted((folder / "low").iterdir()):
        small, clean = images.read(path).pixels, images.read(folder / "clean" / path.name).pixels
        assert torch.equal(images.quantise(bicubic(clean, *small.shape[2:], stored=True), 8), images.quantise(small, 8))


@pytest.mark.parametrize("size", [(9, 11), (20, 7), (80, 100)])
def test_inner_pixels_are_those_of_pillow(size):
    """Pillow's BICUBIC has the same kernel, and other edges."""
    picture = np.random.default_rng(0).integers(0, 256, (40, 44), dtype=np.uint8).astype(np.float32)
    there = np.array(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC))
    here = bicubic(torch.from_numpy(picture)[None, None] / 255, *size)[0, 0].numpy() * 255
    reach = max(1, -(-2 * size[0] // 40)), max(1, -(-2 * size[1] // 44))
    inner = slice(1 + reach[0], -1 - reach[0]), slice(1 + reach[1], -1 - reach[1])
    np.testing.assert_allclose(here[inner], there[inner], atol=0.02)


def test_a_value_is_the_weighted_sum_of_its_neighbours():
    """Halving: the eight neighbours at distances 1/4, 3/4, 5/4, 7/4 of the widened kernel, each twice."""
    row = torch.rand(1, 1, 1, 32, dtype=torch.float64)
    near = [1.5 * x**3 - 2.5 * x**2 + 1 for x in (0.25, 0.75)]
    far = [-0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 for x in (1.25, 1.75)]
    kernel = torch.tensor([*reversed(near + far), *near, *far], dtype=torch.float64)
    expected = (row[0, 0, 0, 13:21][:8] * kernel / kernel.sum()).sum()
    torch.testing.assert_close(bicubic(row, 1, 16)[0, 0, 0, 8], expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (13, 17)])
def test_one_colour_stays_that_colour_and_any_size_works(size):
    for sides in [(1, 1), (2, 9), (13, 17)]:
        image = torch.full((2, 3, *sides), 0.3)
        torch.testing.assert_close(bicubic(image, *size), torch.full((2, 3, *size), 0.3))
    image = torch.rand(3, 13, 17)
    assert bicubic(image, 13, 17) is image
