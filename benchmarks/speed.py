"""How fast the embedded model is, as ratios within one run: absolute times depend on the machine and its load.

Every pair is run in turn, A B A B, and the median of the ratios is printed, with the expectation written down
beforehand. On a busy machine `--cpu` runs one thread and counts its own CPU time, which other work changes little.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from rich.console import Console
from rich.table import Table

import pellucid
from pellucid.devices import processor
from pellucid.guidance import Guidance
from pellucid.networks import Experts, Identity
from pellucid.refinement import Boosted
from pellucid.refinement.guidance import GuidedConvolution
from pellucid.restoration.restorer import Restorer


def ratio(
    first: Callable[[], object], second: Callable[[], object], repeats: int, clock: Callable[[], float]
) -> tuple[float, float, float]:
    """Median time of `first` over that of `second`, pair by pair, and both medians in seconds."""
    for run in (first, second):
        run()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for run, kept in zip((first, second), times, strict=True):
            started = clock()
            run()
            kept.append(clock() - started)
    ratios = [a / b for a, b in zip(*times, strict=True)]
    return statistics.median(ratios), statistics.median(times[0]), statistics.median(times[1])


def concatenated(
    module: GuidedConvolution, features: torch.Tensor, prior: torch.Tensor, place: torch.Tensor
) -> torch.Tensor:
    """What `GuidedConvolution` computes, as the paper writes it."""
    constant = prior[:, :, None, None].expand(-1, -1, *features.shape[2:])
    return torch.nn.functional.conv2d(torch.cat([features, constant, place], 1), module.weight, padding=1)


class _Told(torch.nn.Module):
    """The network of a boosted model alone, told what the model has seen of the picture."""

    def __init__(self, model: Boosted, guidance: Guidance) -> None:
        super().__init__()
        self.model, self.guidance = model, guidance

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The image (1, 3, H, W), restored but not refined."""
        return self.model.restore(image, self.guidance)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="default")
    parser.add_argument("--side", type=int, default=512, help="of the square test picture, in pixels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cpu", action="store_true", help="one thread, and its CPU time instead of the clock's")
    options = parser.parse_args()
    clock = time.thread_time if options.cpu else time.perf_counter
    if options.cpu:
        torch.set_num_threads(1)
    torch.manual_seed(0)
    picture = torch.rand(1, 3, options.side, options.side)

    def restorer(**settings: object) -> Restorer:
        return pellucid.load(options.model, **settings)  # type: ignore[arg-type]

    fast, exact = restorer(tile=0, precision="auto"), restorer(tile=0, precision="float32")
    pairs: list[tuple[str, str, Callable[[], object], Callable[[], object]]] = [
        ("float32 / automatic precision", "2 where bfloat16 is native", lambda: exact(picture), lambda: fast(picture)),
    ]
    if isinstance(fast.model, Boosted):
        model, looked = fast.model, fast.look(picture)
        alone = Restorer(_Told(model, looked), tile=0)
        pairs.append(("whole restoration / network alone", "1.3", lambda: fast(picture), lambda: alone(picture)))
    tiled = restorer(precision="auto")
    for side, expected in ((128, "1.5"), (256, "1.2"), (448, "1.05"), (640, "1"), (768, "1.05")):
        cut = restorer(tile=side, precision="auto")
        pairs.append((f"tiles of {side} / automatic", expected, partial(cut, picture), lambda: tiled(picture)))
    low = restorer(tile=0, precision="bfloat16")
    pairs.append(("float32 / bfloat16", "2 on Zen 4", lambda: exact(picture), lambda: low(picture)))
    whole = tiled.network
    experts = list(whole.experts) if isinstance(whole, Experts) else []
    for number, expert in enumerate(experts):
        if isinstance(expert, Identity):
            continue
        one = Restorer(expert, tile=0)
        kinds = whole.kinds[number] if isinstance(whole, Experts) else None
        name = f"expert for {' and '.join(kinds) if kinds else 'the rest'} / whole restoration"
        pairs.append((name, "0.2 to 0.8", partial(one, picture), lambda: fast(picture)))
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
        measured, a, b = ratio(first, second, options.repeats, clock)
        table.add_row(name, expected, f"{measured:.2f}", f"{a:.3f}", f"{b:.3f}")
    console = Console()
    console.print(processor())
    console.print(f"{options.side} x {options.side} pixels, {torch.get_num_threads()} threads, {options.repeats} pairs")
    console.print(table)


if __name__ == "__main__":
    main()
