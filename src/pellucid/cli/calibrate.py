"""`pellucid calibrate`."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.options import Json, With
from pellucid.cli.terminal import print_json, say

__all__ = ["calibrate"]


def calibrate(
    model: Annotated[str, typer.Argument(help="A name (`pellucid models`) or a model file.")],
    photographs: Annotated[
        list[Path], typer.Argument(metavar="PHOTOGRAPHS...", help="Clean ones, or folders of them.")
    ],
    degradations: With = None,
    count: Annotated[int, typer.Option(min=4, help="So many crops, of which a third is held out.")] = 36,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file of ranges; without one, this machine's cache.")
    ] = None,
    json: Json = False,
) -> None:
    """Find out in which ranges a model's networks compute, so that engines may compute in 8 bits.

    A network that loses more than 0.05 dB by it on the crops that are held out is left as it is.
    """
    from pellucid.engines.calibrate import calibrate_model
    from pellucid.engines.known import keep_ranges
    from pellucid.images.folders import in_folder
    from pellucid.models.hub import find_model
    from pellucid.models.load import load_model

    loaded = load_model(find_model(model))
    files = [
        file
        for place in photographs
        for file in (in_folder(place, recursive=True).photographs if place.is_dir() else [place])
    ]
    rows = calibrate_model(loaded.module, files, degradations or ["noise sigma=8..55"], count=count)
    keep_ranges({row.key: row.rounding for row in rows if row.rounding}, out)
    if json:
        print_json({"model": model, "networks": [row.as_dict() for row in rows]})
        return
    for row in rows:
        say(row.words())
