"""`pellucid colorize`."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.edit_output import edit
from pellucid.cli.options import Json

__all__ = ["colorize"]


def colorize(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Photographs, or folders of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A file for one photograph, else a folder.")],
    text: Annotated[
        str | None,
        typer.Option(help="What has which colour, in English, as in 'green field, blue sky'; without, it chooses."),
    ] = None,
    saturation: Annotated[float, typer.Option(min=0, max=3, help="The colours times this.")] = 1.0,
    palette: Annotated[
        Path | None, typer.Option("--palette-from", metavar="PICTURE", help="Take the colours of this picture.")
    ] = None,
    model: Annotated[str, typer.Option(help="A name, or a model file that colours.")] = "colorize",
    encoder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The encoder of sentences that the model has learnt with, if another."),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Go into the folders of a folder.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist; else they are skipped.")
    ] = False,
    format: Annotated[  # noqa: A002
        str | None, typer.Option(help="Write this format (jpeg, png, tiff, ...) instead of the input's own.")
    ] = None,
    quality: Annotated[int | None, typer.Option(min=1, max=100, help="Of JPEG, WebP and AVIF.")] = None,
    json: Json = False,
) -> None:
    """Colour grey photographs, or give others new colours. Lightness, size, depth, alpha and metadata stay."""
    from pellucid.editing.colour import Colouring, ColourOptions

    colouring = Colouring(model, ColourOptions(text, saturation, palette, encoder))
    edit(
        inputs,
        out,
        colouring.change,
        "colorized",
        understood=colouring.understood,
        notes=colouring.notes,
        recursive=recursive,
        overwrite=overwrite,
        format=format,
        quality=quality,
        json=json,
    )
