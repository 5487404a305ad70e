"""A model that changes nothing, and photographs for it."""

import pytest
import torch
from torch import nn

from pellucid import images
from pellucid.models.save import save
from pellucid.networks import Identity
from pellucid.restoration.restorer import Restorer


@pytest.fixture
def restorer():
    return Restorer(nn.Identity())


@pytest.fixture(scope="session")
def identity(tmp_path_factory):
    """The file of a model that changes nothing."""
    path = tmp_path_factory.mktemp("identity") / "identity.safetensors"
    save(Identity(), path)
    return path


@pytest.fixture
def picture():
    """Writes a picture of noise, which differs with its seed, and returns its path."""

    def written(path, seed=0, side=8):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed))
        images.write(images.Photograph(pixels), path)
        return path

    return written
