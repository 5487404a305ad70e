"""Scoring models in one call: for researchers whose models stand in their own script."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pellucid.errors import ModelError, SettingsError
from pellucid.evaluation.candidates import INPUT, MEMORY, Candidate, candidates_of, informing
from pellucid.evaluation.job import EvaluationJob, EvaluationOutcome
from pellucid.evaluation.sets import find_set
from pellucid.guidance import NOTHING, Guidance
from pellucid.restoration.restorer import Restorer

__all__ = ["Scored", "evaluate"]

Scored = str | Path | nn.Module | Restorer | Callable[[Tensor], Tensor]
"""A model's name or file; a module; a restorer; or a function, degraded (1, 3, H, W) in [0, 1] to restored."""


class _NoPictureError(Exception):
    """A function returned no picture: a mistake in the call, and no failure of one photograph to go on after."""


def evaluate(
    models: Scored | Mapping[str, Scored] | Sequence[str | Path],
    data: str | Path,
    *,
    degraded: str | Path | None = None,
    sigmas: Sequence[float] = (),
    degradations: Sequence[str] = (),
    task: str | None = None,
    scale: int | None = None,
    protocol: str | None = None,
    metrics: Sequence[str] = (),
    seed: int = 0,
    out: str | Path | None = None,
) -> EvaluationOutcome:
    """Scores models beside their input, as `pellucid evaluate` does; `print(outcome)` shows the tables.

        outcome = pellucid.evaluate({"plain": network, "boosted": boosted}, "photographs", sigmas=[25])

    Args:
        models: one, or several by the names that their rows shall have; the first is what the others are compared with.
        data: a published set's name, or a folder of clean photographs.
        degraded: the degraded photographs of a folder, by the same names.
        sigmas: levels of noise as the tables draw it, 0 to 255, for clean photographs.
        degradations: what else is done to them, each a column, as `pellucid degrade --list` has it.
        task: what a folder is for, which decides the protocol.
        scale: of a published set for super-resolution, or of a folder and its `degraded` ones: how many times longer
            the sides of the clean photographs are.
        protocol: how the numbers are made, by its name, instead of the set's usual way.
        metrics: further metrics by name.
        seed: of all that is drawn.
        out: a folder for the report and for scores, which are not computed again where the model is a file.

    Raises:
        SettingsError: nothing to score, or options that do not suit the set.
        DataError: a folder is missing, or files have no partner.
        ModelError: a model fails, or is not for the task.
    """
    candidates = [INPUT, *_candidates(models)]
    if len(candidates) == 1:
        raise SettingsError("evaluate: give a model, or several by name")
    job = EvaluationJob(None if out is None else Path(out), seed=seed, metrics=metrics)
    photographs = find_set(str(data), degraded=None if degraded is None else Path(degraded), task=task, scale=scale)
    job.add(photographs, candidates, sigmas=sigmas, degradations=degradations, protocol=protocol)
    try:
        for _ in job.run():
            pass
    except _NoPictureError as error:
        raise ModelError(str(error)) from None
    made = {"models": {candidate.name: dict(candidate.details) for candidate in candidates[1:]}}
    return job.finish(made)


def _candidates(models: Scored | Mapping[str, Scored] | Sequence[str | Path]) -> Iterator[Candidate]:
    if isinstance(models, Mapping):
        for name, model in models.items():
            yield _candidate(name, model)
    elif isinstance(models, Sequence) and not isinstance(models, str):
        for one in models:
            if not isinstance(one, str | Path):
                raise SettingsError(
                    f"evaluate: a list holds models' names and files, got {type(one).__name__}; "
                    'give modules and functions by name: {"mine": network}'
                )
        yield from candidates_of([str(one) for one in models])
    else:
        yield _candidate(str(models) if isinstance(models, str | Path) else type(models).__name__, models)


def _candidate(name: str, model: Scored) -> Candidate:
    if isinstance(model, str | Path):
        (found,) = candidates_of([str(model)])
        return replace(found, name=name)
    if isinstance(model, nn.Module):
        with _modes_kept(model):
            restorer = Restorer(model, memory=MEMORY)
        restore = _in_evaluation_mode(model, restorer)
        return Candidate(name, restore, details=_details(model), inform=informing(restorer))
    if isinstance(model, Restorer):
        return Candidate(name, model.restore_image, details=_details(model.model), inform=informing(model))
    if not callable(model):
        raise SettingsError(f"evaluate: expected a model's name, a module or a function, got {type(model).__name__}")
    return Candidate(name, _checked(name, model))


def _checked(name: str, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The function, of which no result is taken that is no picture."""

    def restore(degraded: Tensor) -> Tensor:
        restored: Any = function(degraded)
        if not isinstance(restored, Tensor):
            raise _NoPictureError(
                f"{name}: expected a function that returns the restored picture, a tensor of shape "
                f"{tuple(degraded.shape)}, got {type(restored).__name__}"
            )
        return restored

    return restore


@contextmanager
def _modes_kept(model: nn.Module) -> Iterator[None]:
    """A context that leaves every module of a model in the mode that it was in: some may be frozen, others training."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _in_evaluation_mode(model: nn.Module, restorer: Restorer) -> Callable[..., Tensor]:
    """Restores in evaluation mode, and leaves the module in the modes that it was in."""

    def restore(degraded: Tensor, *, known: Guidance = NOTHING) -> Tensor:
        with _modes_kept(model):
            model.eval()
            return restorer.restore_image(degraded, known=known)

    return restore


def _details(model: nn.Module) -> dict[str, int]:
    return {"parameters": sum(value.numel() for value in model.parameters())}
