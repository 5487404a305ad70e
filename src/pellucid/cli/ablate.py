"""`pellucid ablate`."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.options import DEFAULTS, Assignments, Control, Json, Out, Prompt, Tile, With, require_clean
from pellucid.cli.terminal import print_json, progress, say, warn
from pellucid.errors import SettingsError

__all__ = ["ablate"]


def ablate(
    recipe: Annotated[
        list[str],
        typer.Argument(
            help="Recipes with a boost, or of networks that sample, by name or as YAML; each is a host of its own."
        ),
    ],
    out: Out,
    data: Annotated[list[str], typer.Option(help="What to score on: a published set or a folder; again for more.")],
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="controls (the default), no-prior (of these the network alone and no prior), table-3 (PTG-RM's "
            "ablations of R), features (R inside the network), colour-matrix (12 numbers in R's stead); of networks "
            "that sample: context, entries, adapters (all of these if none is given)."
        ),
    ] = None,
    controls: Annotated[
        bool,
        typer.Option(
            "--controls/--no-controls",
            help="The network alone, and R with no, shuffled and random prior and with equal parameters.",
        ),
    ] = True,
    prior: Annotated[
        list[str] | None, typer.Option(metavar="SPEC[=WEIGHTS]", help="Also with this prior; again for more.")
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=V1,V2", help="Also with each of these values; 'a=1,2; b=3,4' makes the product."),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(min=0, help="Train every arm with this seed, not the recipe's; again for more.")
    ] = None,
    student: Annotated[bool, typer.Option("--student", help="Distil each boosted arm, and score that, too.")] = False,
    sigma: Annotated[
        list[float] | None, typer.Option(min=0, max=255, help="Noise for sets of clean photographs.")
    ] = None,
    degradations: With = None,
    degraded: Annotated[Path | None, typer.Option(help="The degraded photographs of a folder given as --data.")] = None,
    task: Annotated[str | None, typer.Option(help="What a folder given as --data is for.")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="How the numbers are made, instead of the set's usual way.")
    ] = None,
    tile: Tile = DEFAULTS.tile,
    prompt: Prompt = DEFAULTS.prompt,
    control: Control = None,
    assignments: Assignments = None,
    json: Json = False,
) -> None:
    """Train variants of recipes on equal seeds and steps, and say what each part is worth; goes on where it stopped."""
    from pellucid import recipes
    from pellucid.evaluation.sets import find_set
    from pellucid.studies.ablation.arms import arms_of
    from pellucid.studies.ablation.report import check, score, write
    from pellucid.studies.ablation.runs import Runs
    from pellucid.studies.ablation.sampling import arms_of_sampling
    from pellucid.training.overrides import override

    if degraded is not None and len(data) != 1:
        raise SettingsError("ablate: --degraded goes with one --data, the folder of its clean photographs")
    sets = [find_set(name, degraded=degraded, task=task) for name in data]
    require_clean("ablate", sets, sigma, degradations)
    check(sets, sigmas=sigma or [], degradations=degradations or [], protocol=protocol)
    grids = [*(["controls"] if controls else []), *(name for name in grid or [] if name != "controls")]
    arms = []
    for name in recipe:
        tree = recipes.load_tree(name)
        for assignment in assignments or []:
            override(tree, assignment)
        if tree.get("diffusion") is None:
            arms += arms_of(tree, grids=grids, priors=prior or [], vary=vary or [])
        elif prior or student:
            raise SettingsError(f"ablate: {name}: --prior and --student are for recipes with a boost")
        else:
            arms += arms_of_sampling(tree, grids=[one for one in grid or [] if one != "controls"], vary=vary or [])
    steering = {"tile": tile, "prompt": prompt, "control": control}
    runs = Runs(arms, seed or list(dict.fromkeys(arm.seed for arm in arms)), out, student=student)
    with progress("train", runs.total) as bar:
        done, last = 0, ""
        for run, step in runs.train():
            done, last = (done + 1 if last not in ("", run.name) else done), run.name
            bar(done + step.progress, f"{run.name}: step {step.number}, loss {step.loss:.4f}")
    results, document, failures = score(
        runs,
        sets,
        out,
        sigmas=sigma or [],
        degradations=degradations or [],
        protocol=protocol,
        **{key: value for key, value in steering.items() if value is not None},
    )
    text = write(results, document, out)
    if json:
        print_json(document)
    else:
        say(text)
    for failure in failures:
        warn(f"{failure.data}, {failure.photograph}: {failure.reason}")
    if failures:
        raise typer.Exit(1)
