"""Checkpoints: a run that was interrupted and resumed equals one that was not, with all that is drawn."""

import sys
import types
from pathlib import Path

import pytest
import torch
from small_runs import EXPERT, boosted_pairs_tree, boosted_tree, guided_tree, run, tree

from pellucid.checkpoints import load_weights
from pellucid.errors import DataError, ModelError
from pellucid.models.load import load_model
from pellucid.networks import External
from pellucid.priors import Statistics
from pellucid.refinement import Boosted
from pellucid.training.checkpoint import load_checkpoint, save_checkpoint
from pellucid.training.settings import read_recipe
from pellucid.training.train import prepare


def test_interrupted_and_resumed_equals_uninterrupted(photographs, tmp_path):
    whole = run(tree(photographs, checkpoint_minutes=1e-9), tmp_path / "whole")
    run(tree(photographs, checkpoint_minutes=1e-9), tmp_path / "cut", stop_at=3)
    resumed = run(tree(photographs, checkpoint_minutes=1e-9), tmp_path / "cut", resume=True)
    assert sorted(resumed) == [4, 5, 6]
    assert all(resumed[number] == whole[number] for number in resumed)
    first, second = (load_model(tmp_path / name / "model.safetensors").module.state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(first[key], second[key]) for key in first)


class Dropping(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Conv2d(3, 3, 3, padding=1), torch.nn.Dropout(0.5))


def test_a_boosted_run_with_dropout_resumes_exactly(photographs, tmp_path, monkeypatch):
    """The random numbers that torch draws for itself are part of the state."""
    module = types.ModuleType("dropping")
    module.Dropping = Dropping
    monkeypatch.setitem(sys.modules, "dropping", module)

    recipe = boosted_tree(photographs, checkpoint_minutes=1e-9)
    recipe["network"] = {"name": "external", "settings": {"target": "dropping:Dropping"}}
    whole = run(recipe, tmp_path / "whole")
    run(recipe, tmp_path / "cut", stop_at=3)
    torch.manual_seed(123)
    resumed = run(recipe, tmp_path / "cut", resume=True)
    assert all(resumed[number] == whole[number] for number in (4, 5, 6))
    # The network is not ours to store in a model file; its weights are beside it, and they fit together again.
    network = External("dropping:Dropping")
    loaded = load_model(tmp_path / "cut/model.safetensors", network=network).module
    assert isinstance(loaded, Boosted)
    assert loaded.network is network
    alone = Dropping()
    load_weights(alone, tmp_path / "cut/network.safetensors")
    assert all(torch.equal(value, network.network.state_dict()[key]) for key, value in alone.state_dict().items())


def test_a_guided_network_trains_under_the_shuffled_control_and_resumes_exactly(photographs, tmp_path):
    recipe = guided_tree(photographs, checkpoint_minutes=1e-9)
    recipe["prior"] = {"name": "statistics", "shuffled": True}
    recipe["network"]["settings"] = recipe["network"]["settings"] | {"prior_width": Statistics().width}
    full = run(recipe, tmp_path / "full")
    run(recipe, tmp_path / "cut", stop_at=3)
    assert {**full, **run(recipe, tmp_path / "cut", resume=True)} == full


def test_interrupted_and_resumed_equals_uninterrupted_with_all_that_is_drawn(folders, tmp_path):
    recipe = boosted_pairs_tree(
        folders, checkpoint_minutes=1e-9, prior_dropout=0.5, accumulate=2, loss="charbonnier + 0.1 ssim"
    )
    recipe["prior"]["shuffled"] = True
    whole = run(recipe, tmp_path / "whole")
    run(recipe, tmp_path / "cut", stop_at=3)
    resumed = run(recipe, tmp_path / "cut", resume=True)
    assert sorted(resumed) == [4, 5, 6]
    assert all(resumed[number] == whole[number] for number in resumed)
    first, second = (load_model(tmp_path / name / "model.safetensors").module.state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(photographs, tmp_path, monkeypatch):
    training, _ = prepare(read_recipe(tree(photographs), "test"), tmp_path)
    save_checkpoint(training)
    before = training.checkpoint.read_bytes()

    def full(state, file):
        Path(file).write_bytes(b"half")
        raise RuntimeError("no space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DataError, match=r"checkpoint\.pt: the checkpoint cannot be written .*no space left"):
        save_checkpoint(training)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert training.checkpoint.read_bytes() == before


def test_a_checkpoint_of_another_module_is_refused(photographs, tmp_path):
    training, _ = prepare(read_recipe(tree(photographs), "test"), tmp_path)
    save_checkpoint(training)
    other = tree(photographs) | {"network": EXPERT}
    another, _ = prepare(read_recipe(other, "test"), tmp_path)
    with pytest.raises(ModelError, match=r"checkpoint\.pt: not a checkpoint of this recipe"):
        load_checkpoint(another)
