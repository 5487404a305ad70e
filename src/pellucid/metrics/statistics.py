"""How sure an average is: percentile bootstrap intervals (Efron 1979) and permutation tests, fixed by a seed."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Difference", "bootstrap_interval", "paired_difference", "shown", "sign_flip_p"]

LEVEL = 0.05
"""The p above which nothing is shown; below 6 pictures none is possible: of 5, all signs are alike in 2 of 32 cases."""
SMALLEST = 0.005
"""In dB: a difference below is 0.00 in every table, however sure it is."""

# Values drawn at a time: bounds the memory at a few tens of megabytes, whatever the number of pictures.
_CHUNK = 1 << 21


@dataclass(frozen=True)
class Difference:
    """The average of a - b over pictures, and the interval that holds it."""

    mean: float
    low: float
    high: float
    n: int
    """How many pictures."""

    @property
    def significant(self) -> bool:
        """Whether the interval leaves 0 out (never so where there is no interval)."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}] over {self.n}"


def bootstrap_interval(
    values: ArrayLike, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval (low, high) of the mean of `values` at confidence `level`.

    Args:
        values: one per picture, (pictures,); or of several trainings, (runs, pictures): then both are resampled, for
            another seed would have given other numbers, too (Owen, "The pigeonhole bootstrap", Annals of Applied
            Statistics, 2007).
        level: of confidence.
        resamples: how many means are drawn.
        seed: of the draws.

    One picture alone tells nothing of its spread: the interval is then (nan, nan). Raises ValueError for no value, a
    value that is not finite (the PSNR of identical pictures), or a level outside (0, 1).
    """
    sample = _sample(values)
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    runs, pictures = sample.shape
    if pictures == 1:
        return float("nan"), float("nan")
    generator, of_seeds = np.random.default_rng(seed), np.random.default_rng((seed, 1))
    size = max(1, _CHUNK // sample.size)
    means = []
    for start in range(0, resamples, size):
        count = min(size, resamples - start)
        drawn = generator.integers(0, pictures, (count, pictures))
        if runs == 1:
            means.append(sample[0][drawn].mean(1))
        else:
            of_runs = sample[of_seeds.integers(0, runs, (count, runs))].mean(1)
            means.append(np.take_along_axis(of_runs, drawn, 1).mean(1))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_difference(
    a: ArrayLike, b: ArrayLike, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Difference:
    """The mean of a - b, where a[i] and b[i] are two systems' numbers for one picture, with its bootstrap interval.

    Pictures are resampled in pairs, so what makes a picture hard for both cancels. Of several trainings, (runs,
    pictures), a[r] and b[r] are of one seed, and runs are resampled in pairs, too. Raises ValueError where the shapes
    differ, and as `bootstrap_interval` does.
    """
    difference = _paired(a, b)
    low, high = bootstrap_interval(difference, level=level, resamples=resamples, seed=seed)
    return Difference(mean=float(difference.mean()), low=low, high=high, n=difference.shape[1])


def sign_flip_p(a: ArrayLike, b: ArrayLike, *, resamples: int = 10_000, seed: int = 0) -> float:
    """The two-sided p-value of "a and b are as good as each other": Fisher's permutation test for pairs (1935).

    If it were so, each difference a[i] - b[i] would have either sign as likely; p is the part of all choices of signs
    whose mean is at least as far from 0 as the one seen. All choices are tried for up to 13 pairs, else `resamples`
    random ones, with the one seen among them (so p is never 0). Of several trainings, (runs, pictures), each picture's
    difference is the mean over them. Raises ValueError as `paired_difference` does.
    """
    difference = _paired(a, b).mean(0)
    n = len(difference)
    if n <= 13:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        signs = np.random.default_rng(seed).integers(0, 2, (resamples, n)) * 2.0 - 1.0
        signs[0] = 1.0
    # Sums that are equal on paper may differ in their last bits.
    far = np.abs(signs @ difference) >= abs(difference.sum()) * (1 - 1e-12)
    return float(far.mean())


def shown(difference: Difference, p: float) -> int:
    """1 or -1 where the first is shown to be above or below the second, else 0.

    The interval must leave out 0, p (of `sign_flip_p`) be 0.05 at most, and the mean be at least 0.005 dB.
    """
    proven = difference.significant and p <= LEVEL and abs(difference.mean) >= SMALLEST
    return int(math.copysign(1, difference.mean)) if proven else 0


def _paired(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """The differences a - b, (runs, pictures)."""
    first, second = _sample(a), _sample(b)
    if first.shape != second.shape:
        raise ValueError(f"paired values must be as many, got {np.shape(a)} and {np.shape(b)}")
    return first - second


def _sample(values: ArrayLike) -> NDArray[np.float64]:
    """Values (pictures,) or (runs, pictures) as (runs, pictures)."""
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim not in (1, 2) or not sample.size:
        raise ValueError(f"expected a non-empty list of values, one per picture, got shape {sample.shape}")
    sample = np.atleast_2d(sample)
    if not np.isfinite(sample).all():
        raise ValueError(
            "a value is not finite, so the mean has no interval; leave out identical pictures (infinite PSNR)"
        )
    return sample
