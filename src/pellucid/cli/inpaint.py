"""`pellucid inpaint`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pellucid.cli.edit_output import edit
from pellucid.cli.options import Json
from pellucid.cli.terminal import print_json, say
from pellucid.errors import SettingsError

__all__ = ["inpaint"]


def inpaint(
    photograph: Annotated[Path, typer.Argument(metavar="PHOTOGRAPH", help="The photograph.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file, or with --find that of the mask.")],
    mask: Annotated[
        Path | None, typer.Option(help="A picture of the same size: what is white is filled, the rest stays.")
    ] = None,
    find: Annotated[
        Literal["scratches"] | None,
        typer.Option(help="Fill nothing, but write a mask of the scratches that are found, to be looked at first."),
    ] = None,
    sensitivity: Annotated[float, typer.Option(min=0.1, max=10, help="Of --find; more finds more.")] = 1.0,
    text: Annotated[str | None, typer.Option(help="Colours of what is filled, in English.")] = None,
    model: Annotated[str, typer.Option(help="A name, or a model file that fills.")] = "inpaint",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    quality: Annotated[int | None, typer.Option(min=1, max=100, help="Of JPEG, WebP and AVIF.")] = None,
    json: Json = False,
) -> None:
    """Fill what is missing or damaged in a photograph, where a mask is white. Outside of it every pixel stays."""
    if (mask is None) == (find is None):
        raise SettingsError("inpaint: give --mask, or --find scratches to propose one")
    if find is not None:
        from pellucid.editing.scratches import proposed_mask

        share = proposed_mask(photograph, out, sensitivity, overwrite=overwrite)
        if json:
            print_json({"mask": str(out), "share": share})
        else:
            say(
                f"{out}: {share:.2%} of the picture; look at it, then: "
                f"pellucid inpaint {photograph} --mask {out} -o ..."
            )
        return
    from pellucid.editing.filling import Filling, coded_anew

    filling = Filling(mask, model, text)
    filling.notes += coded_anew([out.suffix])
    edit(
        [photograph],
        out,
        filling.change,
        "inpainted",
        understood=filling.understood,
        notes=filling.notes,
        overwrite=overwrite,
        quality=quality,
        json=json,
    )
