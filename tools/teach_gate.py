"""Teaches the gate of a model of experts anew, by the data of a recipe, and leaves everything else as it is.

python tools/teach_gate.py src/pellucid/models/weights/default.safetensors restore runs/default/model.safetensors

With `--heads FOLDER` the heads of its diagnosis learn first, from the same pictures, and are written to this folder, a
copy of the embedded degradation encoder's; with `--diagnosis FOLDER` the model takes over the heads that lie there.

Drawing the pictures takes an hour or more. `--pieces FOLDER` keeps what is seen of them, so that a run that was broken
off goes on; and `--pieces FOLDER --part 0/2` beside `--part 1/2` draws them in two processes and teaches nothing.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from pellucid import recipes
from pellucid.cli.terminal import progress
from pellucid.diagnosis import Diagnoser, DiagnosisPrior, diagnosis_prior, save_diagnoser
from pellucid.errors import ModelError, PellucidError
from pellucid.models.file import describe_model
from pellucid.models.load import load_model
from pellucid.models.save import save_model
from pellucid.networks import Experts
from pellucid.priors.degradation_encoder import EMBEDDED_ENCODER
from pellucid.training.data import split_sources
from pellucid.training.encoder.heads import HeadsSettings
from pellucid.training.gate import gather_pieces, teach_gate, teach_judges
from pellucid.training.settings import read_recipe

CALIBRATION = 1500
"""Draws of held-out photographs that calibrate the heads."""


def teach(
    model: Path,
    name: str,
    target: Path,
    heads: Path | None,
    diagnosis: Path | None,
    pieces: Path | None,
    part: tuple[int, int] | None,
) -> None:
    """Teaches, and writes the model file in float16, with the header of before and the recipe's data and gate.

    Raises:
        ModelError: the file is missing, damaged, or not of experts that a prior guides; for heads, by no diagnosis.
        SettingsError: there is no such recipe.
        DataError: its photographs are not there.
    """
    header = describe_model(model)
    recipe = read_recipe(recipes.load_tree(name), name)
    module: Any = load_model(model).module
    experts = getattr(module, "network", None)
    if not isinstance(experts, Experts):
        raise ModelError(f"{model}: not a model of experts that a prior guides")
    if (heads or diagnosis) and not isinstance(module.prior, DiagnosisPrior):
        raise ModelError(f"{model}: its prior does not diagnose")
    torch.manual_seed(recipe.train.seed)
    for layer in experts.gate:
        if isinstance(layer, torch.nn.Linear):
            layer.reset_parameters()
    training, held_out = split_sources(recipe.data)
    seed = recipe.train.seed
    with progress("teaching the gate", 1) as bar:
        if part is not None and pieces is not None:
            gather_pieces(experts.train(), module.prior, training, recipe.gate, pieces, seed=seed, part=part, show=bar)
            return
        if heads is not None:
            settings = HeadsSettings(hidden=module.prior.heads.settings["hidden"])
            teach_judges(
                experts.train(), module.prior, training, held_out, recipe.gate, settings,
                calibration=CALIBRATION, seed=seed, pieces=pieces, show=bar,
            )  # fmt: skip
            _write_heads(module.prior, heads)
        else:
            if diagnosis is not None:
                module.prior.load_state_dict(diagnosis_prior(str(diagnosis)).state_dict())
            teach_gate(
                experts.train(), module.prior, training, recipe.gate, seed=seed, by_cost=True, pieces=pieces, show=bar
            )
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


def _write_heads(prior: DiagnosisPrior, folder: Path) -> None:
    """Writes the embedded encoder with these heads; of its card only what is true of them too."""
    if folder.resolve() != EMBEDDED_ENCODER.resolve():
        shutil.copytree(EMBEDDED_ENCODER, folder, dirs_exist_ok=True)
    card = json.loads((EMBEDDED_ENCODER / "card.json").read_text(encoding="utf-8"))
    save_diagnoser(Diagnoser(prior.encoder, prior.heads, {k: v for k, v in card.items() if k != "score"}), folder)


def part_of(text: str) -> tuple[int, int]:
    """`K/N` as (K, N), 0 <= K < N; argparse makes its own error of a ValueError."""
    part, parts = map(int, text.split("/"))
    if not 0 <= part < parts:
        raise ValueError
    return part, parts


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("recipe", help="by name or as a YAML file; only its data, its gate and its seed count")
    parser.add_argument("target", type=Path)
    parser.add_argument("--heads", type=Path, metavar="FOLDER", help="the diagnosis' heads learn, too, and go there")
    parser.add_argument("--diagnosis", type=Path, metavar="FOLDER", help="of an encoder and heads; not with --heads")
    parser.add_argument("--pieces", type=Path, metavar="FOLDER", help="what is seen of the pictures is kept there")
    parser.add_argument(
        "--part", type=part_of, metavar="K/N", help="only draw this part of them into the pieces of --heads"
    )
    options = parser.parse_args()
    if options.part and not (options.pieces and options.heads):
        parser.error("--part draws what --heads learn from into --pieces: give both")
    try:
        teach(
            options.model,
            options.recipe,
            options.target,
            options.heads,
            options.diagnosis,
            options.pieces,
            options.part,
        )
    except PellucidError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
