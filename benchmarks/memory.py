"""Peak memory and seconds per megapixel of `pellucid restore` on a large JPEG, in a process of its own.

The photograph is made of a scikit-image photograph, repeated to size, with seeded noise. Which experts
are asked depends on the content: a shaken photograph, whose kernel is to be found, costs more.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data

from pellucid import images


def make_photograph(path: Path, megapixels: float) -> None:
    """Writes a noisy JPEG of about `megapixels`, 4 to 3."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    photograph = skimage.data.astronaut()
    repeats = (-(-height // 512), -(-width // 512), 1)
    noise = np.random.default_rng(0).normal(0, 20, (height, width, 3))
    noisy = (np.tile(photograph, repeats)[:height, :width] + noise).clip(0, 255).astype(np.uint8)
    images.write(images.Photograph(images.to_tensor(noisy)), path)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "large.jpg", Path(folder) / "restored.jpg"
        make_photograph(source, options.megapixels)
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
            f"{options.megapixels:g} megapixels, --memory {options.memory}: peak resident memory {peak / 2**30:.2f} GB, "
            f"{seconds:.1f} s in all, {seconds / options.megapixels:.2f} s per megapixel (start-up included)"
        )


if __name__ == "__main__":
    main()
