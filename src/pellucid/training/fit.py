"""Training any module in one call: for researchers whose network, boosted or not, stands in their own script."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from pellucid.errors import SettingsError, unknown_name
from pellucid.refinement import Boosted
from pellucid.training.data import DataSettings, split_sources
from pellucid.training.loop import Step
from pellucid.training.objective import build_objective
from pellucid.training.run import TrainSettings
from pellucid.training.run_folder import logged_steps, start
from pellucid.training.settings import read_recipe
from pellucid.training.train import run_of
from pellucid.training.validation import validate

__all__ = ["fit"]

Module = TypeVar("Module", bound=nn.Module)
OWN = ("folder", "pairs", "sources", "freeze_network", "frozen")
"""Settings of recipes that `fit` takes otherwise, or that the module says itself."""


def fit(
    module: Module,
    clean: str | Path,
    *,
    degraded: str | Path | None = None,
    degradations: list[str] | Mapping[str, float] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    show: Callable[[Step], None] | None = None,
    **settings: Any,
) -> Module:
    """Trains a module on photographs, in place, and returns it in evaluation mode, with averaged weights.

        boosted = pellucid.boost(network, prior="statistics")
        pellucid.fit(boosted, "photographs", degradations=["noise sigma=5..50"], steps=2000)

    Args:
        module: a network (B, 3, H, W) to (B, 3, H, W) in [0, 1], or what `pellucid.boost` gave; of it, whatever
            requires a gradient learns.
        clean: a folder of clean photographs.
        degraded: a folder of their degraded partners, by the same names.
        degradations: instead, what is done to the clean ones, as `pellucid degrade --list` has it; ranges are drawn
            from.
        out: a folder for a checkpoint and `log.jsonl`, with scores on photographs that are held out; None keeps
            neither.
        resume: go on from the checkpoint there.
        show: told of each step: number, loss, progress.
        settings: by the names that recipes have in `train` (steps, minutes, batch, learning_rate, loss, seed,
            precision, ...) and in `data` (crop, validation, grey, window, ...); 1,000 steps where neither steps nor
            minutes is given.

    Raises:
        SettingsError: neither or both of degraded and degradations, or a setting that there is not or that cannot be.
        DataError: a folder is missing, or too small to hold any photographs out.
        ModelError: training diverged, or the checkpoint does not fit.
    """
    if (degraded is None) == (degradations is None):
        raise SettingsError(
            "fit: give either degraded, a folder, or degradations, what is done to the clean photographs"
        )
    if resume and out is None:
        raise SettingsError("fit: resume goes on from the checkpoint in out; give that folder")
    if out is None:  # nobody reads scores on photographs that are held out
        settings.setdefault("validation", 0)
    recipe = read_recipe(_tree(clean, degraded, degradations, settings), "fit")
    frozen = isinstance(module, Boosted) and module.freeze_network
    objective = replace(build_objective(recipe), frozen=frozen)
    training, held_out = split_sources(recipe.data)
    with tempfile.TemporaryDirectory() if out is None else nullcontext(out) as folder:
        run = run_of(module, objective, recipe, training, Path(folder))
        start(run, recipe.model_dump(mode="json"), resume=resume)

        def scores(step: Step) -> dict[str, Any]:
            due = out is not None and (step.last or step.number % recipe.train.validate_steps == 0)
            return validate(run, held_out) if due else {}

        for step in logged_steps(run, scores):
            if show is not None:
                show(step)
    run.average.take()
    module.eval()
    return module


def _tree(
    clean: str | Path,
    degraded: str | Path | None,
    degradations: list[str] | Mapping[str, float] | None,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """The recipe of a call."""
    data: dict[str, Any] = {"folder": str(clean), "degradations": degradations}
    if degraded is not None:
        data = {"pairs": {"degraded": str(degraded), "clean": str(clean)}}
    train: dict[str, Any] = {}
    for name, value in settings.items():
        if name in TrainSettings.model_fields and name not in OWN:
            train[name] = value
        elif name in DataSettings.model_fields and name not in OWN:
            data[name] = value
        else:
            known = {*TrainSettings.model_fields, *DataSettings.model_fields}.difference(OWN)
            raise SettingsError(f"fit: {unknown_name('setting', name, known)}")
    if not {"steps", "minutes"} & train.keys():
        train["steps"] = 1000
    return {"name": "fit", "data": data, "train": train}
