"""Tiny models that colour and fill, in their files."""

import pytest
import torch

from pellucid.models.save import save_model
from pellucid.networks import Colorizer, Inpainter


@pytest.fixture(scope="session")
def colorizer(tmp_path_factory):
    torch.manual_seed(1)
    network = Colorizer(widths=(8, 16), blocks=(1, 1), told=64, side=16)
    torch.nn.init.normal_(network.unet.tail.weight, std=0.3)  # so that there are colours to speak of
    path = tmp_path_factory.mktemp("colorizer") / "tiny.safetensors"
    save_model(network, path)
    return path


@pytest.fixture(scope="session")
def inpainter(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("inpainter") / "tiny.safetensors"
    save_model(Inpainter.tiny(), path)
    return path
