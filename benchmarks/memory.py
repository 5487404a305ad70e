"""Peak memory and seconds per megapixel of `pellucid restore` on large photographs, each in a process of its own.

The photograph is a scikit-image photograph, repeated to size and degraded. Which experts are asked depends on what is
wrong with it: a shaken one, whose kernel is to be found, costs more than a noisy one. With several sizes, seconds of
the processor per megapixel are compared with those of the first.
"""

import argparse
import math
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
from pellucid.scratch import bands, zeros_on_disk


def make_photograph(path: Path, megapixels: float, degradation: str, bits: int) -> float:
    """Writes a degraded photograph of about `megapixels`, 4 to 3, and returns how many they are exactly."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    repeats = (1, 1 + min(width, 4096) // 512, 1)
    clean = images.to_tensor(np.tile(skimage.data.astronaut(), repeats))[0]
    tile = parse(degradation)(clean, torch.Generator().manual_seed(0)).clamp(0, 1)
    row = tile.repeat(1, 1, 1 + width // tile.shape[2])[..., :width]
    pixels = zeros_on_disk(1, 3, height, width)
    for rows in bands(pixels):
        pixels[0, :, rows] = row[:, torch.arange(rows.start, rows.stop) % row.shape[1]]
    images.write(images.Photograph(pixels, bits=bits), path)
    return float(height * width / 1e6)


def restored(source: Path, target: Path, options: argparse.Namespace) -> tuple[float, float, float]:
    """Bytes of resident memory at most, seconds on the wall, and seconds of the processor."""
    arguments = ["-m", "pellucid", "restore", str(source), "-o", str(target), "--strength", str(options.strength)]
    arguments += ["--memory", options.memory, "--model", options.model]
    started = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status):
        sys.exit("the restoration failed")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), seconds, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12])
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--model", default="default")
    parser.add_argument("--strength", type=float, default=1)
    parser.add_argument("--format", default="jpg", help="suffix of the photograph: jpg, png, tif")
    parser.add_argument("--bits", type=int, default=8, help="of png and tif")
    parser.add_argument("--with", dest="degradation", default="noise sigma=20", help="as in 'shake length=12'")
    parser.add_argument("--folder", help="for the photographs; the default is that of temporary files")
    options = parser.parse_args()
    first = math.nan
    for megapixels in options.megapixels:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            source, target = (Path(folder) / f"{name}.{options.format}" for name in ("large", "restored"))
            size = make_photograph(source, megapixels, options.degradation, options.bits)
            peak, seconds, spent = restored(source, target, options)
            first = spent / size if math.isnan(first) else first
            print(
                f"{size:.1f} megapixels of {options.format}, {options.degradation}, --model {options.model} --memory "
                f"{options.memory}: peak resident memory {peak / 2**30:.2f} GB, {seconds:.1f} s on the wall, "
                f"{spent / size:.3f} s of the processor per megapixel (start-up included), "
                f"{spent / size / first:.2f} times that of the first",
                flush=True,
            )


if __name__ == "__main__":
    main()
