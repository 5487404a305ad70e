"""Recipes of small models on the photographs of conftest.py, and the way from one to its losses."""

import json

from pellucid.training.settings import read_recipe
from pellucid.training.train import train


def tree(photographs, **train_settings):
    """Denoising by a small U-Net."""
    return {
        "name": "test",
        "network": {"name": "unet", "settings": {"widths": [8, 16], "blocks": [1, 1]}},
        "data": {"folder": str(photographs), "degradations": ["noise sigma=25"], "crop": 16, "validation": 2},
        "train": {
            "steps": 6,
            "batch": 2,
            "warmup_steps": 2,
            "validate_steps": 3,
            "precision": "float32",
            **train_settings,
        },
    }


def boosted_tree(photographs, **train_settings):
    """The same, boosted, with a student to distil."""
    return tree(photographs, **train_settings) | {
        "prior": {"name": "random:8"},
        "refinement": {"settings": {"width": 4, "blocks": 1}},
        "distill": {"steps": 3, "batch": 2, "settings": {"size": 32, "channels": [4], "texture": [4]}},
    }


EXPERT = {"name": "unet", "settings": {"widths": [4, 8], "blocks": [1, 1]}}


def guided_tree(photographs, **train_settings):
    """Two experts that the prior chooses, boosted."""
    network = {"name": "experts", "settings": {"experts": [EXPERT, EXPERT], "prior_width": 8}}
    return boosted_tree(photographs, **train_settings) | {"network": network}


def paired_tree(folders, *, pairs=None, **train_settings):
    """Brightening by a small U-Net, on pairs."""
    given = pairs or {"degraded": str(folders / "dark"), "clean": str(folders / "clean")}
    settings = {"steps": 6, "batch": 2, "warmup_steps": 2, "validate_steps": 3, "precision": "float32"}
    return {
        "name": "test",
        "network": {"name": "unet", "settings": {"widths": [8, 16], "blocks": [1, 1]}},
        "data": {"pairs": given, "crop": 16, "validation": 3},
        "train": settings | train_settings,
    }


def boosted_pairs_tree(folders, **changes):
    """The same, boosted by a prior that sees whole photographs."""
    recipe = paired_tree(folders, **changes)
    recipe["data"]["whole"] = str(folders / "whole")
    return recipe | {"prior": {"name": "random:8"}, "refinement": {"settings": {"width": 4, "blocks": 1}}}


TOWER = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "projection_dim": 8,
}


def encoder_tree(pictures, **changes):
    """A degradation encoder of one layer."""
    return {
        "name": "test",
        "encoder": {
            "tower": TOWER,
            "text_width": 8,
            "text_layers": 1,
            "text_heads": 2,
            "first": 6,
            "fresh": 2,
            "pool": 8,
            "heads": {"hidden": 8, "examples": 30},
            "calibration": {"draws": 6},
        }
        | changes.pop("encoder", {}),
        "data": {
            "sources": [
                {
                    "folder": str(pictures / "clean"),
                    "degradations": ["noise sigma=5..50 bits=8", "jpeg quality=10..60", "clean"],
                    "validation": 2,
                }
                | changes.pop("clean", {}),
                {"pairs": {"degraded": str(pictures / "hazy")}, "kind": "haze", "validation": 0, "weight": 0.4}
                | changes.pop("pairs", {}),
            ]
        },
        "train": {"steps": 6, "batch": 4, "warmup_steps": 1, "precision": "float32", "checkpoint_minutes": 1e-9},
    } | changes


def run(recipe_tree, folder, *, resume=False, stop_at=None):
    """Trains, or until `stop_at`, and gives the loss of each step by its number."""
    losses = {}
    steps = train(read_recipe(recipe_tree, "test"), folder, resume=resume)
    for step in steps:
        losses[step.number] = step.loss
        if step.number == stop_at:
            steps.close()
            break
    return losses


def logged(folder):
    """The lines of a run's log."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
