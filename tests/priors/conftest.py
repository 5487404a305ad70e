"""Fixtures of the priors' tests."""

import shutil

import pytest
import torch
from torch.nn import functional as F


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """No test waits for a hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def in_hub_cache(tmp_path, monkeypatch):
    """Puts a folder into a Hugging Face cache of its own, as if it had been downloaded under a name."""

    def put(folder, name):
        place = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        revision = "0123456789abcdef0123456789abcdef01234567"
        shutil.copytree(folder, place / "snapshots" / revision)
        (place / "refs").mkdir()
        (place / "refs/main").write_text(revision)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        return place / "snapshots" / revision

    return put


@pytest.fixture(scope="session")
def save():
    """Saves models of transformers and diffusers into folders, without their progress bars."""
    transformers = pytest.importorskip("transformers")

    def save_quietly(model, folder, **settings):
        transformers.utils.logging.disable_progress_bar()
        model.save_pretrained(folder, **settings)
        transformers.utils.logging.enable_progress_bar()

    return save_quietly


@pytest.fixture
def picture():
    """Bytes (60, 90, 3) of a smooth photograph-like picture: what resizes bytes and what resizes floats agree on it."""
    smooth = F.interpolate(torch.rand(1, 3, 5, 4), (60, 90), mode="bicubic").clamp(0, 1)
    return (smooth * 255).round().byte()[0].permute(1, 2, 0).numpy()
