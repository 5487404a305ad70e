"""The checkpoint of a run, from which it resumes exactly: weights, their average, the optimiser, and random states."""

from typing import Any

import torch

from pellucid.errors import DataError, ModelError, one_line
from pellucid.files import written_whole
from pellucid.training.run import Run

__all__ = ["load_checkpoint", "save_checkpoint"]


def save_checkpoint(run: Run) -> None:
    """Writes the checkpoint of a run, whole or not at all.

    Batches need no state: each is a pure function of the seed and its number.

    Raises:
        DataError: it cannot be written.
    """
    state = {
        "module": run.module.state_dict(),
        "average": run.average.state(),
        "optimizer": run.optimizer.state_dict(),
        "step": run.step,
        "seconds": run.seconds,
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    try:
        with written_whole(run.checkpoint) as partial:
            torch.save(state, partial)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise DataError(f"{run.checkpoint}: the checkpoint cannot be written ({one_line(error)})") from error


def load_checkpoint(run: Run) -> None:
    """Takes a run back to the state of its checkpoint.

    Raises:
        ModelError: it is missing, damaged, or of another module.
    """
    try:
        state: dict[str, Any] = torch.load(run.checkpoint, map_location="cpu", weights_only=True)
        run.module.load_state_dict(state["module"])
        run.average.restore(state["average"])
        run.optimizer.load_state_dict(state["optimizer"])
        run.step, run.seconds = state["step"], state["seconds"]
        torch.set_rng_state(state["random"])
        if state["random_cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random_cuda"])
    except FileNotFoundError:
        raise ModelError(f"{run.checkpoint}: no checkpoint to resume from") from None
    except Exception as error:  # torch reports damage in many ways
        raise ModelError(f"{run.checkpoint}: not a checkpoint of this recipe") from error
