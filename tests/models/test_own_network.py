"""Model files that are for a network of the user's own: where it comes from, and that it is the right one."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import pellucid
from pellucid.errors import ModelError
from pellucid.models.file import describe_model
from pellucid.models.load import load_model, load_network_weights
from pellucid.models.own_network import save_own_network
from pellucid.models.save import save_model
from pellucid.networks import External, UNet
from pellucid.priors import Zeros
from pellucid.refinement import PTGRM, Boosted

SOURCE = """
from pathlib import Path

import torch
from torch import nn

with open(Path(__file__).with_name("imported"), "a") as file:
    file.write("once more ")


class Plain(nn.Module):
    def __init__(self, gain=1.0):
        super().__init__()
        self.gain = gain
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.again = nn.Conv2d(3, 3, 3, padding=1)
        self.again.weight = self.first.weight  # tied
        self.normalise = nn.BatchNorm2d(3)

    def forward(self, image):
        assert image.max() > 2
        return self.normalise(self.again(self.first(image))) * self.gain, image
"""
SETTINGS = {"target": "plain_networks:Plain", "arguments": {"gain": 0.5}, "high": 255, "output": 0}
RECIPE = {"name": "test", "network": {"name": "external", "settings": SETTINGS}}


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """The folder of a module of networks, which says in a file how often it was imported."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "plain_networks.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("plain_networks", None)


@pytest.fixture
def made(networks, tmp_path):
    """A boosted network and its model file, as training leaves them."""
    torch.manual_seed(1)
    network = External(**SETTINGS)
    network.network.normalise.running_mean.fill_(3.0)
    boosted = Boosted(network, Zeros(8), PTGRM(8, width=4, blocks=1)).eval()
    nn.init.normal_(boosted.refinement.decoder.out.weight, std=0.1)
    folder = tmp_path / "run"
    folder.mkdir()
    assert save_own_network(boosted, folder)
    save_model(boosted, folder / "model.safetensors", recipe=RECIPE, card={})
    # As in another process that has imported nothing yet.
    del sys.modules["plain_networks"]
    (networks / "imported").unlink()
    return boosted, folder / "model.safetensors"


def plain(gain=0.5):
    import plain_networks

    return plain_networks.Plain(gain)


def same(loaded, boosted):
    image = torch.rand(1, 3, 9, 12)
    return torch.allclose(loaded.eval()(image), boosted(image), atol=1e-6)  # a restorer's maps lie channels last


def test_it_is_imported_only_when_somebody_asks_for_it(made, networks):
    boosted, path = made
    describe_model(path).as_dict()
    for load in (load_model, pellucid.load):
        with pytest.raises(ModelError, match=r"your own; --import-network .* pellucid\.load\(file, network=\.\.\.\)"):
            load(path)
    assert "plain_networks" not in sys.modules
    assert not (networks / "imported").exists()
    assert same(load_model(path, import_network=True).module, boosted)
    assert same(pellucid.load(path, import_network=True).model, boosted)
    assert (networks / "imported").read_text() == "once more "


def test_nothing_is_imported_where_the_weights_are_not_those_of_the_file(made, networks):
    _, path = made
    beside = path.with_name("network.safetensors")
    weights = load_file(beside)
    weights["first.bias"] += 1
    save_file(weights, beside)
    with pytest.raises(ModelError, match=r"network\.safetensors: holds other weights than those"):
        load_model(path, import_network=True)
    beside.unlink()
    with pytest.raises(ModelError, match=r"network\.safetensors: the weights of the network of model\.safetensors"):
        load_model(path, import_network=True)
    assert not (networks / "imported").exists()


def test_it_is_given_as_it_is_or_adapted(made):
    boosted, path = made
    for network in (plain(), External(plain(), high=255, output=0)):
        # Its weights are other ones, and are replaced by those that the file was made with.
        assert same(load_model(path, network=network).module, boosted)
    right = External(**SETTINGS)
    right.load_state_dict(boosted.network.state_dict())
    path.with_name("network.safetensors").unlink()  # not needed where the weights are there already
    assert load_model(path, network=right).module.network is right
    assert same(pellucid.load(path, network=right.network).model, boosted)


