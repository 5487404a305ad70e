"""`pellucid degrade`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.cli.options import Json, With
from pellucid.cli.terminal import print_json, progress, say, warn
from pellucid.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pellucid.degradations.catalogue import Entry

__all__ = ["degrade"]

STATUSES = ("degraded", "unchanged", "skipped", "failed")


def degrade(
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="INPUT...", help="Photographs, or folders of them.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file for one photograph, else a folder.")] = None,
    degradations: With = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Of all that is drawn, with each photograph's own name.")
    ] = 0,
    record: Annotated[
        Path | None, typer.Option(help="Add a line of JSON for each photograph to this file: what was done to it.")
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Go into the folders of a folder.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist; else they are skipped.")
    ] = False,
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(help="Write this format instead of the input's own; png and tiff keep the pixels as they are."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", help="Say what degradations there are, with their parameters, and do nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Degrade photographs as training does. Size, bit depth, alpha, colour profile and metadata stay as they are.

    What a photograph gets depends on --seed and its name alone (its path below the folder that was given, without the
    suffix), never on the other photographs. Several --with make NAME_1, NAME_2 ... of each.
    """
    if show:
        _show_catalogue(json)
        return
    if not inputs or out is None or not degradations:
        raise SettingsError("degrade: give INPUT, --out and --with; --list says what degradations there are")
    from pellucid.batch.degrade import degrade_files, plan_degraded
    from pellucid.batch.plan import plan

    planned = plan_degraded(plan(inputs, out, recursive=recursive, suffix=format), degradations, seed)
    results = []
    with progress("degrade", len(planned)) as bar:
        for result in degrade_files(planned, overwrite=overwrite, record=record):
            results.append(result)
            bar(len(results), result.source.name)
            if result.error:
                warn(result.error)
            if result.loss:
                warn(result.loss)
    if json:
        print_json({"with": degradations, "seed": seed, "photographs": [result.as_dict() for result in results]})
    else:
        count = {status: sum(one.status == status for one in results) for status in STATUSES}
        say(
            f"{count['degraded']} degraded"
            + (f", {count['unchanged']} copied (nothing was drawn for them)" if count["unchanged"] else "")
            + (f", {count['skipped']} skipped (they exist; --overwrite replaces them)" if count["skipped"] else "")
            + (f", {count['failed']} failed" if count["failed"] else "")
        )
    if any(result.status == "failed" for result in results):
        raise typer.Exit(1)


def _show_catalogue(json: bool) -> None:
    from dataclasses import asdict

    from pellucid.degradations.catalogue import GRAMMAR, catalogue

    entries = catalogue()
    if json:
        print_json({"degradations": [asdict(entry) for entry in entries], "grammar": dict(GRAMMAR)})
        return
    say("\n".join(_lines(entries, GRAMMAR)))


def _lines(entries: "Sequence[Entry]", grammar: "Sequence[tuple[str, str]]") -> "Iterator[str]":
    import shutil
    from textwrap import wrap

    width = max(40, min(120, shutil.get_terminal_size((100, 24)).columns))

    def spread(text: str, first: str, indent: int) -> list[str]:
        return wrap(text, width, initial_indent=first, subsequent_indent=" " * indent, break_on_hyphens=False)

    for entry in entries:
        kind = f" ({entry.kind})" if entry.kind and entry.kind != entry.name else ""
        yield from spread(entry.summary, f"{entry.name}{kind}: ", 4)
        for one in entry.parameters:
            values = one.values if one.default is None else f"{one.values}, {one.default} if not given"
            yield from spread(f"{one.summary} ({values})", f"  {one.name}: ", 4)
        if entry.severity:
            yield from spread(entry.severity, "  severity: ", 4)
        yield ""
    longest = max(len(form) for form, _ in grammar)
    yield from (f"{form:{longest}}  {meaning}" for form, meaning in grammar)
