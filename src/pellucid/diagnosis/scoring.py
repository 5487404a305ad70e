"""How often a diagnoser is right: clean photographs, degraded one way at a time, and what it says of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.degradations import KINDS, Clean, Degradation, parse_drawn, severities
from pellucid.degradations.mixtures import SINGLE
from pellucid.diagnosis.calibration import expected_error, reliability
from pellucid.diagnosis.diagnoser import Diagnoser
from pellucid.diagnosis.findings import Diagnosis
from pellucid.images import quantise

__all__ = ["NOTHING", "DiagnosisTrial", "Score", "score_singles", "single_degradations"]

NOTHING = "nothing wrong"
"""What a clean photograph is told to have."""


@dataclass(frozen=True)
class DiagnosisTrial:
    """One photograph that was degraded in a known way, and what was said of it."""

    degradation: Degradation
    diagnosis: Diagnosis

    @property
    def applied(self) -> str:
        """The kind that was applied, or NOTHING."""
        return next(iter(severities(self.degradation)), NOTHING)

    @property
    def told(self) -> str:
        """The likeliest kind, or NOTHING where no kind is more likely there than not."""
        return NOTHING if self.diagnosis.nothing_wrong else self.diagnosis.likeliest.kind

    @property
    def severity(self) -> float:
        """How strong the degradation was, 0 to 100."""
        return max(severities(self.degradation).values(), default=0.0)


@dataclass(frozen=True)
class Score:
    """What came of many trials of single degradations.

    Accuracies count every trial: a degradation that is overlooked is as wrong as one that is mistaken for another.
    """

    trials: tuple[DiagnosisTrial, ...]

    @cached_property
    def confusion(self) -> dict[str, dict[str, int]]:
        """Trials by what was applied and what was told, NOTHING among both."""
        names = (*KINDS, NOTHING)
        table = {applied: dict.fromkeys(names, 0) for applied in names}
        for trial in self.trials:
            table[trial.applied][trial.told] += 1
        return table

    @property
    def accuracy(self) -> float:
        """The part of the trials where what was told is what was applied."""
        return _mean([trial.told == trial.applied for trial in self.trials])

    @property
    def likeliest_accuracy(self) -> float:
        """The same, but degraded photographs are asked for the likeliest kind only, however unlikely it is."""
        return _mean(
            [
                (trial.told if trial.applied == NOTHING else trial.diagnosis.likeliest.kind) == trial.applied
                for trial in self.trials
            ]
        )

    @property
    def severity_error(self) -> float:
        """Mean absolute error of the severity of the kind that was applied, in points of 100."""
        return _mean([abs(self._finding(trial).severity - trial.severity) for trial in self._degraded])

    @property
    def coverage(self) -> float:
        """The part of the degraded photographs whose severity lies in the interval that was told."""
        found = [(self._finding(trial), trial.severity) for trial in self._degraded]
        return _mean([finding.low <= severity <= finding.high for finding, severity in found])

    @property
    def interval(self) -> float:
        """Mean width of those intervals, in points of 100."""
        found = [self._finding(trial) for trial in self._degraded]
        return _mean([finding.high - finding.low for finding in found])

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: the numbers, the reliability table and calibration error of every kind, the confusion matrix."""
        return {
            "trials": len(self.trials),
            "accuracy": _rounded(self.accuracy),
            "likeliest_accuracy": _rounded(self.likeliest_accuracy),
            "severity_error": _rounded(self.severity_error, 2),
            "coverage": _rounded(self.coverage),
            "coverage_stated": self.trials[0].diagnosis.coverage if self.trials else None,
            "interval": _rounded(self.interval, 2),
            "calibration_error": _rounded(expected_error(*self._presence(None))),
            "kinds": {kind: self._of_kind(kind) for kind in KINDS},
            "confusion": self.confusion,
        }

    def _of_kind(self, kind: str) -> dict[str, Any]:
        part = Score(tuple(trial for trial in self.trials if trial.applied == kind))
        probabilities, present = self._presence(kind)
        return {
            "accuracy": _rounded(part.accuracy),
            "severity_error": _rounded(part.severity_error, 2),
            "coverage": _rounded(part.coverage),
            "calibration_error": _rounded(expected_error(probabilities, present)),
            "reliability": [
                {"predicted": _rounded(row.predicted), "observed": _rounded(row.observed), "count": row.count}
                for row in reliability(probabilities, present)
                if row.count
            ],
        }

    def _presence(self, kind: str | None) -> tuple[Tensor, Tensor]:
        """Probabilities and whether it was so, over all trials, of one kind or of all."""
        pairs = [
            (finding.probability, finding.kind == trial.applied)
            for trial in self.trials
            for finding in trial.diagnosis.findings
            if kind in (None, finding.kind)
        ]
        return torch.tensor([one for one, _ in pairs]), torch.tensor([so for _, so in pairs])

    @cached_property
    def _degraded(self) -> tuple[DiagnosisTrial, ...]:
        return tuple(trial for trial in self.trials if trial.applied != NOTHING)

    @staticmethod
    def _finding(trial: DiagnosisTrial) -> Any:
        return trial.diagnosis[trial.applied]


def score_singles(diagnoser: Diagnoser, photographs: Iterable[Tensor], *, seed: int = 0) -> Iterator[DiagnosisTrial]:
    """Every photograph as it is, and with every kind of degradation, one at a time, for `Score(tuple(...))`.

    Each kind's family, its strength and its random numbers are drawn from the seed and the photograph's number; the
    result is stored with 8 bits, as a file would be.

    Args:
        diagnoser: what is scored.
        photographs: clean ones, (3, H, W) in [0, 1].
        seed: of the draws.
    """
    for number, clean in enumerate(photographs):
        for place, degradation in enumerate([Clean(), *single_degradations(seed, number)]):
            generator = _generator(seed, number, 1 + place)
            yield DiagnosisTrial(degradation, diagnoser(quantise(degradation(clean, generator), 8)))


def single_degradations(seed: int, number: int) -> list[Degradation]:
    """One degradation of every kind for photograph `number`, in the order of KINDS."""
    generator = _generator(seed, number, 0)
    drawn = []
    for kind in KINDS:
        families = SINGLE[kind]
        place = int(torch.randint(len(families), (), generator=generator))
        drawn.append(parse_drawn(families[place]).draw(generator))
    return drawn


def _generator(seed: int, number: int, place: int) -> torch.Generator:
    entropy = np.random.SeedSequence([seed, number, place]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(entropy >> 1))


def _mean(values: Iterable[float]) -> float:
    """The mean; not a number where there is none."""
    found = [float(value) for value in values]
    return sum(found) / len(found) if found else float("nan")


def _rounded(value: float, digits: int = 4) -> float | None:
    """For JSON, which has no word for what is not a number."""
    return round(value, digits) if value == value else None
