"""Recipes: wrong keys and values are named."""

import json

import pytest
from small_runs import EXPERT, paired_tree, tree

from pellucid.errors import SettingsError
from pellucid.training.overrides import override
from pellucid.training.settings import read_recipe


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("train.step", 3, "unknown key 'step'; did you mean 'steps'"),
        ("netwrok", {}, "unknown key 'netwrok'; did you mean 'network'"),
        ("train.batch", 0, "train.batch"),
        ("data.degradations", [], "data.degradations"),
        ("network.weights", {"experts.0": 3}, r"mine\.yaml: network\.weights: "),
        ("network.weights", {"experts.0:x": None}, r"mine\.yaml: network\.weights: "),
        ("refinement", {"name": "ptgrm"}, "prior and refinement go together"),
        ("train.seed", 2**70, "train.seed"),
        ("train.refined_weight", 0, r"train\.refined_weight"),
        ("train.prior_dropout", 0.5, "there is no prior"),
        ("refinement.weights", "x", "unknown key 'weights'"),
        ("train.beta2", 1, r"train\.beta2"),
        ("gate.exmaples", 3, "unknown key 'exmaples'; did you mean 'examples'.*gate"),
        ("gate.cost.stps", 3, r"did you mean 'steps'.*gate\.cost"),
        ("gate.examples", 3, "gate is for network 'experts'; 'unet' has none"),
        ("encoder.heads.epoch", 3, r"did you mean 'epochs'.*encoder\.heads"),
        ("encoder.calibration.draws", 0, r"encoder\.calibration\.draws"),
    ],
)
def test_wrong_recipes_name_the_key(photographs, path, value, message):
    recipe_tree = tree(photographs)
    override(recipe_tree, f"{path}={json.dumps(value)}")
    with pytest.raises(SettingsError, match=message):
        read_recipe(recipe_tree, "mine.yaml")


@pytest.mark.parametrize("before", [None, {"experts.1": "one"}])
def test_weights_may_be_given_by_nested_names(photographs, before):
    recipe = tree(photographs) | {"network": EXPERT | {"weights": before and dict(before)}}
    override(recipe, "network.weights.experts.0=zero")
    found = read_recipe(recipe, "test").network.weights
    assert {name: str(file) for name, file in found.items()} == (before or {}) | {"experts.0": "zero"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "give either folder with degradations, or pairs"),
        ({"pairs": {"degraded": "a"}, "folder": "b"}, "give either folder with degradations, or pairs"),
        ({"folder": "b"}, "folder and degradations go together"),
        (
            {"pairs": {"degraded": "a"}, "degradations": ["noise sigma=1"], "whole": "c"},
            "degradations are done to crops",
        ),
        ({"folder": "b", "degradations": ["noise sigma=1"], "whole": "c"}, "whole is for pairs"),
        ({"pairs": {"degraded": "a"}, "grey": 0.5}, "grey is for folder"),
        ({"pairs": {"clean": "a"}}, r"data\.pairs\.degraded"),
        ({"pairs": {"degraded": "a", "cleen": "b"}}, r"unknown key 'cleen'; did you mean 'clean'.*data\.pairs"),
        ({"pairs": {"degraded": "a"}, "view": "half"}, r"data\.view"),
        ({"pairs": {"degraded": "a"}, "window": 64}, "window is for folder"),
        ({"pairs": {"degraded": "a"}, "enlarged": 0.5}, "enlarged is for folder"),
        ({"pairs": {"degraded": "a"}, "photographed": 0.5}, "photographed is for folder"),
        ({"pairs": {"degraded": "a"}, "kind": "mist"}, "unknown kind of degradation 'mist'"),
        ({"pairs": {"degraded": "a"}, "match_exposure": True}, "match_exposure: needs clean partners"),
        ({"folder": "b", "degradations": ["clean"], "match_exposure": True}, "match_exposure is for pairs"),
        ({"folder": "b", "degradations": {}}, r"data\.degradations"),
        ({"folder": "b", "degradations": {"noise sigma=1": 0}}, r"data\.degradations"),
        ({"sources": []}, r"data\.sources"),
        ({"sources": [{"folder": "b", "degradations": ["clean"]}], "grey": 0.5}, "grey: with sources, each of them"),
        ({"sources": [{"folder": "b", "degradations": ["clean"]}], "validation": 0}, "validation: with sources"),
        ({"sources": [{"weight": 2}]}, r"data\.sources\.0: give either folder"),
        ({"sources": [{"folder": "b", "degradatons": ["clean"]}]}, r"did you mean 'degradations'.*data\.sources\.0"),
    ],
)
def test_wrong_data_sections_name_the_key(folders, data, message):
    with pytest.raises(SettingsError, match=message):
        read_recipe(paired_tree(folders) | {"data": data}, "mine.yaml")
