"""Teaches the gate of a model of experts anew, by the data of a recipe, and leaves everything else as it is.

python tools/teach_gate.py src/pellucid/models/weights/default.safetensors restore runs/default/model.safetensors
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from pellucid import recipes
from pellucid.cli.terminal import progress
from pellucid.errors import ModelError, PellucidError
from pellucid.models.file import describe_model
from pellucid.models.load import load_model
from pellucid.models.save import save_model
from pellucid.networks import Experts
from pellucid.training.data import split_sources
from pellucid.training.gate import teach_gate
from pellucid.training.settings import read_recipe


def teach(model: Path, name: str, target: Path) -> None:
    """Teaches, and writes the model file in float16, with the header of before and the recipe's data and gate.

    Raises:
        ModelError: the file is missing, damaged, or not of experts that a prior guides.
        SettingsError: there is no such recipe.
        DataError: its photographs are not there.
    """
    header = describe_model(model)
    recipe = read_recipe(recipes.load_tree(name), name)
    module: Any = load_model(model).module
    experts = getattr(module, "network", None)
    if not isinstance(experts, Experts):
        raise ModelError(f"{model}: not a model of experts that a prior guides")
    torch.manual_seed(recipe.train.seed)
    for layer in experts.gate:
        if isinstance(layer, torch.nn.Linear):
            layer.reset_parameters()
    training, _ = split_sources(recipe.data)
    with progress("teaching the gate", 1) as bar:
        teach_gate(experts.train(), module.prior, training, recipe.gate, seed=recipe.train.seed, by_cost=True, show=bar)
    taught = {name: part.as_tree(travelling=True) for name, part in (("data", recipe.data), ("gate", recipe.gate))}
    target.parent.mkdir(parents=True, exist_ok=True)
    save_model(
        module,
        target,
        recipe=dict(header.recipe) | taught,
        card=header.card,
        policy=header.policy,
        dtype=torch.float16,
    )


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("recipe", help="by name or as a YAML file; only its data, its gate and its seed count")
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    try:
        teach(options.model, options.recipe, options.target)
    except PellucidError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
