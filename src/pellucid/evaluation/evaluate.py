"""Scores of models on photographs: one row per model, photograph and noise level, all in one protocol."""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pellucid import images
from pellucid.errors import DataError
from pellucid.metrics import NoiseStream, Protocol, bootstrap_interval, paired_difference

__all__ = ["DEGRADED", "Case", "Row", "Summary", "evaluate", "noisy_cases", "paired_cases", "summarise"]

DEGRADED = "degraded"
"""The name under which the input itself is scored."""

Restore = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """A degraded photograph and its clean truth; `condition` says how it was degraded. Loaded when it is its turn."""

    name: str
    condition: str
    load: Callable[[], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Row:
    """One score: PSNR in dB, SSIM, and the seconds that the restoration took."""

    model: str
    condition: str
    photograph: str
    psnr: float
    ssim: float
    seconds: float


@dataclass(frozen=True)
class Summary:
    """Means over the photographs of one condition, and the paired difference in PSNR to the first model.

    The intervals are 95 % percentile bootstraps; None where there are too few photographs for one, or scores are infinite.
    """

    model: str
    condition: str
    photographs: int
    psnr: float
    psnr_interval: tuple[float, float] | None
    ssim: float
    seconds: float
    gain: float | None
    gain_interval: tuple[float, float] | None


def noisy_cases(paths: Sequence[Path], sigmas: Sequence[float], protocol: Protocol, seed: int) -> Iterator[Case]:
    """Clean photographs with seeded Gaussian noise, drawn as the protocol says; level by level, in the order given.

    Raises:
        SettingsError: the protocol draws no noise.
    """
    stream = NoiseStream(protocol, seed)
    names = _names(paths)
    for sigma in sigmas:
        for path in paths:

            def load(path: Path = path, sigma: float = sigma) -> tuple[Tensor, Tensor]:
                clean = protocol.crop(images.read(path).pixels)
                return stream.degrade(clean, sigma), clean

            yield Case(names[path], f"noise sigma={sigma:g}", load)


def paired_cases(pairs: Sequence[tuple[Path, Path]], protocol: Protocol) -> Iterator[Case]:
    """Pairs of degraded and clean files.

    Raises:
        DataError: (when loaded) partners of different sizes.
    """
    names = _names([second for _, second in pairs])
    for first, second in pairs:

        def load(first: Path = first, second: Path = second) -> tuple[Tensor, Tensor]:
            pair = images.read(first).pixels, images.read(second).pixels
            if pair[0].shape != pair[1].shape:
                sizes = " and ".join(f"{image.shape[3]} x {image.shape[2]}" for image in pair)
                raise DataError(f"{first}: differs in size from {second} ({sizes} pixels)")
            return protocol.crop(pair[0]), protocol.crop(pair[1])

        yield Case(names[second], "pairs", load)


def evaluate(models: Mapping[str, Restore], cases: Iterator[Case], protocol: Protocol) -> Iterator[Row]:
    """Scores every model on every case, the degraded input first; a row is yielded as soon as it is known.

    Args:
        models: by name; each takes degraded (1, 3, H, W) and returns restored of the same size.
        cases: what to restore; a case is loaded once for all models.
        protocol: how the numbers are made.

    Raises:
        DataError: a photograph is too small for the protocol.
    """
    for case in cases:
        degraded, clean = case.load()
        for name, restore in {DEGRADED: _as_it_is, **models}.items():
            started = time.perf_counter()
            restored = restore(degraded)
            seconds = time.perf_counter() - started
            try:
                scores = protocol.score(restored, clean)
            except ValueError as error:
                raise DataError(f"{case.name}: {error}") from error
            yield Row(name, case.condition, case.name, float(scores.psnr), float(scores.ssim), seconds)


def summarise(rows: Sequence[Row], *, baseline: str | None = None) -> list[Summary]:
    """Means, intervals and paired gains, by condition and model in the order of the rows.

    Args:
        rows: of any number of models and conditions.
        baseline: the model that gains are measured against; None takes the first that is not the input.
    """
    by_key: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_key.setdefault((row.condition, row.model), []).append(row)
    names = list(dict.fromkeys(row.model for row in rows))
    baseline = baseline or next((name for name in names if name != DEGRADED), DEGRADED)
    summaries = []
    for (condition, model), group in by_key.items():
        reference = {row.photograph: row.psnr for row in by_key.get((condition, baseline), [])}
        pairs = [(row.psnr, reference[row.photograph]) for row in group if row.photograph in reference]
        gain, gain_interval = _gain(pairs) if model not in (baseline, DEGRADED) else (None, None)
        values = [row.psnr for row in group]
        summaries.append(
            Summary(
                model=model,
                condition=condition,
                photographs=len(group),
                psnr=sum(values) / len(values),
                psnr_interval=_interval(values),
                ssim=sum(row.ssim for row in group) / len(group),
                seconds=sum(row.seconds for row in group) / len(group),
                gain=gain,
                gain_interval=gain_interval,
            )
        )
    return summaries


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """What to call files: their paths below the folder that holds them all."""
    above = os.path.commonpath([path.parent for path in paths]) if paths else ""
    return {path: os.path.relpath(path, above) for path in paths}


def _as_it_is(degraded: Tensor) -> Tensor:
    return degraded


def _interval(values: list[float]) -> tuple[float, float] | None:
    usable = len(values) > 1 and all(map(math.isfinite, values))
    return bootstrap_interval(values) if usable else None


def _gain(pairs: list[tuple[float, float]]) -> tuple[float | None, tuple[float, float] | None]:
    if not pairs or not all(math.isfinite(value) for pair in pairs for value in pair):
        return None, None
    first, second = zip(*pairs, strict=True)
    difference = paired_difference(first, second)
    return difference.mean, (difference.low, difference.high) if len(pairs) > 1 else None
