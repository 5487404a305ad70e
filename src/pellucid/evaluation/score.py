"""Scores of candidates on cases: one row per candidate and photograph, each by its column's protocol."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol as Interface

from torch import Tensor

from pellucid.errors import ModelError, PellucidError
from pellucid.evaluation.candidates import Candidate
from pellucid.evaluation.cases import Case, ahead
from pellucid.evaluation.measuring import Cost, measured
from pellucid.evaluation.rows import Row, RowStore, key_of
from pellucid.images.resizing import bicubic
from pellucid.metrics import Protocol

__all__ = ["Evaluation", "Failure", "Keeper", "Metric"]

Metric = Callable[[Tensor, Tensor], float]
"""(restored, clean), (1, 3, H, W) each, to a number."""

_WAITING = 4
"""Scores computed behind the restorations, at most: it bounds the pictures that are held."""


@dataclass(frozen=True)
class Failure:
    """A photograph that could not be scored, and why."""

    data: str
    condition: str
    photograph: str
    reason: str


class Keeper(Interface):
    """Something that keeps pictures of an evaluation: files of what was restored, crops for a report."""

    def has(self, case: Case, model: str, key: str | None) -> bool:
        """Whether it is there from an earlier run, and belongs to the row of this key."""
        ...

    def keep(self, case: Case, model: str, key: str | None, restored: Tensor, degraded: Tensor, clean: Tensor) -> None:
        """Keeps what it wants of one result, (1, 3, H, W) each."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """How candidates are scored.

    Attributes:
        candidates: what restores. Where the clean photograph is larger, the input is scored as the bicubic kernel
            enlarges it.
        protocol: how the numbers are made.
        store: rows known from an earlier run, to which new ones are added.
        keepers: what else is kept of the results.
        metrics: further ones by name.
        share: (i, n): of n processes that share the work, this is number i from 1; it takes every n-th photograph.
    """

    candidates: Sequence[Candidate]
    protocol: Protocol
    store: RowStore | None = None
    keepers: Sequence[Keeper] = ()
    metrics: Mapping[str, Metric] | None = None
    share: tuple[int, int] = (1, 1)

    def run(self, cases: Sequence[Case]) -> Iterator[Row | Failure]:
        """Scores every candidate on every case, each loaded once for all; yields a row as soon as it is known.

        The next case is read, and the last results are scored, while a candidate works. A photograph that cannot be
        read or scored is a failure, and the others go on.

        Raises:
            ModelError: a candidate's result has another size than the clean photograph.
        """
        number, processes = self.share
        scoring: deque[Future[Row | Failure]] = deque()
        with ThreadPoolExecutor(1) as scorer:
            for index, (case, loaded) in enumerate(ahead(cases)):
                if index % processes != number - 1:
                    continue
                try:
                    pictures = loaded.result()
                except PellucidError as error:
                    yield from _drained(scoring)
                    yield Failure(case.data, case.condition, case.photograph, str(error))
                    continue
                for candidate in self.candidates:
                    scoring.append(self._row(scorer, case, candidate, *pictures))
                    while scoring and (len(scoring) > _WAITING or scoring[0].done()):
                        yield scoring.popleft().result()
            yield from _drained(scoring)

    def _row(
        self, scorer: ThreadPoolExecutor, case: Case, candidate: Candidate, degraded: Tensor, clean: Tensor
    ) -> "Future[Row | Failure]":
        """Restores, unless that was done before, and leaves the scoring to another thread."""
        if self.store is None:
            key = known = None
        else:
            key = key_of(candidate, self.protocol, degraded, clean, tuple(self.metrics or ()), case.degradation)
            known = self.store.get(key)
        if known and all(keeper.has(case, candidate.name, key) for keeper in self.keepers):
            return scorer.submit(partial(_renamed, known, case, candidate))
        try:
            restored, cost = _restored(candidate, degraded, clean, case.told)
        except PellucidError as error:
            reason = f"{candidate.name}: {error}"
            return scorer.submit(partial(Failure, case.data, case.condition, case.photograph, reason))
        _require_size(candidate, restored, clean, case)
        return scorer.submit(partial(self._finish, case, candidate.name, restored, degraded, clean, cost, key))

    def _finish(
        self, case: Case, model: str, restored: Tensor, degraded: Tensor, clean: Tensor, cost: Cost, key: str | None
    ) -> Row | Failure:
        """Scores a result, and keeps what is to be kept of it."""
        try:
            scores = self.protocol.score(restored, clean)
        except ValueError as error:
            return Failure(case.data, case.condition, case.photograph, str(error))
        row = Row(
            model=model,
            data=case.data,
            condition=case.condition,
            protocol=self.protocol.name,
            photograph=case.photograph,
            psnr=float(scores.psnr),
            ssim=float(scores.ssim),
            seconds=cost[0],
            memory=cost[1],
            extra=_measured(self.metrics or {}, restored.clamp(0, 1), clean),
            degradation=case.degradation,
        )
        for keeper in self.keepers:
            keeper.keep(case, model, key, restored, degraded, clean)
        if self.store:
            self.store.add(key, row)
        return row


def _restored(candidate: Candidate, degraded: Tensor, clean: Tensor, told: Mapping[str, float]) -> tuple[Tensor, Cost]:
    if candidate.restore is None:
        return bicubic(degraded, *clean.shape[2:]), (None, None)
    restore = partial(candidate.restored, clean=clean, told=told)
    return measured(restore, degraded, on_gpu=candidate.details.get("device") == "cuda")


def _measured(metrics: Mapping[str, Metric], restored: Tensor, clean: Tensor) -> dict[str, float]:
    """Further metrics, of pictures as they would be stored; one that a picture is too small for is left out."""
    values = {}
    for name, metric in metrics.items():
        with suppress(ValueError):
            values[name] = metric(restored, clean)
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _require_size(candidate: Candidate, restored: Tensor, clean: Tensor, case: Case) -> None:
    if restored.shape != clean.shape and candidate.restore is not None:
        sizes = [f"{image.shape[3]} x {image.shape[2]}" for image in (restored, clean)]
        raise ModelError(
            f"{candidate.name}: made {sizes[0]} pixels of {case.photograph}, whose clean picture has {sizes[1]}; "
            f"the model is not for the task of {case.data}"
        )


def _renamed(row: Row, case: Case, candidate: Candidate) -> Row:
    """A row of an earlier run under the names of this one: a model or a folder may have been moved."""
    return replace(row, model=candidate.name, data=case.data, condition=case.condition, photograph=case.photograph)


def _drained(scoring: "deque[Future[Row | Failure]]") -> Iterator[Row | Failure]:
    while scoring:
        yield scoring.popleft().result()
