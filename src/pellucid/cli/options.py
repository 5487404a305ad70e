"""Options that several verbs take, said once."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.errors import SettingsError
from pellucid.restoration.options import RestoreOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pellucid.evaluation.sets import TestSet

__all__ = [
    "DEFAULTS",
    "Always",
    "Amount",
    "Assignments",
    "Chroma",
    "Control",
    "ControlMap",
    "Crop",
    "Degraded",
    "Detail",
    "Device",
    "Engine",
    "Faithful",
    "Feather",
    "First",
    "Guided",
    "ImportNetwork",
    "Json",
    "Luminance",
    "Mask",
    "Memory",
    "Only",
    "Orientations",
    "Out",
    "Passes",
    "Precision",
    "Prompt",
    "Provenance",
    "Region",
    "Resume",
    "Scale",
    "Seed",
    "Sigma",
    "Skip",
    "Strength",
    "StrengthMap",
    "Tell",
    "Text",
    "Tile",
    "With",
    "require_clean",
]

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, and nothing else.")]


def _restoring(name: str) -> Any:
    """The option of that name of `RestoreOptions`, with its help and range."""
    told = next(one.metadata for one in fields(RestoreOptions) if one.name == name)
    return typer.Option(
        f"--{name.replace('_', '-')}",
        metavar=told.get("metavar"),
        help=told["help"],
        min=told.get("min"),
        max=told.get("max"),
    )


Strength = Annotated[float, _restoring("strength")]
Tile = Annotated[int | None, _restoring("tile")]
Memory = Annotated[str | None, _restoring("memory")]
Device = Annotated[str, _restoring("device")]
Precision = Annotated[str, _restoring("precision")]
Scale = Annotated[float | None, _restoring("scale")]
Engine = Annotated[str, _restoring("engine")]
Orientations = Annotated[bool, _restoring("orientations")]
Passes = Annotated[int | None, _restoring("passes")]
Always = Annotated[bool, _restoring("always")]
Only = Annotated[str | None, _restoring("only")]
Skip = Annotated[str | None, _restoring("skip")]
Tell = Annotated[list[str] | None, _restoring("tell")]
Amount = Annotated[list[str] | None, _restoring("amount")]
Text = Annotated[str | None, _restoring("text")]
Prompt = Annotated[str | None, _restoring("prompt")]
First = Annotated[str | None, _restoring("first")]
Seed = Annotated[int, _restoring("seed")]
Control = Annotated[list[str] | None, _restoring("control")]
Region = Annotated[list[str] | None, _restoring("region")]
StrengthMap = Annotated[str | None, _restoring("strength_map")]
ControlMap = Annotated[str | None, _restoring("control_map")]
Detail = Annotated[float, _restoring("detail")]
Luminance = Annotated[float, _restoring("luminance")]
Chroma = Annotated[float, _restoring("chroma")]
Faithful = Annotated[float | None, _restoring("faithful")]
Mask = Annotated[Path | None, _restoring("mask")]
Feather = Annotated[int, _restoring("feather")]
Guided = Annotated[str | None, _restoring("guided")]
Crop = Annotated[str | None, _restoring("crop")]
Provenance = Annotated[
    bool,
    typer.Option(
        "--provenance/--no-provenance",
        help=next(one.metadata["help"] for one in fields(RestoreOptions) if one.name == "provenance"),
    ),
]
DEFAULTS = RestoreOptions()
"""What each of these is where nobody says otherwise."""

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


Sigma = Annotated[
    list[float] | None,
    typer.Option(min=0, max=255, help="Add Gaussian noise of this sigma (0..255) to them; give it again for more."),
]
Degraded = Annotated[
    Path | None, typer.Option(help="A folder of degraded photographs of the same names, instead of --sigma.")
]
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
