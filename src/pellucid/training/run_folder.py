"""What training leaves in a run folder, and who may write there when several processes train together."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from pellucid.devices import convolution_speed
from pellucid.errors import DataError, SettingsError
from pellucid.training.checkpoint import load_checkpoint
from pellucid.training.loop import Step, optimise, precision_of
from pellucid.training.run import Run
from pellucid.training.settings import read_recipe

__all__ = ["is_due", "is_main_process", "logged_steps", "start"]

LOG_STEPS = 50
"""Steps between two lines of the log."""


def is_main_process() -> bool:
    """Whether this is the process that writes files and speaks; torchrun numbers them."""
    return os.environ.get("RANK", "0") == "0"


# What may differ when a run is resumed: how long it goes on, and what it writes.
FREE = ("steps", "minutes", "checkpoint_minutes", "validate_steps")


def start(run: Run, recipe: Mapping[str, Any], *, resume: bool) -> None:
    """Resumes a run, or makes its folder; either way the folder then holds the recipe, in `recipe.yaml`.

    Raises:
        SettingsError: the folder holds a run already and `resume` was not asked for, or that run is of another recipe.
        ModelError: there is no checkpoint to resume from, or it does not fit.
        DataError: the folder cannot be made.
    """
    folder = run.checkpoint.parent
    record = folder / "recipe.yaml"
    if resume:
        _require_same(record, recipe)
        load_checkpoint(run)
    elif run.checkpoint.exists():
        raise SettingsError(f"{folder}: holds a run already; resume it (--resume) or choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be made ({error.strerror})") from error
    if is_main_process():
        record.write_text(yaml.safe_dump(dict(recipe), sort_keys=False), encoding="utf-8")


def _require_same(record: Path, recipe: Mapping[str, Any]) -> None:
    try:
        before = yaml.safe_load(record.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return  # the checkpoint itself will say what is missing
    with suppress(SettingsError):  # keys that are younger than the run have their defaults
        before = read_recipe(before, str(record)).as_tree()
    for section in before.keys() | recipe.keys():
        old, new = before.get(section), recipe.get(section)
        keys = old.keys() | new.keys() if isinstance(old, dict) and isinstance(new, dict) else ()
        differing = [
            key for key in sorted(keys) if key not in FREE and before[section].get(key) != recipe[section].get(key)
        ]
        if differing or (not keys and old != new):
            name = ".".join([section, *differing[:1]])
            raise SettingsError(
                f"{record}: the run was started with another {name}; resume it as it was, or start a new one"
            )


def _append(log: Path, line: str) -> None:
    try:
        with log.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        raise DataError(f"{log}: cannot be written ({error.strerror})") from error


def is_due(run: Run, step: Step) -> bool:
    """Whether held-out photographs are to be scored after a step: every `train.validate_steps`, and at the end."""
    return step.last or step.number % run.settings.validate_steps == 0


def logged_steps(run: Run, extra: Callable[[Step], dict[str, Any]]) -> Iterator[Step]:
    """Takes the steps of a run; every 50 steps a line of JSON goes to `log.jsonl`.

    Beside the loss it says how fast the steps were since the line before: `steps_per_second`; `waited`, the part of the
    time in which a step waited for its batch to be drawn; and `of_peak`, the operations of convolutions and products
    of matrices that were done in a second, over those that this device does in a 3x3 convolution. These are of the
    process that writes.

    Args:
        run: what is trained.
        extra: more entries for a line, such as scores on held-out photographs.
    """
    log = run.checkpoint.parent / "log.jsonl"
    total, count, waited, begun = 0.0, 0, 0.0, run.seconds
    for step in optimise(run):
        total, count, waited = total + step.loss, count + 1, waited + step.waited
        more = extra(step) if is_main_process() else {}
        if is_main_process() and (more or step.number % LOG_STEPS == 0 or step.last):
            line = {
                "step": step.number,
                "seconds": round(step.seconds, 1),
                "loss": round(total / count, 6),
                "learning_rate": float(f"{step.learning_rate:.3g}"),
            }
            taken = max(step.seconds - begun, 1e-6)
            line |= {
                "steps_per_second": float(f"{count / taken:.3g}"),
                "waited": round(waited / taken, 3),
                "of_peak": round(count * step.operations / taken / _peak(run), 3),
            }
            _append(log, json.dumps(line | more) + "\n")
            total, count, waited, begun = 0.0, 0, 0.0, step.seconds
        yield step


def _peak(run: Run) -> float:
    device = run.trainable[0].device
    return _speed(device, precision_of(run, device))


@cache
def _speed(device: torch.device, precision: torch.dtype) -> float:
    return convolution_speed(device, precision)
