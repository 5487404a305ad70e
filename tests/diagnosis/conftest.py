"""Tiny diagnosers, in the folders that training would leave."""

import pytest
import torch

from pellucid.diagnosis import Diagnoser, Heads, features_width
from pellucid.priors.degradation_encoder import DegradationEncoder
from support.diagnosers import SMALL, write_diagnoser


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
    """The diagnoser's folder."""
    return write_diagnoser(diagnoser, tmp_path / "encoder")


@pytest.fixture
def photograph():
    """A smooth picture (3, 60, 90) with an edge."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 60), torch.linspace(0, 1, 90), indexing="ij")
    return torch.stack([rows, columns, (columns > 0.4).float()])
