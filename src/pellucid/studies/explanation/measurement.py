"""What is measured of every photograph: PSNR and spectrum of its error, however R is fed, and those of other models."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import ModelError, PellucidError
from pellucid.evaluation.candidates import DEGRADED, Candidate
from pellucid.evaluation.cases import Case, ahead
from pellucid.evaluation.score import Failure
from pellucid.evaluation.sets import TestSet
from pellucid.metrics import Protocol
from pellucid.priors import Student
from pellucid.studies.explanation.bands import band_energies
from pellucid.studies.explanation.feeding import (
    ANOTHER,
    BOOSTED,
    FED,
    NETWORK,
    RANDOM,
    ZEROS,
    Subject,
    partner,
    random_like,
)
from pellucid.studies.probing import FEWEST, numbers_of, readable_of_all

__all__ = ["ExplainedPhotograph", "Measurement"]

SPECTRA = (DEGRADED, NETWORK, BOOSTED, ZEROS)
"""Whose errors are told by frequency."""


@dataclass(frozen=True)
class ExplainedPhotograph:
    """One photograph of one column.

    Attributes:
        data: the set.
        condition: how it was degraded.
        protocol: how the PSNR was made.
        photograph: its name.
        psnr: in dB, of the input (`DEGRADED`), of the network alone, of R however fed, and of other models, by name;
            infinite where nothing differs.
        bands: the error's energy in each of `BANDS`, for `SPECTRA`.
        changes: how far R's result is from that with the picture's own vector, root-mean-square, in levels of 8 bits;
            for `FED`.
        likeness: the cosine of the student's vector and the prior's, where there is a student.
    """

    data: str
    condition: str
    protocol: str
    photograph: str
    psnr: dict[str, float]
    bands: dict[str, tuple[float, ...]]
    changes: dict[str, float]
    likeness: float | None = None

    @property
    def column(self) -> tuple[str, str, str]:
        """What numbers must share to be compared: data, condition, protocol."""
        return self.data, self.condition, self.protocol

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no infinity: a PSNR of identical pictures is null."""
        psnr = {name: value if math.isfinite(value) else None for name, value in self.psnr.items()}
        return {**vars(self), "psnr": psnr, "bands": {name: list(value) for name, value in self.bands.items()}}


@dataclass(frozen=True)
class Measurement:
    """What is measured on one set.

    Attributes:
        subject: the model.
        photographs: the set.
        protocol: how the PSNR is made.
        sigmas: levels of noise as the tables draw it, for a set of clean photographs.
        seed: of all that is drawn.
        others: further models, by name.
        student: the subject's prior, distilled.
        degradations: instead of noise, what is done to clean photographs, as texts.
        probes: filled by `run`: by condition, what is readable of the clean pictures from R's features
            (`probing.readable_of_all`); nothing where there are too few.
    """

    subject: Subject
    photographs: TestSet
    protocol: Protocol
    sigmas: Sequence[float] = ()
    seed: int = 0
    others: Sequence[Candidate] = ()
    student: Student | None = None
    degradations: Sequence[str] = ()
    probes: dict[str, dict[str, float]] = field(default_factory=dict)

    def cases(self) -> list[Case]:
        """The photographs, anew: noise on 8 bits is one stream, so they are loaded from the first on each time."""
        return self.photographs.cases(self.protocol, self.sigmas, self.seed, self.degradations)

    @property
    def total(self) -> int:
        """How many photographs `run` speaks of, at most."""
        return len(self.photographs.files) * len(self.photographs.conditions(self.sigmas, self.degradations))

    def run(self) -> Iterator[ExplainedPhotograph | Failure]:
        """Measures everything; a photograph that cannot be read or scored is a failure, and the others go on.

        The photographs are read twice: once for all vectors, since each is fed another's, and once to be restored.

        Raises:
            ModelError: a model fails, or is not for the task.
        """
        vectors: dict[str, dict[str, Tensor]] = {}
        told: dict[str, list[dict[str, Tensor]]] = {}
        for case, loaded in ahead(self.cases()):
            try:
                degraded, clean = loaded.result()
                vectors.setdefault(case.condition, {})[case.photograph] = self.subject.feature(degraded)
            except PellucidError as error:
                yield Failure(case.data, case.condition, case.photograph, str(error))
            else:
                if degraded.shape == clean.shape:
                    told.setdefault(case.condition, []).append(numbers_of(degraded, clean))
        for condition, numbers in told.items():
            found = list(vectors[condition].values())
            if FEWEST <= len(found) == len(numbers) and len({feature.shape for feature in found}) == 1:
                stacked = {what: torch.stack([one[what] for one in numbers]) for what in numbers[0]}
                self.probes[condition] = readable_of_all(torch.cat(found), stacked)
        for case, loaded in ahead(self.cases()):
            known = vectors.get(case.condition, {})
            if case.photograph in known:
                yield self._result(case, *loaded.result(), known)

    def _result(
        self, case: Case, degraded: Tensor, clean: Tensor, vectors: dict[str, Tensor]
    ) -> ExplainedPhotograph | Failure:
        found = self.subject.results(degraded, self.vectors_fed(case, vectors)) if degraded.shape == clean.shape else {}
        found |= {other.name: other.restored(degraded, clean, case.told) for other in self.others if other.restore}
        for name, image in {DEGRADED: degraded, **found}.items():
            if image.shape != clean.shape:
                raise ModelError(
                    f"{name}: {image.shape[3]} x {image.shape[2]} pixels of {case.photograph}, whose clean picture has "
                    f"{clean.shape[3]} x {clean.shape[2]}; the model is not for the task of {case.data}"
                )
        found = {DEGRADED: degraded, **found}
        try:
            psnr = {name: float(self.protocol.score(image, clean).psnr) for name, image in found.items()}
        except ValueError as error:
            return Failure(case.data, case.condition, case.photograph, str(error))
        return ExplainedPhotograph(
            case.data,
            case.condition,
            self.protocol.name,
            case.photograph,
            psnr,
            bands={name: band_energies(found[name], clean) for name in SPECTRA},
            changes={name: _distance(found[name], found[BOOSTED]) for name in FED if name in found},
            likeness=self._likeness(degraded, vectors[case.photograph]),
        )

    def vectors_fed(self, case: Case, vectors: dict[str, Tensor]) -> dict[str, Tensor]:
        """What R is fed with for a photograph, given the vectors of all photographs of its condition by name."""
        own, names = vectors[case.photograph], list(vectors)
        fed = {BOOSTED: own, ZEROS: torch.zeros_like(own)}
        if len(names) > 1:
            fed[ANOTHER] = vectors[names[partner(names.index(case.photograph), len(names))]]
        return fed | {RANDOM: random_like(own, case.data, case.condition, case.photograph)}

    def _likeness(self, degraded: Tensor, own: Tensor) -> float | None:
        if self.student is None:
            return None
        with torch.no_grad():
            vector = self.student(degraded.float().to(next(self.student.parameters()).device))
        return float(torch.cosine_similarity(vector.cpu(), own).mean())


def _distance(first: Tensor, second: Tensor) -> float:
    return float((first - second).double().square().mean().sqrt() * 255)
