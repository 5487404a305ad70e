"""The recipes that come with the package: all are read, name no machine, and say how their weights are made."""

import pytest

from pellucid.recipes import RECIPES, load_tree
from pellucid.training.encoder.settings import EncoderSettings
from pellucid.training.gate import GateSettings
from pellucid.training.settings import read_recipe


def texts(tree):
    """Every text in a tree."""
    if isinstance(tree, dict | list):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from texts(value)
    elif isinstance(tree, str):
        yield tree


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_complete_and_of_no_machine(name):
    tree = load_tree(name)
    assert read_recipe(tree, name).name == name
    for text in texts(tree):
        assert not text.startswith(("/", "..", "~")), text


@pytest.mark.parametrize("name", ["restore", "restore-fast"])
def test_a_gate_s_settings_are_written_out(name):
    tree = load_tree(name)
    assert tree["gate"].keys() == GateSettings.model_fields.keys()
    assert tree["gate"]["cost"].keys() == GateSettings().cost.model_dump().keys()
    assert tree["policy"] == {"passes": 3, "align_blocks": True, "leave_alone": True}
    assert read_recipe(tree, name).gate == GateSettings()


def test_the_encoder_s_settings_are_written_out():
    tree = load_tree("degradation-encoder")
    assert tree["encoder"].keys() == EncoderSettings.model_fields.keys()
    for section in ("heads", "spectrum", "calibration"):
        assert tree["encoder"][section].keys() == getattr(EncoderSettings(), section).model_dump().keys()


@pytest.mark.parametrize("name", RECIPES)
def test_a_cropped_jpeg_is_aligned_where_the_prior_is_the_diagnosis(name):
    recipe = read_recipe(load_tree(name), name)
    diagnosing = recipe.prior is not None and recipe.prior.name == "diagnosis"
    assert recipe.policy.align_blocks == diagnosing
