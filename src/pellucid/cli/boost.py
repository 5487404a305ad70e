"""`pellucid boost`."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.options import Device, Json, Memory, Out, Precision
from pellucid.cli.terminal import print_json, progress, say, train_with_progress, warn
from pellucid.errors import SettingsError

__all__ = ["boost"]


def boost(
    inputs: Annotated[Path, typer.Option(help="The folder of what the black box was given.")],
    restored: Annotated[Path, typer.Option(help="The folder of what it made of them: the same names and sizes.")],
    out: Out,
    clean: Annotated[
        Path | None, typer.Option(help="The folder of what should have come out: R is trained on all three.")
    ] = None,
    refiner: Annotated[
        Path | None, typer.Option(help="The model file of an earlier boost: R is applied, and nothing trained.")
    ] = None,
    prior: Annotated[str, typer.Option(help="The prior that guides R, by name.")] = "degradations",
    prior_weights: Annotated[Path | None, typer.Option(help="Its weights, where it needs a file.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training.")] = 1000,
    crop: Annotated[int, typer.Option(min=16, help="Side of a training crop, in pixels.")] = 96,
    batch: Annotated[int, typer.Option(min=1, help="Crops in a step.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of the training.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace pictures that are there.")] = False,
    memory: Memory = None,
    device: Device = "auto",
    precision: Precision = "auto",
    json: Json = False,
) -> None:
    """Boost a black box that is known by its results alone: train R on them, and refine them.

    OUT gets the refined pictures, with their inputs' metadata, and in OUT/run the model file. With --refiner instead of
    --clean, R of an earlier boost is applied to other results of the same black box.
    """
    from pellucid.training.black_box import black_box_recipe, load_refiner, refine_folder
    from pellucid.training.train import train

    if (clean is None) == (refiner is None):
        raise SettingsError("boost: give --clean, to train R, or --refiner, to apply one")
    if clean is not None:
        recipe = black_box_recipe(
            inputs,
            restored,
            clean,
            prior=prior,
            weights=prior_weights,
            data={"crop": crop},
            train={"steps": steps, "batch": batch, "seed": seed, "warmup_steps": min(50, steps // 4)},
        )
        train_with_progress(lambda show: train(recipe, out / "run", show=show), "boost")
        refiner = out / "run" / "model.safetensors"
    assert refiner is not None
    refining = refine_folder(
        load_refiner(refiner), inputs, restored, out, overwrite=overwrite,
        memory=memory, device=device, precision=precision,
    )  # fmt: skip
    done = []
    with progress("refine", None) as bar:
        for one in refining:
            done.append(one)
            bar(len(done), one.source.name)
    failed = [one for one in done if one.output is None]
    for one in done:
        for problem in (one.error, *(f"{one.source}: {loss}" for loss in one.losses)):
            if problem:
                warn(problem)
    if json:
        pictures = [
            {"input": str(one.source), "output": str(one.output) if one.output else None, "error": one.error or None}
            for one in done
        ]
        print_json({"refiner": str(refiner), "pictures": pictures})
    else:
        say(f"{out}: {len(done) - len(failed)} of {len(done)} pictures refined by {refiner}")
    if failed:
        raise typer.Exit(1)
