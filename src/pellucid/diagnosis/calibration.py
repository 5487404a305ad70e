"""Making probabilities and intervals mean what they say, on examples that nothing was trained on; measuring that.

Probabilities: temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, arXiv
1706.04599). Intervals: conformalised quantile regression (Romano, Patterson and Candès, NeurIPS 2019, arXiv
1905.03222), whose coverage holds for any number of examples as long as they are of one distribution and independent;
several degradations of one photograph are not quite.
"""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Bin", "conformal_margin", "expected_error", "fit_temperature", "reliability"]

COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures beyond these are not looked for: examples that are all told right would ask for zero."""
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Bin:
    """Predictions of about one probability, and what became of them.

    Attributes:
        low, high: the probabilities that belong here, low < p <= high (the first bin has its low too).
        count: predictions.
        predicted: their mean probability; 0 where there are none.
        observed: the part of them that came true; 0 where there are none.
    """

    low: float
    high: float
    count: int
    predicted: float
    observed: float


def fit_temperature(logits: Tensor, present: Tensor) -> float:
    """The temperature T for which sigmoid(logits / T) has the smallest cross-entropy with `present`, in 0.05..20.

    1 where `present` is all true or all false, which says nothing of a temperature.

    Args:
        logits: (n,).
        present: (n,), bool or 0 and 1.
    """
    logits, truth = logits.detach().double(), present.double()
    if not len(truth) or not 0 < float(truth.mean()) < 1:
        return 1.0

    def cost(log_temperature: float) -> float:
        return float(F.binary_cross_entropy_with_logits(logits / math.exp(log_temperature), truth))

    # The cost is convex in 1 / T, so it has one valley in log T too: a golden-section search finds it.
    low, high = math.log(COLDEST), math.log(HOTTEST)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = cost(left), cost(right)
    while high - low > 1e-6:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = cost(right)
    return math.exp((low + high) / 2)


def conformal_margin(low: Tensor, high: Tensor, truth: Tensor, coverage: float) -> float:
    """By how much intervals must be widened on both sides (narrowed, if negative) to hold a new truth with `coverage`.

    The smallest of the examples' own margins, max(low - truth, truth - high), that ceil((n + 1) coverage) of them do
    not exceed. Infinite where there are too few examples to promise anything: fewer than coverage / (1 - coverage).

    Args:
        low, high, truth: (n,).
        coverage: 0 to 1.
    """
    margins = np.sort(np.maximum((low - truth).double().numpy(), (truth - high).double().numpy()))
    rank = math.ceil((len(margins) + 1) * coverage)
    return float(margins[rank - 1]) if 0 < rank <= len(margins) else math.inf


def reliability(probabilities: Tensor, present: Tensor, bins: int = 10) -> tuple[Bin, ...]:
    """The reliability table: predictions by their probability, in `bins` equal steps from 0 to 1.

    Args:
        probabilities: (n,) in [0, 1].
        present: (n,), bool or 0 and 1.
    """
    places = (probabilities * bins).ceil().long().clamp(1, bins) - 1
    table = []
    for place in range(bins):
        here = places == place
        count = int(here.sum())
        predicted, observed = (
            float(values[here].double().mean()) if count else 0.0 for values in (probabilities, present)
        )
        table.append(Bin(place / bins, (place + 1) / bins, count, predicted, observed))
    return tuple(table)


def expected_error(probabilities: Tensor, present: Tensor, bins: int = 10) -> float:
    """The expected calibration error, 0 to 1: |predicted - observed| of `reliability`'s bins, weighted by counts."""
    table = reliability(probabilities, present, bins)
    total = sum(row.count for row in table)
    return sum(row.count * abs(row.predicted - row.observed) for row in table) / max(total, 1)
