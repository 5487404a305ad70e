"""`pellucid train` and `pellucid distill` as people call them."""

import json

import pytest
import torch
from safetensors.torch import save_file

from pellucid import images
from pellucid.networks import UNet


def picture(path, size=(20, 30), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))
    images.write(images.Photograph(pixels), path)
    return path


def test_train_and_distill_from_the_command_line(run, tmp_path):
    for index in range(3):
        picture(tmp_path / f"clean/{index}.png", seed=index)
    save_file(UNet([4, 8], [1, 1]).state_dict(), tmp_path / "network.safetensors")
    settings = [
        "network.settings={widths: [4, 8], blocks: [1, 1]}",
        f"network.weights={tmp_path / 'network.safetensors'}",
        "prior={name: 'random:8'}",
        "refinement.settings={width: 4, blocks: 1}",
        f"data.folder={tmp_path / 'clean'}",
        "data.crop=16",
        "data.validation=1",
        "train.minutes=null",
        "train.steps=2",
        "train.batch=2",
        "distill={steps: 2, batch: 2, settings: {size: 32, channels: [4], texture: [4]}}",
    ]
    options = [part for setting in settings for part in ("--set", setting)]
    status, out, err = run("train", "denoise-boost", "--out", tmp_path / "run", *options, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["steps"] == 2
    status, out, err = run("distill", tmp_path / "run/model.safetensors", "--out", tmp_path / "distilled", "--json")
    assert (status, err) == (0, "")
    source = picture(tmp_path / "a.png")
    assert run("restore", source, "-o", tmp_path / "b.png", "--model", json.loads(out)["model"])[0] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["train", "denoize", "--out", "{dir}/run"], 2, "did you mean 'denoise'"),
        (["train", "denoise", "--out", "{dir}/run", "--set", "train.minuets=3"], 2, "did you mean 'minutes'"),
        (["train", "denoise", "--out", "{dir}/run", "--set", "data.folder={dir}/none"], 1, "no such folder"),
        (["train", "{dir}/broken.yaml", "--out", "{dir}/run"], 2, "not YAML"),
        (["distill", "{dir}/none.safetensors", "--out", "{dir}/run"], 1, "no such model file"),
    ],
)
def test_training_errors(run, tmp_path, arguments, status, message):
    (tmp_path / "broken.yaml").write_text("a: [1")
    ended, _, err = run(*[argument.format(dir=tmp_path) for argument in arguments])
    assert ended == status
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()
