"""Two processes, as torchrun starts them: one set of files, and gradients that are averaged."""

import json
import subprocess
import sys

import pytest
import torch

from pellucid import images
from pellucid.models.load import load_model

RECIPE = """
name: parallel
network: {{name: unet, settings: {{widths: [8], blocks: [1]}}}}
data: {{folder: {folder}, degradations: [noise sigma=25], crop: 16, validation: 1}}
train: {{steps: 2, batch: 2, warmup_steps: 0, precision: float32, average: 0.0, seed: 5}}
"""


@pytest.mark.slow
def test_two_processes_write_one_run(tmp_path):
    folder = tmp_path / "clean"
    folder.mkdir()
    for index in range(4):
        pixels = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(index))
        images.write(images.Photograph(pixels), folder / f"{index}.png")
    (tmp_path / "parallel.yaml").write_text(RECIPE.format(folder=folder))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "pellucid"]
    command = ["train", str(tmp_path / "parallel.yaml"), "--out", str(tmp_path / "run"), "--json"]
    done = subprocess.run([*torchrun, *command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 2
    assert len((tmp_path / "run/log.jsonl").read_text().splitlines()) == 1
    alone = subprocess.run(
        [sys.executable, "-m", "pellucid", *command[:3], str(tmp_path / "alone")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert alone.returncode == 0, alone.stderr
    # The second process sees other crops, so the averaged gradient leads elsewhere than the first process alone would
    # go.
    together, single = (load_model(tmp_path / name / "model.safetensors").module for name in ("run", "alone"))
    assert not torch.equal(together.head.weight, single.head.weight)
