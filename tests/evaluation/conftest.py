"""A folder of small photographs, and the way from one to its scores."""

import pytest
import torch

from pellucid import images


@pytest.fixture
def clean(tmp_path):
    folder = tmp_path / "clean"
    folder.mkdir()
    for index in range(3):
        pixels = torch.rand(1, 3, 20, 24 + index, generator=torch.Generator().manual_seed(index))
        images.write(images.Photograph(pixels), folder / f"{index}.png")
    return folder
