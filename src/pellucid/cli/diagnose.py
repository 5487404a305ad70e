"""`pellucid diagnose`."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.cli.options import Json
from pellucid.cli.terminal import print_json, progress, say, warn

if TYPE_CHECKING:
    from pellucid.diagnosis import Diagnoser

__all__ = ["diagnose"]


def diagnose(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Photographs, or folders of them.")],
    model: Annotated[
        str, typer.Option(help="The folder of a degradation encoder (`pellucid train degradation-encoder`).")
    ] = "",
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Go into the folders of a folder.")] = False,
    score: Annotated[
        bool,
        typer.Option(
            "--score",
            help="Take the photographs for clean, degrade each in every way, and score; all must be readable.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the degradations that --score draws.")] = 0,
    json: Json = False,
) -> None:
    """Say what is wrong with photographs, and how much: noise, blur, weather, darkness, JPEG, small size, ringing."""
    from pellucid.diagnosis import load_diagnoser

    diagnoser = load_diagnoser(model)
    paths = list(_listed(inputs, recursive))
    failed = _score(diagnoser, paths, seed, json) if score else _diagnose(diagnoser, paths, json)
    if failed:
        raise typer.Exit(1)


def _listed(inputs: Iterable[Path], recursive: bool) -> Iterator[Path]:
    from pellucid.data.folders import list_photographs

    for path in inputs:
        if path.is_dir():
            yield from list_photographs(path, recursive=recursive)
        else:
            yield path


def _diagnose(diagnoser: "Diagnoser", paths: list[Path], json: bool) -> bool:
    """One line for each photograph; whether any failed."""
    from pellucid.batch.diagnose import diagnose_files

    results = []
    with progress("diagnose", len(paths)) as bar:
        for result in diagnose_files(diagnoser, paths):
            results.append(result)
            bar(len(results), result.source.name)
            if result.error:
                warn(result.error)
            elif result.diagnosis is not None and not json:
                say(f"{result.source}: {result.diagnosis.words()}")
    if json:
        print_json({"photographs": [result.as_dict() for result in results]})
    return any(result.error for result in results)


def _score(diagnoser: "Diagnoser", paths: list[Path], seed: int, json: bool) -> bool:
    """The numbers and the confusion matrix; fails as a whole, since fewer photographs would have another score."""
    from pellucid.data.folders import Photographs
    from pellucid.degradations import KINDS
    from pellucid.diagnosis import NOTHING, Score, score_singles

    photographs = Photographs(paths, memory=0)
    trials = []
    with progress("score", len(paths) * (len(KINDS) + 1)) as bar:
        for trial in score_singles(diagnoser, (photographs[index] for index in range(len(paths))), seed=seed):
            trials.append(trial)
            bar(len(trials))
    found = Score(tuple(trials))
    numbers = {"photographs": len(paths), "seed": seed, **found.as_dict()}
    if json:
        print_json(numbers)
        return False
    say(
        f"{len(paths)} photographs, {len(trials)} trials: accuracy {found.accuracy:.1%} "
        f"(likeliest kind {found.likeliest_accuracy:.1%}), severity off by {found.severity_error:.1f} points, "
        f"intervals of {found.interval:.0f} points hold it in {found.coverage:.0%} (stated: "
        f"{numbers['coverage_stated']:.0%}), calibration error {numbers['calibration_error']:.3f}"
    )
    names = (*KINDS, NOTHING)
    say("applied \\ told  " + " ".join(f"{name[:9]:>9}" for name in names))
    for applied in names:
        say(f"{applied:<15} " + " ".join(f"{found.confusion[applied][told]:>9}" for told in names))
    return False
