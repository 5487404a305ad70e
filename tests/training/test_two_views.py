"""Training on the two views of a dual-pixel sensor: what a recipe says, and what is refused."""

import math
import re

import pytest
import torch

import pellucid
from pellucid import images
from pellucid.errors import DataError, ModelError, SettingsError
from pellucid.models.load import load_model
from pellucid.models.save import save_model
from pellucid.networks import Restormer
from pellucid.training.settings import read_recipe
from pellucid.training.train import train


@pytest.fixture
def views(tmp_path):
    """Six scenes whose views are moved against each other, as out of focus, and are dark."""
    generator = torch.Generator().manual_seed(3)
    for name in ("left", "right", "clean"):
        (tmp_path / name).mkdir()
    for scene in range(6):
        clean = torch.rand(1, 3, 40, 44, generator=generator)
        for name, moved in (("left", 2), ("right", -2), ("clean", 0)):
            pixels = clean.roll(moved, 3) * (1.0 if name == "clean" else 0.5)
            images.write(images.Photograph(pixels), tmp_path / name / f"{scene}.png")
    return tmp_path


FOLDERS = {"degraded": "left", "right": "right", "clean": "clean"}


def recipe_of(folder, **changes):
    tree = {
        "name": "two-views",
        "summary": "a test",
        "network": {"name": "restormer", "settings": Restormer.tiny().settings | {"channels": 6}},
        "prior": {"name": "statistics"},
        "refinement": {"name": "ptgrm"},
        "data": {
            "pairs": {key: str(folder / name) for key, name in FOLDERS.items()},
            "crop": 32,
            "validation": 2,
        },
        "train": {"steps": 3, "batch": 2, "warmup_steps": 1, "validate_steps": 3, "precision": "float32"},
    }
    for key, value in changes.items():
        tree[key] = tree[key] | value
    return tree


@pytest.mark.parametrize("alone", [False, True])
def test_a_network_of_six_channels_learns_from_both_views(views, tmp_path, alone):
    tree = recipe_of(views)
    if alone:
        tree["prior"] = tree["refinement"] = None
    steps = list(train(read_recipe(tree, "two-views"), tmp_path / "run"))
    assert len(steps) == 3
    assert all(math.isfinite(step.loss) for step in steps)
    module = load_model(tmp_path / "run/model.safetensors").module
    both = torch.rand(1, 6, 32, 32)
    assert module(both).shape == (1, 3, 32, 32)
    assert not torch.equal(module(both), module(torch.cat([both[:, 3:], both[:, :3]], 1)))


def test_a_view_without_its_partner_is_named(views, tmp_path):
    (views / "right/3.png").unlink()
    with pytest.raises(DataError, match=re.escape("1 files without a partner of the same name: ") + ".*left/3.png"):
        list(train(read_recipe(recipe_of(views), "two-views"), tmp_path / "run"))


def test_a_view_of_another_size_is_named(views, tmp_path):
    images.write(images.Photograph(torch.rand(1, 3, 40, 40)), views / "right/0.png")
    tree = recipe_of(views, train={"steps": 20, "validate_steps": 20})
    with pytest.raises(DataError, match=r"left/0\.png: of another size than its right view .*\(44 x 40 and 40 x 40\)"):
        list(train(read_recipe(tree, "two-views"), tmp_path / "run"))


def test_channels_and_views_go_together(views, tmp_path):
    one = recipe_of(views)
    del one["data"]["pairs"]["right"]
    with pytest.raises(SettingsError, match="takes two views of a dual-pixel sensor, and here is one"):
        list(train(read_recipe(one, "two-views"), tmp_path / "one"))
    colour = recipe_of(views, network={"settings": Restormer.tiny().settings})
    with pytest.raises(SettingsError, match=r"data\.pairs\.right: this network takes one picture"):
        list(train(read_recipe(colour, "two-views"), tmp_path / "colour"))


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"degradations": ["noise sigma=10"]}},
        {"data": {"match_exposure": True}},
        {"data": {"whole": "whole"}},
        {"network": {"cache": "outputs"}, "train": {"freeze_network": True}},
    ],
)
def test_nothing_else_goes_with_two_views(views, changes):
    tree = recipe_of(views)
    for key, value in changes.items():
        tree[key] |= value
    with pytest.raises(SettingsError, match=r"pairs\.right"):
        read_recipe(tree, "two-views")


def test_a_network_of_two_views_refuses_a_photograph_in_words(tmp_path):
    network = Restormer(**(Restormer.tiny().settings | {"channels": 6}))
    save_model(network, tmp_path / "six.safetensors")
    with pytest.raises(ModelError, match="takes the two views of a dual-pixel sensor, six channels"):
        pellucid.load(tmp_path / "six.safetensors")(torch.rand(1, 3, 32, 32))
