"""A folder of photographs of ugly sizes."""

import pytest
import torch

from pellucid import images


@pytest.fixture
def folder(tmp_path):
    for index, size in enumerate([(30, 20), (12, 50), (1, 1)]):
        pixels = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(index))
        images.write(images.Photograph(pixels), tmp_path / f"日本 {index}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


@pytest.fixture
def cut(tmp_path):
    """A crop of 40 x 48 pixels, from row 13 and column 30, of a textured photograph stored averaged down by two."""
    photograph = torch.rand(1, 3, 120, 160, generator=torch.Generator().manual_seed(5))
    stored = {"crop": photograph[..., 13:53, 30:78], "whole": torch.nn.functional.avg_pool2d(photograph, 2)}
    for name, pixels in stored.items():
        images.write(images.Photograph(pixels), tmp_path / f"{name}.png")
    return [tmp_path / f"{name}.png" for name in stored]
