"""What training leaves in a run folder, and who may write there when several processes train together."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from pellucid.errors import DataError, SettingsError
from pellucid.training.loop import Run, Step, optimise

__all__ = ["is_main_process", "logged_steps", "start"]

LOG_STEPS = 50
"""Steps between two lines of the log."""


def is_main_process() -> bool:
    """Whether this is the process that writes files and speaks; torchrun numbers them."""
    return os.environ.get("RANK", "0") == "0"


def start(run: Run, *, resume: bool) -> None:
    """Resumes a run, or makes its folder.

    Raises:
        SettingsError: the folder holds a run already and `resume` was not asked for.
        ModelError: there is no checkpoint to resume from, or it does not fit.
        DataError: the folder cannot be made.
    """
    folder = run.checkpoint.parent
    if resume:
        run.resume()
    elif run.checkpoint.exists():
        raise SettingsError(f"{folder}: holds a run already; resume it (--resume) or choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be made ({error.strerror})") from error


def logged_steps(run: Run, extra: Callable[[Step], dict[str, Any]]) -> Iterator[Step]:
    """Takes the steps of a run; every 50 steps a line of JSON goes to `log.jsonl`.

    Args:
        run: what is trained.
        extra: more entries for a line, such as scores on held-out photographs.
    """
    log = run.checkpoint.parent / "log.jsonl"
    total, count = 0.0, 0
    for step in optimise(run):
        total, count = total + step.loss, count + 1
        if is_main_process() and (step.number % LOG_STEPS == 0 or step.last):
            line = {
                "step": step.number,
                "seconds": round(step.seconds, 1),
                "loss": round(total / count, 6),
                "learning_rate": float(f"{step.learning_rate:.3g}"),
            }
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line | extra(step)) + "\n")
            total, count = 0.0, 0
        yield step
