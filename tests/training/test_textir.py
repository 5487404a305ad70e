"""TextIR is trained, on tiny networks, for each of its tasks: generator and judge learn, runs resume, files work."""

import pytest
import torch

from pellucid.errors import SettingsError
from pellucid.guidance import Guidance
from pellucid.models.load import load_model
from pellucid.recipes import load_tree
from pellucid.training.settings import read_recipe
from pellucid.training.train import train
from pellucid.words.encoder import sentence_encoder

TASKS = ("inpainting", "colour", "super-resolution")


def tree(task, photographs, **changes):
    """The recipe of a task, tiny, with the embedded encoder."""
    recipe = load_tree(f"textir-{task}")
    recipe["network"]["settings"] |= {"size": 32, "narrow": 1 / 64, "style": 8, "words": 64}
    recipe["data"] = {"folder": str(photographs), "degradations": ["clean"], "crop": 32, "validation": 2}
    recipe["textir"] |= {"encoder": None, "narrow": 1 / 64, "penalty_steps": 2, **changes}
    recipe["train"] |= {"steps": 4, "batch": 2, "validate_steps": 2, "average": 0.5}
    return recipe


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_trained_on_pictures_and_used_with_words(task, photographs, tmp_path):
    recipe = read_recipe(tree(task, photographs), "test")
    steps = list(train(recipe, tmp_path / "run"))
    assert [step.number for step in steps] == [1, 2, 3, 4]
    assert all(torch.tensor(step.loss).isfinite() for step in steps)
    assert "psnr_grey" in (tmp_path / "run" / "log.jsonl").read_text()
    network = load_model(tmp_path / "run" / "model.safetensors").module.eval()
    image = torch.rand(1, 3, 32, 64)
    if task == "inpainting":
        image[..., :10, :20] = torch.nan
    told = [Guidance(vector=sentence_encoder().texts([text])) for text in ("blue sky", "a red thing")]
    with torch.no_grad():
        results = [network(image, one) for one in told]
    assert results[0].isfinite().all()
    assert not torch.equal(*results)


def test_a_run_resumes_exactly_with_its_judge(photographs, tmp_path):
    whole = tree("inpainting", photographs)
    list(train(read_recipe(whole, "test"), tmp_path / "whole"))
    half = tree("inpainting", photographs)
    half["train"]["steps"] = 2
    list(train(read_recipe(half, "test"), tmp_path / "half"))
    list(train(read_recipe(whole, "test"), tmp_path / "half", resume=True))
    first, second = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("whole", "half"))
    for key, value in first["module"].items():
        assert torch.equal(value, second["module"][key]), key
    moved = [key for key in first["module"] if key.startswith("judge.")]
    assert moved
    assert first["optimizer"]["judge"]["state"]


def test_what_cannot_be_is_refused(photographs, tmp_path):
    narrow = tree("colour", photographs)
    narrow["network"]["settings"]["words"] = 512
    with pytest.raises(SettingsError, match="vectors of 64 numbers, and the network reads 512"):
        list(train(read_recipe(narrow, "test"), tmp_path / "a"))
    other = tree("colour", photographs)
    other["network"] = {"name": "unet"}
    with pytest.raises(SettingsError, match="trains textir"):
        list(train(read_recipe(other, "test"), tmp_path / "b"))
    crop = tree("colour", photographs)
    crop["data"]["crop"] = 64
    with pytest.raises(SettingsError, match="the network's size, 32"):
        list(train(read_recipe(crop, "test"), tmp_path / "c"))
    with pytest.raises(SettingsError, match="factors"):
        read_recipe(tree("super-resolution", photographs, factors={1: 1.0}), "test")
