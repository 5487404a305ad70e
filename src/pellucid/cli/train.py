"""`pellucid train`."""

from typing import Annotated

import typer

from pellucid.cli.options import Assignments, Json, Out, Resume
from pellucid.cli.terminal import print_json, say, train_with_progress

__all__ = ["train"]


def train(
    recipe: Annotated[str, typer.Argument(help="The name of a recipe (`pellucid models` lists them) or a YAML file.")],
    out: Out,
    assignments: Assignments = None,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Train a recipe; the folder gets the resolved recipe, a log in JSON lines, a checkpoint and the model file."""
    from pellucid import recipes
    from pellucid.training.overrides import override
    from pellucid.training.run_folder import is_main_process
    from pellucid.training.settings import read_recipe
    from pellucid.training.train import train as steps_of

    tree = recipes.load_tree(recipe)
    for assignment in assignments or []:
        override(tree, assignment)
    settings = read_recipe(tree, recipe)
    last = train_with_progress(lambda show: steps_of(settings, out, resume=resume, show=show), settings.name)
    model = out / ("words.safetensors" if settings.words else "model.safetensors")
    if not is_main_process():
        return
    if json:
        print_json({"model": str(model), "steps": last.number if last else None, "loss": last.loss if last else None})
    else:
        say(
            f"{model}: trained in {last.number} steps, {last.seconds / 60:.1f} minutes"
            if last
            else f"{model}: was complete"
        )
