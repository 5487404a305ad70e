"""Peak memory and seconds per megapixel of `pellucid restore` on a large JPEG, in a process of its own.

The photograph is a scikit-image photograph, repeated to size and degraded. Which experts are asked depends on what is
wrong with it: a shaken one, whose kernel is to be found, costs more than a noisy one.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
import torch

from pellucid import images
from pellucid.degradations import parse


def make_photograph(path: Path, megapixels: float, degradation: str) -> None:
    """Writes a degraded JPEG of about `megapixels`, 4 to 3."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    photograph = skimage.data.astronaut()
    repeats = (-(-height // 512), -(-width // 512), 1)
    clean = images.to_tensor(np.tile(photograph, repeats)[:height, :width])[0]
    degraded = parse(degradation)(clean, torch.Generator().manual_seed(0)).clamp(0, 1)
    images.write(images.Photograph(degraded[None]), path)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--model", default="default")
    parser.add_argument("--with", dest="degradation", default="noise sigma=20", help="as in 'shake length=12'")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "large.jpg", Path(folder) / "restored.jpg"
        make_photograph(source, options.megapixels, options.degradation)
        arguments = ["-m", "pellucid", "restore", str(source), "-o", str(target)]
        started = time.perf_counter()
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, *arguments, "--memory", options.memory, "--model", options.model],
            os.environ,
        )
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - started
        if os.waitstatus_to_exitcode(status):
            sys.exit("the restoration failed")
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        print(
            f"{options.megapixels:g} megapixels, {options.degradation}, --memory {options.memory}: "
            f"peak resident memory {peak / 2**30:.2f} GB, {seconds:.1f} s in all, "
            f"{seconds / options.megapixels:.2f} s per megapixel (start-up included)"
        )


if __name__ == "__main__":
    main()
