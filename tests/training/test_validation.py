"""Scores on photographs that are held out."""

import json

import pytest
import torch
from small_runs import logged, paired_tree, run, tree

from pellucid import images
from pellucid.data.folders import list_photographs
from pellucid.guidance import NOTHING, Guidance
from pellucid.models.file import describe_model
from pellucid.models.load import load_model
from pellucid.refinement.spatial import RangeMap


def test_validation_is_as_often_as_asked(photographs, tmp_path):
    run(tree(photographs, steps=5, validate_steps=2), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "psnr" in line] == [2, 4, 5]


def test_the_score_is_that_of_the_held_out_pairs_whole(folders, tmp_path):
    run(paired_tree(folders, average=0.0), tmp_path / "run")
    network = load_model(tmp_path / "run/model.safetensors").module
    scores = []
    for path in list_photographs(folders / "dark"):
        if int(path.stem.split("_")[0]) >= 10:
            clean = images.read(folders / f"clean/{path.stem.split('_')[0]}.png").pixels
            with torch.no_grad():
                error = (network(images.read(path).pixels).clamp(0, 1) - clean).square().mean()
            scores.append(float(-10 * error.log10()))
    assert logged(tmp_path / "run")[-1]["psnr"] == pytest.approx(sum(scores) / len(scores), abs=2e-3)
    trained = describe_model(tmp_path / "run/model.safetensors").card["trained"]
    assert trained["photographs"] == 18
    assert trained["degradations"] == ["real photographs, paired"]


def test_saturated_weights_of_r_are_counted_and_said(folders, tmp_path, monkeypatch):
    recipe = paired_tree(folders, steps=1)
    recipe |= {"prior": {"name": "zeros:8"}, "refinement": {"name": "ptgrm", "settings": {"width": 4, "blocks": 1}}}
    run(recipe, tmp_path / "usual")
    assert logged(tmp_path / "usual")[-1]["saturated"] == {
        "range_map": 0.0,
        "channel_attention": 0.0,
        "spatial_attention": 0.0,
    }
    monkeypatch.setattr(RangeMap, "forward", lambda self, features, *_: torch.ones_like(features[:, :1]))
    with pytest.warns(UserWarning, match=r"100% of range_map .* learn no more"):
        run(recipe, tmp_path / "saturated")
    assert logged(tmp_path / "saturated")[-1]["saturated"]["range_map"] == 1.0


def test_a_network_that_glances_is_trained_and_scored_with_the_whole_photographs(folders, tmp_path):
    """Scored by hand: it looks at the whole photograph, and restores the crop at its place there, a sixth from the top
    and a quarter from the left (conftest.py)."""
    recipe = paired_tree(folders, average=0.0)
    recipe["network"] = {"name": "light_curves", "settings": {"widths": [4], "cells": 3, "side": 8, "tail": []}}
    recipe["data"]["whole"] = str(folders / "whole")
    run(recipe, tmp_path / "run")
    network = load_model(tmp_path / "run/model.safetensors").module
    grid = torch.tensor([[8 / 48, 12 / 48, 40 / 48, 44 / 48]])
    scores, by_crops = [], []
    for path in list_photographs(folders / "dark"):
        if int(path.stem.split("_")[0]) >= 10:
            dark, clean = (images.read(one).pixels for one in (path, folders / f"clean/{path.stem.split('_')[0]}.png"))
            with torch.no_grad():
                found = network.look(images.read(folders / f"whole/{path.name}").pixels, Guidance(grid=grid))
                for kept, told in ((scores, found), (by_crops, NOTHING)):
                    error = (network(dark, told).clamp(0, 1) - clean).square().mean()
                    kept.append(float(-10 * error.log10()))
    logged_score = logged(tmp_path / "run")[-1]["psnr"]
    assert logged_score == pytest.approx(sum(scores) / len(scores), abs=2e-3)
    assert logged_score != pytest.approx(sum(by_crops) / len(by_crops), abs=2e-3)
