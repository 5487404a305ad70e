"""A hundred megapixels and a gigapixel, by `pellucid restore` in a process of its own: its memory, and its time."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pellucid.models.save import save
from pellucid.networks import AODNet

ROOT = Path(__file__).parents[2]


def measured(tmp_path, *megapixels, suffix, bits=8):
    """Of each size the peak of memory in GB, and seconds of the processor for a pixel over those of the first."""
    if shutil.disk_usage(tmp_path).free < 45e9 * max(megapixels) / 1000:
        pytest.skip("the disk has no room")
    save(AODNet(), tmp_path / "cheap.safetensors")
    options = ["--format", suffix, "--bits", str(bits), "--memory", "1GB", "--folder", str(tmp_path)]
    options += ["--model", str(tmp_path / "cheap.safetensors")]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks/memory.py", "--megapixels", *map(str, megapixels), *options],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.findall(r"peak resident memory ([\d.]+) GB.*?([\d.]+) times", done.stdout)
    assert len(found) == len(megapixels), done.stdout
    return [(float(peak), float(ratio)) for peak, ratio in found]


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "bits"), [("jpg", 8), ("tif", 16), ("png", 16)])
def test_a_hundred_megapixels_in_two_gigabytes(tmp_path, suffix, bits):
    ((peak, _),) = measured(tmp_path, 100, suffix=suffix, bits=bits)
    assert peak < 2


@pytest.mark.slow
def test_a_gigapixel_in_the_same_memory_and_in_time_for_its_size(tmp_path):
    (first, _), (second, ratio) = measured(tmp_path, 100, 1000, suffix="jpg")
    assert max(first, second) < 2
    assert ratio < 1.1
