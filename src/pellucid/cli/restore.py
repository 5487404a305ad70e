"""`pellucid restore`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.cli.options import (
    DEFAULTS,
    Always,
    Device,
    ImportNetwork,
    Json,
    Memory,
    Only,
    Passes,
    Precision,
    Skip,
    Strength,
    Tile,
)
from pellucid.cli.terminal import print_json, progress, say, warn

if TYPE_CHECKING:
    from pellucid.batch.change import FileResult

__all__ = ["restore"]


def restore(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Photographs, or folders of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A file for one photograph, else a folder.")],
    model: Annotated[
        str,
        typer.Option(
            help="A name (`pellucid models`), a model file, weights of a published network, or hf:owner/repository."
        ),
    ] = "default",
    strength: Strength = DEFAULTS.strength,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Go into the folders of a folder.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist; else they are skipped.")
    ] = False,
    format: Annotated[  # noqa: A002
        str | None, typer.Option(help="Write this format (jpeg, png, tiff, webp, ...) instead of the input's own.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Write a before-and-after picture beside each output.")
    ] = False,
    only: Only = None,
    skip: Skip = None,
    always: Always = DEFAULTS.always,
    quality: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Of JPEG, WebP and AVIF; else that of the photograph is followed."),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="A photograph of which something cannot be kept is an error, not a warning."),
    ] = False,
    import_network: ImportNetwork = False,
    tile: Tile = DEFAULTS.tile,
    memory: Memory = None,
    device: Device = DEFAULTS.device,
    precision: Precision = DEFAULTS.precision,
    passes: Passes = DEFAULTS.passes,
    json: Json = False,
) -> None:
    """Restore photographs. Size, bit depth, alpha, colour profile and metadata stay as they are."""
    from pellucid import images, load
    from pellucid.batch.plan import plan
    from pellucid.batch.restore import restore_files

    jobs = plan(inputs, out, recursive=recursive, suffix=format, compare=compare)
    restorer = load(
        model,
        strength=strength,
        tile=tile,
        memory=memory,
        device=device,
        precision=precision,
        passes=passes,
        always=always,
        only=only,
        skip=skip,
        import_network=import_network,
    )
    results: list[FileResult] = []
    with progress("restore", len(jobs)) as bar:
        for result in restore_files(restorer, jobs, overwrite=overwrite, quality=quality, strict=strict):
            results.append(result)
            bar(len(results), result.source.name)
            if result.decision is not None and not json:
                say(f"{result.source}: {result.decision.words()}")
            if result.error:
                warn(result.error)
            if result.loss:
                warn(result.loss)
    passed_over = images.passed_over(inputs, recursive=recursive)
    if passed_over:
        warn(f"{len(passed_over)} passed over, no photographs by their names: {images.few_names(passed_over)}")
    if json:
        documents = [result.as_dict() for result in results]
        print_json({"model": model, "photographs": documents, "passed_over": [str(path) for path in passed_over]})
    else:
        done = [result for result in results if result.status == "restored"]
        unchanged = sum(result.status == "unchanged" for result in results)
        skipped = sum(result.status == "skipped" for result in results)
        failed = sum(result.status == "failed" for result in results)
        megapixels, seconds = sum(r.megapixels for r in done), sum(r.seconds for r in done)
        pace = f", {megapixels:.1f} megapixels, {seconds / megapixels:.2f} s per megapixel" if megapixels else ""
        say(
            f"{len(done)} restored{pace}"
            + (f", {unchanged} copied as they are" if unchanged else "")
            + (f", {skipped} skipped (they exist; --overwrite replaces them)" if skipped else "")
            + (f", {failed} failed" if failed else "")
        )
    if any(result.status == "failed" for result in results):
        raise typer.Exit(1)
