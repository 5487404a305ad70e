"""Where the marks of a plot lie: the PSNR of every photograph, one strip per model."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Dot", "Strip", "StripPlot", "strip_plot", "ticks"]

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_MOST_STEPS = 6
_MARGIN = 3
"""Kept free at both ends, in percent."""
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Dot:
    """One photograph."""

    x: float
    """From the left, in percent of the width."""
    y: float
    """From the top, in percent of the strip's height: only there to keep dots apart."""
    photograph: str
    psnr: float


@dataclass(frozen=True)
class Strip:
    """One model."""

    model: str
    dots: tuple[Dot, ...]
    mean: float | None
    """Where the mean lies, in percent; None where it is infinite."""
    interval: tuple[float, float] | None
    """Where the interval of the mean lies."""
    infinite: int
    """How many photographs have no place: their PSNR is infinite."""


@dataclass(frozen=True)
class StripPlot:
    """All models of a column on one scale."""

    strips: tuple[Strip, ...]
    ticks: tuple[tuple[float, str], ...]
    """Positions in percent, and what stands there, in dB."""


def strip_plot(rows: Iterable[Mapping[str, Any]], summaries: Iterable[Mapping[str, Any]]) -> StripPlot | None:
    """The plot of one column; None where it has no finite PSNR.

    Args:
        rows: of that column, as in a document; a PSNR that is null is infinite.
        summaries: of that column: the means and intervals.
    """
    by_model: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row)
    finite: list[float] = [row["psnr"] for group in by_model.values() for row in group if row["psnr"] is not None]
    if not finite:
        return None
    low, high = min(finite), max(finite)
    if low == high:
        low, high = low - 0.5, high + 0.5

    def place(psnr: float) -> float:
        return round(_MARGIN + (100 - 2 * _MARGIN) * (psnr - low) / (high - low), 3)

    means = {summary["model"]: summary for summary in summaries}
    strips = []
    for model, group in by_model.items():
        shown = [row for row in group if row["psnr"] is not None]
        summary = means.get(model, {})
        mean, interval = summary.get("psnr"), summary.get("psnr_interval")
        dots = tuple(
            Dot(place(row["psnr"]), round(15 + 70 * (index * _GOLDEN % 1), 1), row["photograph"], row["psnr"])
            for index, row in enumerate(shown)
        )
        strips.append(
            Strip(
                model,
                dots,
                None if mean is None else place(mean),
                None if interval is None else (place(interval[0]), place(interval[1])),
                len(group) - len(shown),
            )
        )
    return StripPlot(tuple(strips), tuple((place(tick), f"{tick:g}") for tick in ticks(low, high)))


def ticks(low: float, high: float) -> list[float]:
    """The round numbers from low to high: at least one, at most seven."""
    step = next((step for step in _STEPS if (high - low) / step <= _MOST_STEPS), _STEPS[-1])
    return [round(count * step, 6) for count in range(math.ceil(low / step), math.floor(high / step) + 1)]
