"""Photographs made small for those that learn to enlarge."""

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid.data.batches import Batches
from pellucid.data.folders import Photographs
from pellucid.data.reduced import Reduced, Turns
from pellucid.degradations import parse_drawn
from pellucid.errors import DataError, SettingsError
from pellucid.images.resizing import bicubic
from pellucid.training.data import split_sources
from pellucid.training.settings import read_recipe
from pellucid.training.train import train


@pytest.fixture
def folder(tmp_path):
    draw = np.random.default_rng(0)
    (tmp_path / "clean").mkdir()
    for number, size in enumerate([(90, 70), (64, 101), (30, 20)]):
        Image.fromarray(draw.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / "clean" / f"{number}.png")
    return tmp_path / "clean"


def source(folder, scale, text="clean"):
    return Reduced(Photographs(sorted(folder.iterdir())), [parse_drawn(text)], scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_crop_is_what_its_photograph_made_small_has_there(folder, scale):
    """Of a photograph that is larger than the crop, away from its edges, whatever the crop's margin was."""
    photographs = source(folder, scale)
    whole = photographs.photographs[0]
    for seed in range(2):
        sample = photographs.sample(0, 8, torch.Generator().manual_seed(seed), None)
        assert sample.degraded.shape == (3, 8, 8)
        assert sample.clean.shape == (3, 8 * scale, 8 * scale)
        assert sample.scale == scale
        inside = bicubic(sample.clean, 8, 8)
        assert (sample.degraded - inside)[:, 2:-2, 2:-2].abs().max() < 2 / 255
        assert any(
            torch.equal(sample.clean, turned[:, top : top + 8 * scale, left : left + 8 * scale])
            for quarter in range(4)
            for turned in (torch.rot90(whole, quarter, (1, 2)), torch.rot90(whole, quarter, (1, 2)).flip(2))
            for top in range(turned.shape[1] - 8 * scale + 1)
            for left in range(turned.shape[2] - 8 * scale + 1)
            if torch.equal(sample.clean[:, 0, 0], turned[:, top, left])
        )


def test_a_photograph_smaller_than_a_crop_is_mirrored(folder):
    sample = source(folder, 4).sample(2, 16, torch.Generator().manual_seed(0), None)
    assert sample.degraded.shape == (3, 16, 16)
    assert sample.clean.shape == (3, 64, 64)


def test_degradations_are_of_the_small_picture(folder):
    plain, noisy = (source(folder, 2, text).example(0) for text in ("clean", "noise sigma=20"))
    assert torch.equal(plain.clean, noisy.clean)
    assert 15 < float((noisy.degraded - plain.degraded).std() * 255) < 25


def test_each_batch_has_one_scale_in_turn(folder):
    batches = Batches(Turns([source(folder, scale) for scale in (4, 2)]), 8, 3)
    for number, scale in enumerate((4, 2, 4)):
        batch = batches.at(number)
        assert batch.guidance.scale == scale
        assert batch.clean.shape == (3, 3, 8 * scale, 8 * scale)
    assert torch.equal(batches.at(1).degraded, batches.at(1).degraded)


def recipe(clean, **data):
    return read_recipe(
        {
            "name": "test",
            "network": {"name": "upscaler", "settings": {"width": 8, "blocks": 1, "scales": [2, 3]}},
            "data": {"folder": str(clean), "degradations": ["clean"], "scales": [3, 2], "crop": 8, "validation": 1}
            | data,
            "train": {"steps": 4, "batch": 2, "warmup_steps": 1, "validate_steps": 2, "muon": ["blocks"]},
        },
        "test",
    )


def test_an_upscaler_is_trained_by_a_recipe(folder, tmp_path):
    losses = [step.loss for step in train(recipe(folder), tmp_path / "run")]
    assert len(losses) == 4
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert '"psnr_sources"' in (tmp_path / "run" / "log.jsonl").read_text()


def test_what_does_not_go_together_is_refused(folder, tmp_path):
    for wrong, words in (
        ({"scales": [2, 2]}, "each once"),
        ({"window": 64}, "not with scales"),
        ({"optional": True}, "only source"),
    ):
        with pytest.raises(SettingsError, match=words):
            recipe(folder, **wrong)
    with pytest.raises(SettingsError, match="does not enlarge by 4"):
        next(train(recipe(folder, scales=[4]), tmp_path / "a"))
    with pytest.raises(SettingsError, match="how small"):
        next(train(recipe(folder, scales=[]), tmp_path / "b"))
    with pytest.raises(DataError, match="holds out"):
        split_sources(recipe(folder, validation=3).data)


def test_an_optional_source_that_is_missing_is_left_out(folder, tmp_path):
    sources = [
        {"folder": str(folder), "degradations": ["clean"], "validation": 1},
        {"folder": str(tmp_path / "none"), "degradations": ["clean"], "validation": 1, "optional": True},
    ]
    read = recipe(folder, folder=None, degradations=None, validation=8, sources=sources)
    assert len(read.data.sources) == 1
    assert len(split_sources(read.data)[0]) == 2
