"""What a prior's vector says of the clean picture: how well a straight line reads the oracle's numbers from it.

R can gain from a prior what the prior says and the degraded picture does not. Whether there is anything to be heard is
cheap to find out, before anything is trained: ridge regression from the vectors of photographs to what `priors.Oracle`
is told of them, judged on photographs that the regression has not seen.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.evaluation.cases import Case, ahead
from pellucid.evaluation.score import Failure
from pellucid.priors import TOLD, Prior

__all__ = ["FEWEST", "ProbeResult", "numbers_of", "probe", "readable", "readable_of_all"]

FOLDS = 5
FEWEST = 20
"""Photographs below which a fifth of them says nothing."""
STRENGTHS = torch.logspace(-6, 4, 41, dtype=torch.float64)
"""Of the ridge, relative to the mean energy of a direction."""


@dataclass(frozen=True)
class ProbeResult:
    """What is readable from one prior's vectors in one condition.

    Attributes:
        prior: its name.
        width: numbers of its vector.
        condition: how the photographs were degraded.
        photographs: how many.
        readable: by what an oracle may be told (`priors.TOLD`), the cross-validated R²: 1 where everything is read, 0
            where nothing is, below 0 where the mean would be the better guess.
    """

    prior: str
    width: int
    condition: str
    photographs: int
    readable: dict[str, float]


def probe(
    priors: Sequence[Prior], cases: Sequence[Case], *, show: Callable[[int, str], object] = lambda done, what: None
) -> Iterator[ProbeResult | Failure]:
    """Probes priors on degraded photographs with clean partners, condition by condition, all read once.

    Photographs that cannot be read, and conditions with fewer than `FEWEST`, are failures.

    Args:
        priors: what is asked.
        cases: the photographs.
        show: told of each photograph: how many are done, and which it was.
    """
    seen: dict[str, list[tuple[list[Tensor], dict[str, Tensor]]]] = {}
    for done, (case, loaded) in enumerate(ahead(cases), start=1):
        show(done, f"{case.condition} {case.photograph}")
        try:
            degraded, clean = loaded.result()
            row = [prior(degraded)[0].cpu() for prior in priors], numbers_of(degraded, clean)
        except (PellucidError, ValueError) as error:
            yield Failure(case.data, case.condition, case.photograph, str(error))
        else:
            seen.setdefault(case.condition, []).append(row)
    for condition, rows in seen.items():
        if len(rows) < FEWEST:
            reason = f"{len(rows)} photographs; a probe needs {FEWEST}"
            yield Failure(cases[0].data, condition, "all", reason)
            continue
        numbers = {what: torch.stack([told[what] for _, told in rows]) for what in TOLD}
        for place, prior in enumerate(priors):
            vectors = torch.stack([found[place] for found, _ in rows])
            yield ProbeResult(prior.name, prior.width, condition, len(rows), readable_of_all(vectors, numbers))


def numbers_of(degraded: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """What each oracle is told of a picture (1, 3, H, W) and its clean partner, (n,) each."""
    return {what: measure(degraded, clean)[0].cpu() for what, (measure, _) in TOLD.items()}


def readable_of_all(vectors: Tensor, numbers: Mapping[str, Tensor]) -> dict[str, float]:
    """`readable`, by what is told; what is the same in all photographs is left out."""
    return {
        what: readable(vectors, told)
        for what, told in numbers.items()
        if float(told.double().var(0, correction=0).sum()) > 1e-9
    }


def readable(vectors: Tensor, numbers: Tensor, *, folds: int = FOLDS) -> float:
    """Cross-validated R² of ridge regression from vectors (N, width) to numbers (N, n), over all n together.

    The folds are blocks of neighbours, as equal as can be: of one scene under several degradations, whose files stand
    beside one another, all are judged or all are learnt from. Else the scene would be recognised, and with it the clean
    picture. The strength of the ridge is chosen on the other folds alone, by the error of leaving one out, which has a
    closed form.

    Raises:
        ValueError: fewer than two photographs a fold.
    """
    features, targets = vectors.double().flatten(1), numbers.double()
    if len(features) < 2 * folds:
        raise ValueError(f"{folds} folds need {2 * folds} photographs, got {len(features)}")
    fold = torch.arange(len(features)) * folds // len(features)
    left, all_of_it = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for number in range(folds):
        learnt, judged = fold != number, fold == number
        mean, level = features[learnt].mean(0), targets[learnt].mean(0)
        guess = _ridge(features[learnt] - mean, targets[learnt] - level, features[judged] - mean) + level
        left += (targets[judged] - guess).square().sum()
        all_of_it += (targets[judged] - level).square().sum()
    return float(1 - left / all_of_it)


def _ridge(features: Tensor, targets: Tensor, asked: Tensor) -> Tensor:
    """The prediction for `asked` (M, width) of a ridge regression of centred `targets` (N, n) on centred features."""
    left, singular, right = torch.linalg.svd(features, full_matrices=False)
    energy = singular.square()
    if float(energy.sum()) == 0:
        return asked.new_zeros(len(asked), targets.shape[1])
    along = left.T @ targets
    best, least = None, float("inf")
    for strength in STRENGTHS * energy.mean():
        kept = energy / (energy + strength)
        residual = targets - left @ (kept[:, None] * along)
        # The mean was taken from the same photographs, which is one more direction that each has a share of 1 / N in.
        leverage = (left.square() @ kept) + 1 / len(features)
        error = float((residual / (1 - leverage).clamp_min(1e-6)[:, None]).square().sum())
        if error < least:
            best, least = strength, error
    assert best is not None
    weights: Tensor = right.T @ ((singular / (energy + best))[:, None] * along)
    return asked @ weights
