"""How fast the embedded model is, as ratios within one run: absolute times depend on the machine and its load.

Every pair is run in turn, A B A B, and the median of the ratios is printed, with the expectation written down
beforehand.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table

import pellucid
from pellucid.refinement import Boosted
from pellucid.refinement.guidance import GuidedConvolution
from pellucid.restoration.restorer import Restorer


def ratio(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[float, float, float]:
    """Median time of `first` over that of `second`, pair by pair, and both medians in seconds."""
    for run in (first, second):
        run()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for run, kept in zip((first, second), times, strict=True):
            started = time.perf_counter()
            run()
            kept.append(time.perf_counter() - started)
    ratios = [a / b for a, b in zip(*times, strict=True)]
    return statistics.median(ratios), statistics.median(times[0]), statistics.median(times[1])


def concatenated(
    module: GuidedConvolution, features: torch.Tensor, prior: torch.Tensor, place: torch.Tensor
) -> torch.Tensor:
    """What `GuidedConvolution` computes, as the paper writes it."""
    constant = prior[:, :, None, None].expand(-1, -1, *features.shape[2:])
    return torch.nn.functional.conv2d(torch.cat([features, constant, place], 1), module.weight, padding=1)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="default")
    parser.add_argument("--side", type=int, default=512, help="of the square test picture, in pixels")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    picture = torch.rand(1, 3, options.side, options.side)

    def restorer(**settings: object) -> Restorer:
        return pellucid.load(options.model, **settings)  # type: ignore[arg-type]

    fast, exact = restorer(tile=0, precision="auto"), restorer(tile=0, precision="float32")
    pairs: list[tuple[str, str, Callable[[], object], Callable[[], object]]] = [
        ("float32 / automatic precision", "2 where bfloat16 is native", lambda: exact(picture), lambda: fast(picture)),
    ]
    if isinstance(fast.model, Boosted):
        alone = Restorer(fast.model.unrefined(), tile=0)
        pairs.append(("boosted / network alone", "1.5", lambda: fast(picture), lambda: alone(picture)))
    tiled = restorer(tile=256, precision="auto")
    pairs.append(("tiles of 256 / one tile", "1.3", lambda: tiled(picture), lambda: fast(picture)))
    guided = GuidedConvolution(16, 144).requires_grad_(False)
    maps = torch.rand(2, 1, 16, options.side // 4, options.side // 4)
    vector = torch.rand(1, 64)
    pairs.append(
        (
            "concatenated / guided convolution (R_p)",
            "2",
            lambda: concatenated(guided, maps[0], vector, maps[1]),
            lambda: guided(maps[0], vector, maps[1]),
        )
    )
    table = Table("ratio", "expected", "measured", "seconds", "seconds")
    for name, expected, first, second in pairs:
        measured, a, b = ratio(first, second, options.repeats)
        table.add_row(name, expected, f"{measured:.2f}", f"{a:.3f}", f"{b:.3f}")
    console = Console()
    console.print(f"{options.side} x {options.side} pixels, {torch.get_num_threads()} threads, {options.repeats} pairs")
    console.print(table)


if __name__ == "__main__":
    main()
