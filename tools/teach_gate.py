"""Teaches the gate of a model of experts anew, by the data of a recipe, and leaves everything else as it is.

python tools/teach_gate.py src/pellucid/weights/default.safetensors restore runs/default/model.safetensors
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from pellucid import recipes
from pellucid.restoration.model_file import describe_model, load_model, save_model
from pellucid.training.gate import teach_gate
from pellucid.training.material import split_sources
from pellucid.training.settings import read_recipe


def main() -> None:
    """Reads the arguments, teaches, and writes the model file in float16, with the header of before and the recipe's data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("recipe", help="by name or as a YAML file; only its data and its seed count")
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    header = describe_model(options.model)
    recipe = read_recipe(recipes.load_tree(options.recipe), options.recipe)
    module: Any = load_model(options.model).module
    experts = module.network.network.train()
    torch.manual_seed(recipe.train.seed)
    for layer in experts.gate:
        if isinstance(layer, torch.nn.Linear):
            layer.reset_parameters()
    training, _ = split_sources(recipe.data)
    teach_gate(experts, module.prior, training, seed=recipe.train.seed)
    data = recipe.model_dump(mode="json")["data"]
    options.target.parent.mkdir(parents=True, exist_ok=True)
    save_model(
        module, options.target, recipe=header["recipe"] | {"data": data}, card=header["card"], dtype=torch.float16
    )


if __name__ == "__main__":
    main()
