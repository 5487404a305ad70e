"""A tiny boosted model, in its file."""

import pytest
import torch

from pellucid.models.save import save_model
from pellucid.networks import UNet
from pellucid.priors import Student
from pellucid.refinement import PTGRM, Boosted


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    module = Boosted(UNet.tiny(), Student(8, size=32, channels=(4,), texture=(4,)), PTGRM(8, width=4, blocks=1))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(module, path, recipe={"name": "tiny"}, card={"licence": "Apache-2.0", "summary": "for tests"})
    return path
