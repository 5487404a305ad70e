"""The card of a trained model: what its file says of its making."""

from typing import Any

import torch

from pellucid.training.data import describe_data
from pellucid.training.run import Run
from pellucid.training.settings import Recipe

__all__ = ["card"]


def card(recipe: Recipe, run: Run) -> dict[str, Any]:
    """What a model file says of its making; numbers are added when they have been measured."""
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "trained": {
            "steps": run.step,
            "minutes": round(run.seconds / 60, 1),
            "photographs": len(run.batches.source),
            "degradations": describe_data(recipe.data),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        },
    }
