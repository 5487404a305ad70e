"""R against the formulation as printed: CPU seconds and memory for one picture, each way in a process of its own.

As printed, T(g) and S are concatenated to the features at every place before R_m and R_p, and the kernels of equation
(5) are applied to an unfolded copy of the map. Ours gives the same result with fewer operations; how far apart both are
is printed, too. One thread; of the repetitions the shortest counts. With `--compiled` a compiler for C++ is needed.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.devices import channels_last
from pellucid.engines import RefinementOnEngine
from pellucid.engines.sessions import installed
from pellucid.refinement import PTGRM, attention
from pellucid.refinement.guidance import GuidedConvolution

WAYS = (
    "as printed, float32",
    "as printed, bfloat16",
    "ours, float32",
    "ours, bfloat16",
    "ours, bfloat16, windows",
    "ours, bfloat16, compiled",
    "OpenVINO, float32",
    "OpenVINO, bfloat16",
)
PRIOR_WIDTH = 512


def concatenated(self: GuidedConvolution, features: Tensor, prior: Tensor | None, position: Tensor | None) -> Tensor:
    """`GuidedConvolution.forward` as printed."""
    parts = [features]
    if prior is not None:
        parts.append(prior[:, :, None, None].expand(-1, -1, *features.shape[2:]))
    if position is not None:
        parts.append(position)
    return F.conv2d(torch.cat(parts, 1), self.weight, padding=1)


def unfolded(features: Tensor, kernels: Tensor) -> Tensor:
    """`convolve_per_location` as printed: a copy of the map for every tap."""
    batch, channels, height, width = features.shape
    side = round((kernels.shape[1] // channels) ** 0.5)
    padded = F.pad(features, (side // 2,) * 4, mode="replicate")
    taps = F.unfold(padded, side).reshape(batch, channels, side**2, height, width).permute(0, 2, 1, 3, 4)
    return (taps * kernels.reshape(batch, side**2, channels, height, width)).sum(1)


@torch.no_grad()
def measured(way: str, side: int, repeats: int, memory: int) -> tuple[float, float, Tensor]:
    """CPU seconds, bytes that it takes at most, and the result, of one way."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    refinement = PTGRM(PRIOR_WIDTH).eval()
    torch.nn.init.normal_(refinement.decoder.out.weight, std=0.01)
    restored, degraded, vector = torch.rand(1, 3, side, side), torch.rand(1, 3, side, side), torch.randn(1, PRIOR_WIDTH)
    run: Callable[..., Tensor] = refinement
    if way.startswith("as printed"):
        GuidedConvolution.forward = concatenated  # type: ignore[method-assign]
        attention.convolve_per_location = unfolded
    elif way.startswith("OpenVINO"):
        run = RefinementOnEngine(refinement, "openvino")
    else:
        channels_last(refinement)
        if "compiled" in way:
            run = torch.compile(refinement, dynamic=False)
        restored, degraded = (one.contiguous(memory_format=torch.channels_last) for one in (restored, degraded))
    limit = {"memory": memory} if "windows" in way else {}
    with torch.autocast("cpu", torch.bfloat16, enabled="bfloat16" in way):
        few = side if "compiled" in way else 64  # what is compiled is compiled for one size
        run(restored[:, :, :few, :few], degraded[:, :, :few, :few], vector, **limit)
        before = resident()
        seconds = []
        for _ in range(repeats):
            started = time.process_time()
            result = run(restored, degraded, vector, **limit)
            seconds.append(time.process_time() - started)
    return min(seconds), peak() - before, result.float()


def peak() -> float:
    """Bytes of this process at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def resident() -> float:
    """Bytes of this process now, on Linux; elsewhere at most."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return peak()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--side", type=int, default=512, help="of the picture, in pixels, divisible by 4")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, default=64, help="for windows, in MB")
    parser.add_argument("--compiled", action="store_true", help="torch.compile, too, which takes minutes")
    options = parser.parse_args()
    ways = [way for way in WAYS if installed("openvino") or not way.startswith("OpenVINO")]
    ways = [way for way in ways if options.compiled or "compiled" not in way]
    first = None
    print(f"{options.side} x {options.side}; one thread; torch {torch.__version__}")
    print(f"{'':26s} CPU s/MP  ratio  bytes/pixel  ratio  largest difference")
    for way in ways:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            work = pool.submit(measured, way, options.side, options.repeats, options.memory << 20)
            seconds, taken, result = work.result()
        first = first or (seconds, taken, result)
        pixels = options.side**2
        print(
            f"{way:26s} {1e6 * seconds / pixels:8.2f} {first[0] / seconds:6.1f} {taken / pixels:12.0f} "
            f"{first[1] / taken:6.1f} {float((result - first[2]).abs().max()):10.5f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
