"""Paired differences between two ways to restore the same photographs: in all, by the input's quality, by frequency."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from pellucid.evaluation.candidates import DEGRADED
from pellucid.metrics import paired_difference, shown, sign_flip_p
from pellucid.studies.explanation.bands import BANDS
from pellucid.studies.explanation.feeding import ANOTHER, BOOSTED, FED, NETWORK, ZEROS
from pellucid.studies.explanation.measurement import ExplainedPhotograph

__all__ = ["FEWEST", "Comparison", "ExplainedBand", "ExplainedColumn", "Tercile", "columns_of"]

FEWEST = 6
"""Photographs below which no p of 0.05 is possible: of 5, all signs are alike in 2 of 32 cases."""
LEAST_SPREAD = 0.5
"""In dB: inputs closer than this are not told apart by their quality."""
LEAST_THIRD = 3
"""Photographs of a third by the input's quality."""


@dataclass(frozen=True)
class Comparison:
    """How much the first is above the second, in dB, on the same photographs.

    Attributes:
        first, second: what is compared.
        mean: of the differences.
        low, high: the 95 % interval of the mean, percentile bootstrap over photographs.
        p: two-sided, by flipping the signs of the differences.
        photographs: how many; those on which either has no error are left out.
        shown: 1 or -1 where the first is shown to be above or below by `metrics.shown`, else 0.
    """

    first: str
    second: str
    mean: float
    low: float
    high: float
    p: float
    photographs: int
    shown: int


@dataclass(frozen=True)
class Tercile:
    """A third of a column's photographs, by the PSNR of the input.

    Attributes:
        low, high: the PSNR of the inputs, in dB.
        comparisons: the gain, and R's with zeros and with another picture's vector.
    """

    low: float
    high: float
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class ExplainedBand:
    """One octave of the spatial frequency.

    Attributes:
        band: its name.
        low, high: its limits, in cycles per pixel.
        share: of the network's error that lies in it, 0..1, the mean over photographs.
        comparisons: of how many dB there is less error: boosted and fed zeros against the network, and boosted against
            fed zeros.
    """

    band: str
    low: float
    high: float
    share: float
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class ExplainedColumn:
    """One condition of one set.

    Attributes:
        data, condition, protocol: which.
        photographs: how many.
        psnr: the mean by what was run, in dB; null where it is infinite.
        comparisons: the gain, R however fed, other models, the student.
        changes: how far R's pictures are from those with their own vectors, root-mean-square, in levels of 8 bits, the
            mean.
        terciles: from the worst inputs to the best; empty where there are too few photographs, or all inputs are alike.
        bands: from fine to coarse.
        likeness: the mean cosine of the student's vectors and the prior's, or None.
    """

    data: str
    condition: str
    protocol: str
    photographs: int
    psnr: dict[str, float | None]
    comparisons: tuple[Comparison, ...]
    changes: dict[str, float]
    terciles: tuple[Tercile, ...]
    bands: tuple[ExplainedBand, ...]
    likeness: float | None

    def comparison(self, first: str, second: str) -> Comparison | None:
        """That of these two, if there is one."""
        return next((one for one in self.comparisons if (one.first, one.second) == (first, second)), None)


def columns_of(
    results: Iterable[ExplainedPhotograph], others: Sequence[str] = (), student: str | None = None
) -> list[ExplainedColumn]:
    """One column for each set and condition, in the order of the results.

    Args:
        results: of every photograph.
        others: names of further models, that the boosted one is compared with.
        student: the name of the model whose prior is distilled.
    """
    groups: dict[tuple[str, str, str], list[ExplainedPhotograph]] = {}
    for result in results:
        groups.setdefault(result.column, []).append(result)
    return [_column(group, others, student) for group in groups.values()]


def _column(group: list[ExplainedPhotograph], others: Sequence[str], student: str | None) -> ExplainedColumn:
    pairs = [(BOOSTED, NETWORK), *((BOOSTED, fed) for fed in FED), *((BOOSTED, other) for other in others)]
    pairs += [(student, BOOSTED)] if student else []
    means = {name: fmean(result.psnr[name] for result in group) for name in group[0].psnr}
    likeness = [result.likeness for result in group if result.likeness is not None]
    return ExplainedColumn(
        *group[0].column,
        photographs=len(group),
        psnr={name: mean if math.isfinite(mean) else None for name, mean in means.items()},
        comparisons=_of_psnr(group, pairs),
        changes={name: fmean(result.changes[name] for result in group) for name in group[0].changes},
        terciles=tuple(_terciles(group)),
        bands=tuple(_band(group, index) for index in range(len(BANDS))),
        likeness=fmean(likeness) if likeness else None,
    )


def _of_psnr(group: Sequence[ExplainedPhotograph], pairs: Iterable[tuple[str, str]]) -> tuple[Comparison, ...]:
    return _compared(group, pairs, lambda result, name: result.psnr.get(name, math.nan))


def _terciles(group: Sequence[ExplainedPhotograph]) -> Iterable[Tercile]:
    ordered = sorted(
        (result for result in group if math.isfinite(result.psnr[DEGRADED])), key=lambda result: result.psnr[DEGRADED]
    )
    if len(ordered) < 3 * LEAST_THIRD or ordered[-1].psnr[DEGRADED] - ordered[0].psnr[DEGRADED] < LEAST_SPREAD:
        return
    limits = [round(part * len(ordered) / 3) for part in range(4)]
    for start, end in pairwise(limits):
        third = ordered[start:end]
        comparisons = _of_psnr(third, [(BOOSTED, NETWORK), (BOOSTED, ZEROS), (BOOSTED, ANOTHER)])
        yield Tercile(third[0].psnr[DEGRADED], third[-1].psnr[DEGRADED], comparisons)


def _band(group: Sequence[ExplainedPhotograph], index: int) -> ExplainedBand:
    def quality(result: ExplainedPhotograph, name: str) -> float:
        energy = result.bands[name][index]
        return -10 * math.log10(energy) if energy > 0 else math.inf

    band = BANDS[index]
    totals = [sum(result.bands[NETWORK]) for result in group]
    shares = [result.bands[NETWORK][index] / total for result, total in zip(group, totals, strict=True) if total > 0]
    pairs = [(BOOSTED, NETWORK), (ZEROS, NETWORK), (BOOSTED, ZEROS)]
    share = fmean(shares) if shares else 0.0
    return ExplainedBand(band.name, band.low, band.high, share, _compared(group, pairs, quality))


def _compared(
    group: Sequence[ExplainedPhotograph],
    pairs: Iterable[tuple[str, str]],
    value: Callable[[ExplainedPhotograph, str], float],
) -> tuple[Comparison, ...]:
    """The pairs for which at least two photographs have finite values."""
    found = []
    for first, second in pairs:
        both = [(value(result, first), value(result, second)) for result in group]
        both = [pair for pair in both if all(map(math.isfinite, pair))]
        if len(both) > 1:
            ours, theirs = zip(*both, strict=True)
            one, p = paired_difference(ours, theirs), sign_flip_p(ours, theirs)
            found.append(Comparison(first, second, one.mean, one.low, one.high, p, len(both), shown(one, p)))
    return tuple(found)
