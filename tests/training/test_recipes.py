"""The recipes that come with the package: all are read, name no machine, and say how their weights are made."""

import math

import pytest

from pellucid.models.refinements import build_refinement
from pellucid.models.tables import NETWORKS
from pellucid.recipes import RECIPES, load_tree
from pellucid.training.encoder.settings import EncoderSettings
from pellucid.training.gate import GateSettings
from pellucid.training.overrides import override
from pellucid.training.settings import read_recipe
from pellucid.training.train import train


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


@pytest.mark.parametrize("name", [name for name in RECIPES if not name.startswith("ptgrm-")])
def test_r_of_our_own_recipes_is_bounded_and_its_t_learns_by_its_width(name):
    """In the paper's form M_s of `default` and of `denoise` ended at 0 or 1 in most places (experiment 60)."""
    recipe = read_recipe(load_tree(name), name)
    if recipe.refinement is not None:
        assert build_refinement(recipe.refinement.name, recipe.refinement.settings).settings["bounded"]
        assert recipe.train.prior_rate == "by-width"


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


@pytest.mark.slow
@pytest.mark.parametrize("refinement", ["ptgrm", "ptgrm-features"])
@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("ptgrm-")])
def test_recipes_of_the_papers_tables_train(name, refinement, photographs, folders, tmp_path):
    """Two steps on small pictures, with the network's smallest form and random numbers for the prior's."""
    if (name, refinement) == ("ptgrm-4-sci", "ptgrm-features"):
        pytest.skip("SCI's maps have three channels, as images have: there is nothing deeper to refine")
    tree = load_tree(name)
    kept = {key: tree["network"].get("settings", {}).get(key) for key in ("channels", "norm_bias")}
    kept = {key: value for key, value in kept.items() if value is not None}
    tree["network"]["settings"] = NETWORKS[tree["network"]["name"]].tiny().settings | kept
    tree["prior"] = {"name": "random:8"}
    tree["refinement"]["name"] = refinement
    data = tree["data"]
    if "folder" in data:
        data["folder"] = str(photographs)
    else:
        known = {"degraded": "dark", "right": "dark", "clean": "clean"}
        data["pairs"] = {key: str(folders / known[key]) for key in data["pairs"]}
    data |= {"crop": 32, "validation": 2}
    tree["train"] |= {"steps": 2, "warmup_steps": 1, "validate_steps": 2, "precision": "float32"}
    losses = [step.loss for step in train(read_recipe(tree, name), tmp_path / "run")]
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)
    assert (tmp_path / "run/model.safetensors").is_file()


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("ptgrm-") or name.endswith("-boost")])
def test_the_paper_s_rows_have_the_paper_s_refinement_and_other_boosts_the_form_that_hears_more(name):
    recipe = read_recipe(load_tree(name), name)
    made = build_refinement(recipe.refinement.name, {**recipe.refinement.settings, "prior_width": 512})
    # As many as the authors' code has, and the mask of equation (1).
    is_papers = sum(value.numel() for value in made.parameters()) == 671_735 + 3 * (16 * 9 + 1)
    assert is_papers == name.startswith("ptgrm-")
    assert made.settings["bounded"] == (recipe.train.prior_rate == "by-width") == (not is_papers)
    for form in ("paper", "reference"):  # which can be asked for all the same
        tree = load_tree(name)
        override(tree, f"refinement.settings.form={form}")
        settings = read_recipe(tree, name).refinement.settings
        other = build_refinement(recipe.refinement.name, {**settings, "prior_width": 512})
        assert (other.settings["form"], other.settings["bounded"]) == (form, False)
