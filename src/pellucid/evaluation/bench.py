"""What a restoration costs on this machine: seconds and CPU seconds for a megapixel, and the peak of memory.

Every measurement is a process of its own, so that its peak is nobody else's; what the machine can do at best, a copy
and convolutions, is measured in the same run.
"""

import math
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from typing import Any

import torch

from pellucid.devices import convolution_speed, processor

__all__ = ["Case", "Machine", "Measured", "machine", "measure"]

SMALL = (256, 384)
"""Of the picture that is restored before the clock runs, so that graphs are made and weights are laid out."""

NOISE = 25 / 255

SIDE, LEAVES, RADII = 1024, 6000, (3.0, 256.0)
"""Of the picture's part: its side, how many discs it shows, and their radii in pixels."""

COPIED = 256 << 20
"""Bytes that are copied."""


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        model: a name or a file.
        megapixels: of the noisy picture, 4 to 3.
        engine: as `RestoreOptions` has it.
        precision: likewise.
        boosted: whether R is at work, where the model has one.
        repeats: times that it is restored; medians count.
        threads: of torch and of the engine; None leaves what they take by themselves.
    """

    model: str
    megapixels: float
    engine: str = "auto"
    precision: str = "auto"
    boosted: bool = True
    repeats: int = 3
    threads: int | None = None


@dataclass(frozen=True)
class Measured:
    """What came out.

    Attributes:
        case: what was measured.
        engine: that ran.
        precision: that it computed in.
        seconds: for a megapixel.
        cpu_seconds: of all threads, for a megapixel; unlike seconds they hardly depend on what else runs.
        peak_bytes: resident memory of the process at its peak.
        start_bytes: before the picture: Python, torch and the weights.
        psnr: of the result, against the picture without noise, in decibels.
        error: why there is no more than this, in one line; empty where it went well.
    """

    case: Case
    engine: str = ""
    precision: str = ""
    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_bytes: int | None = None
    start_bytes: int | None = None
    psnr: float | None = None
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, flat."""
        tree = asdict(self)
        case = tree.pop("case")
        return {**{f"asked_{key}" if key in tree else key: value for key, value in case.items()}, **tree}


@dataclass(frozen=True)
class Machine:
    """What ran, and what it can do at best.

    Attributes:
        processor: its name.
        threads: of torch.
        copy: thousand million bytes a second that are read and written by a copy.
        float32: thousand thousand million operations a second of a 3x3 convolution.
        bfloat16: likewise.
    """

    processor: str
    threads: int
    copy: float
    float32: float
    bfloat16: float


def measure(cases: Sequence[Case]) -> Iterator[Measured]:
    """Measures case by case, each in a process of its own."""
    for case in cases:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            try:
                yield pool.submit(_measured, case).result()
            except Exception as error:  # whatever ends the process: memory, a missing extra
                yield Measured(case, error=(str(error).strip() or type(error).__name__).splitlines()[0])


def machine(threads: int | None = None) -> Machine:
    """Measures what this machine does at best in so many threads, in some tenths of a second."""
    if threads is not None:
        torch.set_num_threads(threads)
    source = torch.zeros(COPIED // 4)
    target = torch.empty_like(source)
    copy = 2 * COPIED / _shortest(lambda: target.copy_(source)) / 1e9
    peaks = [convolution_speed(torch.device("cpu"), dtype) / 1e12 for dtype in (torch.float32, torch.bfloat16)]
    return Machine(processor(), torch.get_num_threads(), copy, *peaks)


def _measured(case: Case) -> Measured:
    from pellucid.models.hub import find_model
    from pellucid.models.load import load_model
    from pellucid.refinement import Boosted
    from pellucid.restoration.restorer import Restorer

    if case.threads is not None:
        torch.set_num_threads(case.threads)
    loaded = load_model(find_model(case.model))
    module = loaded.module
    if not case.boosted and isinstance(module, Boosted):
        module = module.unrefined()
    restorer = Restorer(
        module, name=case.model, policy=loaded.header.policy, engine=case.engine, precision=case.precision
    )
    restorer(_picture(*SMALL)[1])
    start = _peak()
    height = round((case.megapixels * 1e6 * 3 / 4) ** 0.5)
    clean, noisy = _picture(height, round(height * 4 / 3))
    wall, cpu = [], []
    for _ in range(case.repeats):
        started, used = time.perf_counter(), time.process_time()
        restored = restorer(noisy)
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
    pixels = noisy.shape[2] * noisy.shape[3] / 1e6
    psnr = float(-10 * (restored - clean).square().mean().log10())
    return Measured(
        case,
        restorer.engine,
        restorer.precision,
        statistics.median(wall) / pixels,
        statistics.median(cpu) / pixels,
        _peak(),
        start,
        psnr,
    )


def _picture(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Dead leaves without and with noise, (1, 3, height, width); always the same.

    One megapixel of them is mirrored as often as it takes, so that larger pictures are no harder.
    """
    leaves = _leaves()
    rows, columns = (torch.arange(length) % (2 * SIDE) for length in (height, width))
    rows, columns = (torch.minimum(places, 2 * SIDE - 1 - places) for places in (rows, columns))
    clean = leaves[:, rows[:, None], columns][None]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    return clean, noise.mul_(NOISE).add_(clean).clamp_(0, 1).mul_(255).round_().div_(255)


@cache
def _leaves() -> torch.Tensor:
    """Discs of all sizes that hide each other, (3, SIDE, SIDE), with the edges, the flat parts and the spectrum that
    photographs have (Lee, Mumford and Huang, "Occlusion models for natural images", IJCV 2001): the density of a radius
    r goes with the inverse of its cube."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.zeros(3, SIDE, SIDE)
    smallest, largest = RADII
    part = torch.rand(LEAVES, generator=generator)
    radii = (smallest**-2 + part * (largest**-2 - smallest**-2)) ** -0.5
    middles = torch.rand(LEAVES, 2, generator=generator) * SIDE
    colours = 0.05 + torch.rand(LEAVES, 1, generator=generator) * (
        0.6 + 0.3 * torch.rand(LEAVES, 3, generator=generator)
    )
    for radius, (down, across), colour in zip(radii.tolist(), middles.tolist(), colours, strict=True):
        top, left = max(0, int(down - radius) - 1), max(0, int(across - radius) - 1)
        rows = torch.arange(top, min(SIDE, int(down + radius) + 2))[:, None] - down
        columns = torch.arange(left, min(SIDE, int(across + radius) + 2)) - across
        shape = (radius + 0.5 - (rows.square() + columns.square()).sqrt()).clamp(0, 1)
        shade = 1 + 0.25 * (rows * math.cos(radius) + columns * math.sin(radius)) / radius
        place = picture[:, top : top + shape.shape[0], left : left + shape.shape[1]]
        place.lerp_((colour[:, None, None] * shade).clamp(0, 1), shape)
    return picture


def _peak() -> int:
    """Bytes of resident memory at the peak so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _shortest(run: Callable[[], object], times: int = 9) -> float:
    run()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return min(taken)
