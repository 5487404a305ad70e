"""From rows to the numbers of a table: means, intervals, and paired gains over one model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from pellucid.evaluation.candidates import DEGRADED
from pellucid.evaluation.rows import Row
from pellucid.metrics import bootstrap_interval, paired_difference, sign_flip_p

__all__ = ["Summary", "default_baseline", "summarise"]

Interval = tuple[float, float]


@dataclass(frozen=True)
class Summary:
    """Means over the photographs of one column, and the paired difference in PSNR to the baseline.

    Attributes:
        model: the candidate.
        data: the set or folder.
        condition: how its photographs were degraded.
        protocol: how the numbers were made.
        photographs: how many.
        psnr: in dB.
        psnr_interval: 95 %, percentile bootstrap over photographs; None where there are too few, or scores are
            infinite.
        ssim: by the protocol's variant.
        ssim_interval: as that of the PSNR.
        seconds: per photograph, or None.
        memory: the largest peak in bytes, or None.
        gain: in PSNR over the baseline, on the photographs of both; None for the baseline itself and for the input.
        gain_interval: 95 %, paired.
        gain_p: two-sided, by flipping the signs of the differences.
        extra: the means of further metrics, by name.
        identical: how many pictures have an infinite PSNR, which makes the mean infinite too.
    """

    model: str
    data: str
    condition: str
    protocol: str
    photographs: int
    psnr: float
    psnr_interval: Interval | None
    ssim: float
    ssim_interval: Interval | None
    seconds: float | None
    memory: int | None
    gain: float | None = None
    gain_interval: Interval | None = None
    gain_p: float | None = None
    extra: dict[str, float] = field(default_factory=dict)
    identical: int = 0


def summarise(rows: Sequence[Row], *, baseline: str | None = None) -> list[Summary]:
    """One summary per column and model, in the order of the rows.

    Args:
        rows: of any number of models and columns.
        baseline: the model that gains are measured against; None takes the first that is not the input.
    """
    groups: dict[tuple[str, str, str], dict[str, list[Row]]] = {}
    for row in rows:
        groups.setdefault(row.column, {}).setdefault(row.model, []).append(row)
    baseline = baseline or default_baseline(rows)
    return [
        _summary(group, by_model.get(baseline, []) if model not in (baseline, DEGRADED) else [])
        for by_model in groups.values()
        for model, group in by_model.items()
    ]


def default_baseline(rows: Sequence[Row]) -> str:
    """The first model of the rows that is not the input."""
    return next((row.model for row in rows if row.model != DEGRADED), DEGRADED)


def _summary(rows: list[Row], baseline: list[Row]) -> Summary:
    first = rows[0]
    gain, gain_interval, gain_p = _gain(rows, baseline)
    seconds = [row.seconds for row in rows if row.seconds is not None]
    return Summary(
        model=first.model,
        data=first.data,
        condition=first.condition,
        protocol=first.protocol,
        photographs=len(rows),
        psnr=fmean(row.psnr for row in rows),
        psnr_interval=_interval([row.psnr for row in rows]),
        ssim=fmean(row.ssim for row in rows),
        ssim_interval=_interval([row.ssim for row in rows]),
        seconds=fmean(seconds) if seconds else None,
        identical=sum(row.psnr == math.inf for row in rows),
        memory=max((row.memory for row in rows if row.memory is not None), default=None),
        gain=gain,
        gain_interval=gain_interval,
        gain_p=gain_p,
        extra={
            name: fmean(row.extra[name] for row in rows)
            for name in first.extra
            if all(name in row.extra for row in rows)
        },
    )


def _interval(values: list[float]) -> Interval | None:
    usable = len(values) > 1 and all(map(math.isfinite, values))
    return bootstrap_interval(values) if usable else None


def _gain(rows: list[Row], baseline: list[Row]) -> tuple[float | None, Interval | None, float | None]:
    reference = {row.photograph: row.psnr for row in baseline}
    pairs = [(row.psnr, reference[row.photograph]) for row in rows if row.photograph in reference]
    if not pairs or not all(math.isfinite(value) for pair in pairs for value in pair):
        return None, None, None
    first, second = zip(*pairs, strict=True)
    difference = paired_difference(first, second)
    if len(pairs) == 1:
        return difference.mean, None, None
    return difference.mean, (difference.low, difference.high), sign_flip_p(first, second)
