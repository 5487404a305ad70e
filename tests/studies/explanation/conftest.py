"""A small boosted model and small photographs."""

import pytest
import torch
from torch import nn

from pellucid.models.tables import build_network
from pellucid.priors import RandomVectors
from pellucid.refinement import PTGRM, Boosted
from support.explained import seeded, write_folder


@pytest.fixture
def boosted():
    """Makes a small boosted model with a PTG-RM at random weights, of these settings."""

    def make(prior=None, **settings):
        network = build_network("unet", {"widths": [8, 8], "blocks": [1, 1]})
        prior = RandomVectors(12) if prior is None else prior
        refinement = PTGRM(prior.width, **{"width": 4, "blocks": 1, **settings})
        nn.init.normal_(refinement.decoder.out.weight, std=0.05)
        return Boosted(network, prior, refinement).eval()

    return make


@pytest.fixture
def clean(tmp_path):
    """A folder of six photographs of different sizes."""
    return write_folder(
        tmp_path / "clean",
        {f"{index} ä.png": torch.rand(1, 3, 20 + index, 26, generator=seeded(index)) for index in range(6)},
    )
