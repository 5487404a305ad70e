"""Steps of the loop: accumulated batches, what is frozen."""

import sys
import types

import pytest
import torch
from safetensors.torch import load_file
from small_runs import paired_tree, run, tree
from torch import nn

from pellucid.training.settings import read_recipe
from pellucid.training.train import build_module


class Normalised(nn.Module):
    """Two layers of somebody else, the first with statistics of its own."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.last = nn.Sequential(nn.Conv2d(4, 3, 3, padding=1), nn.BatchNorm2d(3))

    def forward(self, degraded):
        return self.last(self.first(degraded))


def test_what_is_frozen_keeps_its_statistics(photographs, tmp_path, monkeypatch):
    module = types.ModuleType("normalised")
    module.Normalised = Normalised
    monkeypatch.setitem(sys.modules, "normalised", module)
    recipe = tree(photographs, frozen=["network.first"])
    recipe["network"] = {"name": "external", "settings": {"target": "normalised:Normalised"}}
    read = read_recipe(recipe, "test")
    with pytest.warns(UserWarning, match=r"network\.first\.0\.weight of normalised:Normalised is frozen"):
        before = build_module(read).state_dict()
    with pytest.warns(UserWarning, match="no weights are given"):
        run(recipe, tmp_path / "run")
    after = load_file(tmp_path / "run/network.safetensors")
    assert float((after["last.1.running_mean"]).abs().max()) > 0
    assert torch.equal(after["first.1.running_mean"], before["network.first.1.running_mean"])
    assert after["first.1.num_batches_tracked"] == 0


def test_accumulated_batches_are_one_larger_batch(folders, tmp_path):
    """Two batches of one sample have the mean gradient of both; their samples are those of steps 1 and 2 without."""
    single = paired_tree(folders, batch=1, steps=2, warmup_steps=0, learning_rate=1e-12, loss="absolute")
    both = paired_tree(folders, batch=1, steps=1, warmup_steps=0, learning_rate=1e-12, loss="absolute", accumulate=2)
    first, second = run(single, tmp_path / "single").values()
    assert run(both, tmp_path / "both")[1] == pytest.approx((first + second) / 2, rel=1e-5)
