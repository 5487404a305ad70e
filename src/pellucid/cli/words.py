"""`pellucid words`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pellucid.cli.options import Json
from pellucid.cli.terminal import print_json, progress, say, warn
from pellucid.errors import PellucidError

__all__ = ["words"]


def words(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Photographs.")],
    model: Annotated[
        Path, typer.Option("--words", metavar="FILE", help="What a training of words has left, words.safetensors.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder for the guidance images, by the photographs' names.")
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="The pipeline, instead of the one that the file names.")
    ] = None,
    vision: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="The vision tower, instead of the one that the file names.")
    ] = None,
    clean: Annotated[bool, typer.Option("--clean/--as-degraded", help="Make guidance of the words cleaned.")] = True,
    captioner: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="The explicit way: a captioner of transformers says what is shown, words for degradations are "
            "dropped, and the pipeline makes a picture of the rest.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Of DDIM.")] = 100,
    weight: Annotated[float, typer.Option(min=0, help="Of the difference that words make.")] = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise, the same for every photograph.")] = 42,
    json: Json = False,
) -> None:
    """Say photographs in words, before and after these are cleaned, and make the guidance images of them.

    Words of images are no words of a language: of each the token is said that comes nearest.
    """
    from pellucid import images
    from pellucid.diffusion.captions import captioner as load_captioner
    from pellucid.diffusion.guidance_files import write_guidance
    from pellucid.restoration.guides import Maker

    settings = {"steps": steps, "guidance": weight, "seed": seed, "clean": clean}
    speaker = None if captioner is None else load_captioner(captioner)
    maker = Maker(model, pipeline, vision, speaker, settings)
    _ = maker.model  # what is wrong with the words is wrong with all photographs
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = []
    with progress("words", len(inputs)) as bar:
        for number, path in enumerate(inputs, 1):
            record: dict[str, Any] = {"source": str(path)}
            try:
                pixels = images.read(path).pixels
                made = maker.made(pixels)
                record |= {"said": dict(made.said), "guidance": str(made.path), "cached": made.found}
                if out is not None:
                    target = out / f"{path.stem}.png"
                    write_guidance(target, made.picture, pixels, {"settings": settings, "said": dict(made.said)})
                    record["guidance"] = str(target)
            except PellucidError as error:
                record["error"] = str(error)
                warn(str(error))
            found.append(record)
            bar(number, path.name)
            if "said" in record and not json:
                say(f"{path}: {record['guidance']}")
                for what, tokens in record["said"].items():
                    shown = tokens if isinstance(tokens, str) else " ".join(token for [token] in tokens)
                    say(f"  {what:<8} {shown}")
    if json:
        print_json({"words": str(model), "photographs": found})
    if any("error" in record for record in found):
        raise typer.Exit(1)