def test_a_network_that_does_not_fit_is_refused(made):
    _, path = made
    with pytest.raises(ModelError, match="weights of its network do not fit Conv2d"):
        load_model(path, network=nn.Conv2d(3, 3, 3, padding=1))
    network = plain()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    beside = path.with_name("network.safetensors")
    save_file({key: value + 1 for key, value in load_file(beside).items()}, beside)
    with pytest.raises(ModelError, match="holds other weights than those"):
        load_model(path, network=network)
    beside.unlink()
    with pytest.raises(
        ModelError, match=r"with other weights than the one given, and no model\.network\.safetensors or network"
    ):
        load_model(path, network=network)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_model_of_ours_takes_no_other_network(tmp_path):
    save_model(UNet.tiny(), tmp_path / "m.safetensors", recipe={}, card={})
    with pytest.raises(ModelError, match="has a network of its own"):
        pellucid.load(tmp_path / "m.safetensors", network=UNet.tiny())
    assert load_model(tmp_path / "m.safetensors", import_network=True).header.network["name"] == "unet"


def test_weights_that_are_tied_stay_so(made):
    boosted, path = made
    stored = load_file(path.with_name("network.safetensors"))
    assert stored.keys() == boosted.network.network.state_dict().keys()
    assert torch.equal(stored["first.weight"], stored["again.weight"])
    inner = load_model(path, import_network=True).module.network.network
    assert inner.first.weight is inner.again.weight


def test_one_alone_has_a_model_file_beside_its_weights(networks, tmp_path):
    network = External(**SETTINGS).eval()
    with pytest.raises(ModelError, match="nothing of ours to store"):
        save_model(network, tmp_path / "model.safetensors", recipe=RECIPE, card={})
    save_own_network(network, tmp_path)
    save_model(network, tmp_path / "model.safetensors", recipe=RECIPE, card={})
    assert same(load_model(tmp_path / "model.safetensors", import_network=True).module, network)
    # A recipe may name either file for the network to begin with.
    for name in ("model.safetensors", "network.safetensors"):
        other = External(**SETTINGS).eval()
        load_network_weights(other, tmp_path / name)
        assert same(other, network)
    assert not save_own_network(UNet.tiny(), tmp_path / "nowhere")


def test_weights_that_are_not_finite_are_not_stored(networks, tmp_path):
    network = External(**SETTINGS)
    nn.init.constant_(network.network.first.bias, float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        save_own_network(network, tmp_path)
    assert not (tmp_path / "network.safetensors").exists()


def test_what_cannot_be_imported_is_said(made, networks):
    _, path = made
    (networks / "plain_networks.py").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors: .*cannot import 'plain_networks' .*PYTHONPATH"):
        load_model(path, import_network=True)


def test_a_file_whose_recipe_names_no_network_needs_it_from_python(tmp_path):
    network = nn.Conv2d(3, 3, 3, padding=1)
    boosted = Boosted(network, Zeros(8), PTGRM(8, width=4, blocks=1)).eval()
    path = tmp_path / "m.safetensors"
    for recipe in ({}, {"network": {"name": "unet", "settings": {}}}, {"network": {"name": "external", "settings": 3}}):
        save_model(boosted, path, recipe=recipe, card={})
        with pytest.raises(ModelError, match="does not say which network to import"):
            load_model(path, import_network=True)
        assert load_model(path, network=network).module.network is network
    header = describe_model(path).as_dict() | {"network": {}}
    save_file({"a": torch.zeros(1)}, path, metadata={"pellucid": json.dumps(header)})
    with pytest.raises(ModelError, match="does not describe a model"):
        load_model(path, network=network)
