"""`pellucid distill`."""

from copy import deepcopy
from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.options import Assignments, ImportNetwork, Json, Out, Resume
from pellucid.cli.terminal import print_json, say, train_with_progress

__all__ = ["distill"]


def distill(
    model: Annotated[Path, typer.Argument(help="A boosted model file, as `pellucid train` writes it.")],
    out: Out,
    prior_weights: Annotated[
        Path | None, typer.Option(help="The prior's weights, where the recipe's own path is not valid here.")
    ] = None,
    import_network: ImportNetwork = False,
    assignments: Assignments = None,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Replace the prior of a boosted model by a small student, so that the model file needs no other file."""
    from pellucid.models.load import load_model
    from pellucid.models.own_network import NETWORK_FILE
    from pellucid.training.distill import distill as steps_of
    from pellucid.training.overrides import override
    from pellucid.training.run_folder import is_main_process
    from pellucid.training.settings import read_recipe

    loaded = load_model(model, import_network=import_network, prior_weights=prior_weights)
    tree = deepcopy(dict(loaded.header.recipe))
    for assignment in assignments or []:
        override(tree, assignment)
    steps = steps_of(loaded, read_recipe(tree, str(model)), out, resume=resume)
    last = train_with_progress(lambda _: steps, "distill")
    written = out / "model.safetensors"
    if not is_main_process():
        return
    if json:
        print_json({"model": str(written), "steps": last.number if last else None, "loss": last.loss if last else None})
    else:
        beside = loaded.header.is_of_own_network  # a network of the user's own
        needs = f"needs no other file but {NETWORK_FILE} beside it" if beside else "needs no other file"
        say(f"{written}: {needs}" + (f"; distillation loss {last.loss:.4f}" if last else ""))
