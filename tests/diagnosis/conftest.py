"""Tiny diagnosers, in the folders that training would leave."""

import json

import pytest
import torch

from pellucid.diagnosis import Diagnoser, Heads, features_width, save_diagnoser
from pellucid.priors.degradation_encoder import DegradationEncoder

SMALL = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "projection_dim": 12,
}


@pytest.fixture
def diagnoser():
    """With random weights, and something in every buffer."""
    encoder = DegradationEncoder(SMALL)
    heads = Heads(features_width(encoder), 8)
    heads.temperature.uniform_(0.5, 2)
    heads.margin.uniform_(-5, 5)
    return Diagnoser(encoder, heads, {"name": "tiny"})


@pytest.fixture
def folder(diagnoser, tmp_path):
    """The diagnoser's folder; its weights and config are written as transformers names them."""
    from safetensors.torch import save_file

    place = tmp_path / "encoder"
    place.mkdir()
    save_file(diagnoser.encoder.tower.state_dict(), place / "model.safetensors")
    (place / "config.json").write_text(json.dumps({"vision_config": diagnoser.encoder.settings}))
    save_diagnoser(diagnoser, place)
    return place


@pytest.fixture
def photograph():
    """A smooth picture (3, 60, 90) with an edge."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 60), torch.linspace(0, 1, 90), indexing="ij")
    return torch.stack([rows, columns, (columns > 0.4).float()])
