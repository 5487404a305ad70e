"""`pellucid data list`, `fetch`, `verify`, `where`, `overlap`, `tables`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.cli.data_output import (
    print_published_table,
    print_set,
    print_sets,
    tell_checked,
    tell_coverage,
    tell_fetched,
)
from pellucid.cli.options import Json
from pellucid.cli.terminal import print_json, progress, say, warn
from pellucid.errors import DataError, SettingsError

if TYPE_CHECKING:
    from pellucid.data.benchmarks import Benchmark
    from pellucid.data.benchmarks.overlap import Overlap

__all__ = ["app"]

app = typer.Typer(
    help="The published sets that models are compared on, and the published tables: list, fetch, check, find overlaps.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Sets, as `pellucid data list` names them.")]


@app.command("list")
def list_sets(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Show these sets in full.")] = None,
    task: Annotated[
        str | None, typer.Option(help="Only sets whose task has this in its name, such as denoising.")
    ] = None,
    json: Json = False,
) -> None:
    """List the published sets: what they are for, where they are from, and whether they are here."""
    from pellucid.data.benchmarks import benchmarks, data_root, find_benchmark

    chosen = [find_benchmark(name) for name in names] if names else list(benchmarks().values())
    if task:
        chosen = [benchmark for benchmark in chosen if task.lower() in benchmark.task.lower()]
        if not chosen:
            tasks = ", ".join(sorted({benchmark.task for benchmark in benchmarks().values()}))
            raise SettingsError(f"--task {task}: no set; known: {tasks}")
    rows = [_row(benchmark, with_files=bool(names)) for benchmark in chosen]
    if json:
        print_json({"root": str(data_root()), "sets": rows})
    elif names:
        for benchmark, row in zip(chosen, rows, strict=True):
            print_set(benchmark, row)
    else:
        print_sets(chosen, rows)


def _row(benchmark: "Benchmark", *, with_files: bool) -> dict[str, Any]:
    from pellucid.data.benchmarks import folder_of
    from pellucid.data.benchmarks.places import present

    here = present(benchmark)
    row = benchmark.as_dict() | {"folder": str(folder_of(benchmark.name)), "here": here}
    if with_files:
        row["addresses"] = [
            {"path": file.path, "address": file.address, "bytes": file.bytes, "sha256": file.sha256}
            for file in benchmark.files
        ]
    return row


@app.command()
def fetch(
    names: Names,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Take the files from this copy, after checking them.")
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="With --from: hard links instead of copies.")] = False,
    mirror: Annotated[
        str | None,
        typer.Option(envvar="PELLUCID_MIRROR", metavar="URL", help="Download from here instead of GitHub's raw files."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Downloads at a time.")] = 8,
    json: Json = False,
) -> None:
    """Download sets, going on where an earlier run stopped; every file is checked before it counts."""
    from pellucid.data.benchmarks import adopt, find_benchmark
    from pellucid.data.benchmarks import fetch as download
    from pellucid.data.benchmarks.fetching import HOST

    if link and source is None:
        raise SettingsError("--link goes with --from")
    chosen = [find_benchmark(name) for name in names]
    documents: list[dict[str, Any]] = []
    for benchmark in chosen:
        try:
            with progress(benchmark.name, benchmark.bytes or None) as bar:
                if source is not None:
                    outcome = adopt(benchmark.name, source, link=link, report=bar)
                else:
                    outcome = download(benchmark.name, mirror=mirror or HOST, jobs=jobs, report=bar)
        except DataError as error:  # the other sets may yet come
            warn(str(error))
            documents.append({"name": benchmark.name, "error": str(error)})
            continue
        documents.append(outcome.as_dict() | {"error": None})
        tell_fetched(outcome, quiet=json)
    if json:
        print_json({"sets": documents})
    if any(document["error"] or document["failed"] for document in documents):
        raise typer.Exit(1)


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Sets to check.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every set that is here.")] = False,
    json: Json = False,
) -> None:
    """Compare sets with what was published: every file that is missing, wrong or extra is named."""
    from pellucid.data.benchmarks import benchmarks, data_root, find_benchmark, folder_of
    from pellucid.data.benchmarks import verify as check_set

    if bool(names) == everything:
        raise SettingsError("data verify: name the sets to check, or give --all")
    if everything:
        # The parts of a set are in its folder; whether all of it is right says the whole.
        chosen = [one for one in benchmarks().values() if not one.part_of and folder_of(one.name).is_dir()]
        if not chosen:
            raise DataError(f"{data_root()}: no set is here; `pellucid data list` says what there is")
    else:
        chosen = [find_benchmark(name) for name in names or []]
    checks = []
    for benchmark in chosen:
        with progress(f"verify {benchmark.name}", benchmark.bytes or None) as bar:
            checks.append(check_set(benchmark.name, report=bar))
        if not json:
            tell_checked(checks[-1])
    if json:
        print_json({"root": str(data_root()), "sets": [check.as_dict() for check in checks]})
    if not all(check.right for check in checks):
        raise typer.Exit(1)


@app.command()
def where(
    name: Annotated[str | None, typer.Argument(help="A set; without one, the folder of all sets.")] = None,
    json: Json = False,
) -> None:
    """Print the folder of a set, whether it is there yet or not."""
    from pellucid.data.benchmarks import data_root, find_benchmark, folder_of
    from pellucid.data.benchmarks.places import how_to_get

    folder = folder_of(name) if name else data_root()
    there = folder.is_dir()
    if json:
        print_json({"name": find_benchmark(name).name if name else None, "folder": str(folder), "there": there})
        return
    say(str(folder))
    if name and not there:
        warn(f"{name}: not there yet; {how_to_get(find_benchmark(name), folder)}")


@app.command()
def overlap(
    folder: Annotated[Path, typer.Argument(help="A folder of photographs to train on.")],
    names: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME", help="Only this test set; give it again for more.")
    ] = None,
    json: Json = False,
) -> None:
    """Find photographs that are pictures of a test set, also compressed, resized, turned or grey ones.

    Ends 1 when there are any. A picture of which much was cut off is not found.
    """
    from pellucid.data.benchmarks.overlap import known_pictures, scan
    from pellucid.data.folders import list_photographs

    paths = list_photographs(folder)
    known = known_pictures(names)
    found: list[Overlap] = []
    unreadable: list[str] = []
    with progress("overlap", len(paths)) as bar:
        for number, scanned in enumerate(scan(paths, known), start=1):
            found += scanned.overlaps
            unreadable += [scanned.error] if scanned.error else []
            bar(number, scanned.file.name)
    for error in unreadable:
        warn(error)
    if json:
        rows = [one._asdict() | {"file": str(one.file)} for one in found]
        coverage = {name: {"known": part, "of": whole} for name, (part, whole) in known.coverage.items()}
        print_json({"photographs": len(paths), "overlaps": rows, "unreadable": unreadable, "compared_with": coverage})
    else:
        for one in found:
            say(f"{one.file}: is {one.image} of {one.benchmark} ({one.difference} of 143 bits differ)")
        tell_coverage(len(paths), len({one.file for one in found}), known.coverage)
    if found or unreadable:
        raise typer.Exit(1)


@app.command("tables")
def list_tables(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Show these tables in full.")] = None,
    json: Json = False,
) -> None:
    """List the published result tables that `pellucid evaluate --table` fills; with names, show their numbers."""
    from pellucid.evaluation.published import find_table, quoted, tables

    chosen = [find_table(name) for name in names] if names else list(tables().values())
    if json:
        print_json(
            [
                {"name": table.name, "title": table.title, "source": str(table.source), "quoted": quoted(table)}
                for table in chosen
            ]
        )
    elif names:
        for table in chosen:
            print_published_table(table)
    else:
        for table in chosen:
            runnable = sum(column.runnable for column in table.columns)
            say(f"{table.name:<26}{table.title} ({runnable} of {len(table.columns)} columns can be run)")
