"""A model whose prior is elsewhere finds its weights where the recipe says, on whatever machine."""

import pytest
import torch
from safetensors.torch import save_file

from pellucid.errors import ModelError
from pellucid.models.load import load_model
from pellucid.models.priors import find_prior
from pellucid.models.save import save_model
from pellucid.networks import UNet
from pellucid.priors.imagenet import SqueezeNet
from pellucid.refinement import PTGRM, Boosted


def test_the_folder_of_weights_is_that_of_this_machine(tmp_path, monkeypatch):
    weights = tmp_path / "weights"
    weights.mkdir()
    save_file(SqueezeNet().state_dict(), weights / "squeezenet.safetensors")
    prior = find_prior("squeezenet1_0", weights=weights / "squeezenet.safetensors")
    model = Boosted(UNet.tiny(), prior, PTGRM(prior.width, width=4, blocks=1))
    file = tmp_path / "model.safetensors"
    save_model(model, file, recipe={"prior": {"weights": "{weights}/squeezenet.safetensors"}})
    monkeypatch.setenv("PELLUCID_WEIGHTS", str(weights))
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(load_model(file).module(image), model.eval()(image))
    monkeypatch.setenv("PELLUCID_WEIGHTS", str(tmp_path))
    with pytest.raises(ModelError, match="needs the prior"):
        load_model(file)
