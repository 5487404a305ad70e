"""Small photographs to train on, written once."""

import pytest
import torch

from pellucid import images


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """Six small pictures with structure: ramps, edges and texture."""
    folder = tmp_path_factory.mktemp("clean")
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(40.0), indexing="ij")
    for index in range(6):
        a, b, c = torch.rand(3, generator=generator)
        plane = torch.stack(
            [(a * rows / 48 + b * columns / 40) / 2, (rows > 48 * c).float(), torch.sin(columns * a) / 2 + 0.5]
        )
        images.write(images.Photograph(plane[None].clamp(0, 1)), folder / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Twelve scenes, each with two dark and noisy versions, and a whole photograph of which they are the middle."""
    root = tmp_path_factory.mktemp("pairs")
    generator = torch.Generator().manual_seed(0)
    for name in ("dark", "clean", "whole"):
        (root / name).mkdir()
    for scene in range(1, 13):
        whole = torch.rand(1, 3, 48, 48, generator=generator)
        clean = whole[:, :, 8:40, 12:44]
        images.write(images.Photograph(clean), root / f"clean/{scene}.png")
        for version in (1, 2):
            images.write(images.Photograph(clean * 0.2 * version), root / f"dark/{scene}_{version}.png")
            images.write(images.Photograph(whole * 0.2 * version), root / f"whole/{scene}_{version}.png")
    return root


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Five small pictures with structure, and two that are hazy."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(56.0), indexing="ij")
    for index in range(7):
        a, b, c = torch.rand(3, generator=generator)
        plane = torch.stack(
            [(a * rows / 40 + b * columns / 56) / 2, (rows > 40 * c).float(), (columns * a).sin() / 2 + 0.5]
        )
        place = folder / ("clean" if index < 5 else "hazy")
        place.mkdir(exist_ok=True)
        images.write(images.Photograph(plane[None].clamp(0, 1)), place / f"{index}.png")
    return folder
