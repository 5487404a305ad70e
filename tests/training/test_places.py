"""Paths in recipes: what stands for a folder of this machine when read, and stands there again when written."""

import os
from pathlib import Path

import pytest
import yaml
from small_runs import boosted_tree, run, tree

from pellucid.errors import DataError, SettingsError
from pellucid.models.file import describe_model
from pellucid.training.places import as_written, weights_root
from pellucid.training.settings import read_recipe
from pellucid.training.train import build_module


@pytest.fixture
def roots(tmp_path, monkeypatch):
    """Folders of data and weights that the environment names."""
    for variable, name in (("PELLUCID_DATA", "data"), ("PELLUCID_WEIGHTS", "weights")):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    return tmp_path


def test_placeholders_are_folders_once_read_and_placeholders_once_written(roots):
    recipe = tree("{data}/train/clean")
    recipe["network"]["weights"] = {"experts.0": "{weights}/a.safetensors", "experts.1": "runs/b.safetensors"}
    found = read_recipe(recipe, "test")
    assert found.data.folder == roots / "data/train/clean"
    assert found.network.weights == {
        "experts.0": roots / "weights/a.safetensors",
        "experts.1": Path("runs/b.safetensors"),
    }
    written = found.as_tree()
    assert written["data"]["folder"] == "{data}/train/clean"
    assert written["network"]["weights"] == recipe["network"]["weights"]
    assert read_recipe(written, "again") == found


def test_where_the_roots_are(tmp_path, monkeypatch):
    monkeypatch.delenv("PELLUCID_WEIGHTS", raising=False)
    monkeypatch.setenv("PELLUCID_DATA", str(tmp_path / "data"))
    assert weights_root() == tmp_path / "weights"
    assert read_recipe(tree("{data}"), "test").data.folder == tmp_path / "data"
    monkeypatch.setenv("PELLUCID_WEIGHTS", "elsewhere")
    assert weights_root() == Path("elsewhere")
    monkeypatch.setenv("PELLUCID_WEIGHTS", str(tmp_path / "data/weights"))
    assert as_written(tmp_path / "data/weights/a") == "{weights}/a"  # the inner one of two
    assert as_written(tmp_path / "data/a") == "{data}/a"
    assert as_written(tmp_path / "database/a") == str(tmp_path / "database/a")


def test_other_braces_are_refused():
    with pytest.raises(SettingsError, match=r"data\.folder: \{dta\} is no folder .* \{data\} or \{weights\}"):
        read_recipe(tree("{dta}/train"), "test")


def test_what_is_missing_names_the_key_and_the_variable(roots):
    with pytest.raises(DataError, match=r"folder: \{data\}/train is not there .*PELLUCID_DATA"):
        run(tree("{data}/train"), roots / "run")
    recipe = boosted_tree(roots / "data")
    recipe["prior"]["weights"] = "{weights}/prior.safetensors"
    with pytest.raises(DataError, match=r"prior\.weights: \{weights\}/prior\.safetensors .*PELLUCID_WEIGHTS"):
        run(recipe, roots / "run")
    assert not (roots / "run").exists()


def test_a_model_names_no_absolute_path_of_this_machine(photographs, tmp_path, monkeypatch):
    """Its run folder, which stays here, does: so the recipe there trains from any working directory."""
    monkeypatch.setenv("PELLUCID_DATA", str(photographs.parent))
    run(tree("{data}/" + photographs.name, steps=1), tmp_path / "run")
    for recipe in (
        describe_model(tmp_path / "run/model.safetensors").recipe,
        yaml.safe_load((tmp_path / "run/recipe.yaml").read_text()),
    ):
        assert recipe["data"]["folder"] == "{data}/" + photographs.name
    monkeypatch.delenv("PELLUCID_DATA")
    run(tree(photographs, steps=1), tmp_path / "other")
    header = describe_model(tmp_path / "other/model.safetensors")
    assert header.recipe["data"]["folder"] == os.path.relpath(photographs)
    assert yaml.safe_load((tmp_path / "other/recipe.yaml").read_text())["data"]["folder"] == str(photographs)
    build_module(read_recipe(header.recipe, "again"))  # relative to here, it is the same folder
    assert read_recipe(header.recipe, "again").data.folder.samefile(photographs)
