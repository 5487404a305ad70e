"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest
import torch

# On a busy machine two threads on tiny tensors wait for each other most of the time.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data and published weights; tests that need it are skipped where it is not there."""
    folder = Path(os.environ.get("PELLUCID_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "weights").is_dir():
        pytest.skip("no folder with real data and weights: set PELLUCID_SHARED to run this test")
    return folder
