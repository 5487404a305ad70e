"""What rows are kept under, and what is read back of them."""

import hashlib
import json

import torch

from pellucid.evaluation.candidates import Candidate
from pellucid.evaluation.rows import Row, RowStore, key_of
from pellucid.metrics import find_protocol
from pellucid.version import __version__

HALF = Candidate("half", lambda degraded: degraded * 0.5, "half")


def test_keys_of_rows_without_a_degradation_are_what_they_were():
    degraded, clean = torch.rand(2, 1, 3, 5, 6)
    protocol = find_protocol("gaussian-colour")
    parts = [__version__, "half", protocol.describe(), "ms-ssim"]
    digest = hashlib.sha256("\0".join(parts).encode())
    for image in (degraded, clean):
        digest.update(b"(1, 3, 5, 6)" + image.numpy().tobytes())
    assert key_of(HALF, protocol, degraded, clean, ("ms-ssim",)) == digest.hexdigest()
    others = {key_of(HALF, protocol, degraded, clean, ("ms-ssim",), text) for text in (None, "a", "b", "ms-ssim")}
    assert len(others) == 4
    assert protocol.describe() == (
        "gaussian-colour: pictures as floats clipped to [0, 1], not rounded, whole, compared in RGB, SSIM Gaussian "
        "11 x 11, noise float, unclipped, seeded anew for each picture, never resized (Gaussian denoising in colour, "
        "PTG-RM table 9, with the noise of DRUNet's and Restormer's test scripts)"
    )


def test_rows_with_and_without_a_degradation_are_read_back(tmp_path):
    plain = Row("m", "set", "noise sigma=25", "gaussian-colour", "1.png", 30.0, 0.9)
    degraded = Row("m", "set", "jpeg quality=10", "synthetic-rgb", "1.png", 30.0, 0.9, degradation="jpeg quality=10")
    assert "degradation" not in plain.as_dict()
    store = RowStore(tmp_path)
    store.add("1", plain)
    store.add("2", degraded)
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write(json.dumps({"key": "3", **degraded.as_dict(), "degradation": 5}) + "\n")
    again = RowStore(tmp_path)
    assert [again.get(key) for key in "123"] == [plain, degraded, None]
