"""Options that several verbs take, said once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pellucid.evaluation.sets import TestSet

__all__ = [
    "Assignments",
    "Device",
    "ImportNetwork",
    "Json",
    "Memory",
    "Out",
    "Passes",
    "Precision",
    "Resume",
    "Tile",
    "With",
    "require_clean",
]

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, and nothing else.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Precision = Annotated[str, typer.Option(help="auto, float32 or bfloat16; auto takes bfloat16 where it is faster.")]
Memory = Annotated[
    str | None, typer.Option(help="For intermediate results, such as 1GB; the default is a quarter of what is free.")
]
Tile = Annotated[int | None, typer.Option(help="Side of a tile in pixels; 0 never cuts; the default fits the memory.")]
Passes = Annotated[
    int,
    typer.Option(min=1, help="How often at most `default` and `fast` restore: again while another expert is wanted."),
]
ImportNetwork = Annotated[
    bool,
    typer.Option(
        "--import-network", help="Import the network of your own that a model file names: this runs its code."
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder to write to.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the folder.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key of the recipe, as in train.minutes=5 or data.sources.0.weight=2.",
    ),
]


def _checked(texts: list[str] | None) -> list[str] | None:
    """Says at which word a degradation is wrong, before anything else is done."""
    if texts:
        from pellucid.degradations import parse_drawn
        from pellucid.degradations.error_pointer import pointer

        for text in texts:
            try:
                parse_drawn(text)
            except SettingsError as error:
                raise SettingsError(f"{error}\n{pointer(text, str(error))}".rstrip()) from None
    return texts


With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="DEGRADATION",
        callback=_checked,
        help='Degrade clean photographs, as in "noise sigma=25, jpeg quality=40"; again for more. '
        "`pellucid degrade --list` says what there is.",
    ),
]


def require_clean(
    verb: str, sets: "Sequence[TestSet]", sigma: list[float] | None, degradations: list[str] | None
) -> None:
    """Refuses what degrades clean photographs where there are pairs alone."""
    if not sets or any(not photographs.paired for photographs in sets):
        return
    if sigma:
        raise SettingsError(f"{verb}: --sigma adds noise to clean photographs, but every set holds pairs already")
    if degradations:
        raise SettingsError(f"{verb}: --with degrades clean photographs, but every set holds pairs already")
