"""What `pellucid data` prints for people: the sets, what was fetched and checked, and the published tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.cli.terminal import say, warn, wide_console

if TYPE_CHECKING:
    from pellucid.data.benchmarks import Benchmark, Check, FetchOutcome
    from pellucid.evaluation.published import PublishedTable

__all__ = ["print_published_table", "print_set", "print_sets", "tell_checked", "tell_coverage", "tell_fetched"]


def print_sets(chosen: "list[Benchmark]", rows: list[dict[str, Any]]) -> None:
    """One line for each set, and where sets lie."""
    from rich import box
    from rich.table import Column, Table

    from pellucid.data.benchmarks import data_root

    table = Table(*(Column(name, no_wrap=True) for name in ("set", "task", "split")), box=box.SIMPLE, padding=(0, 1))
    for name, justify in (("count", "right"), ("MB", "right"), ("here", "left"), ("licence", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for benchmark, row in zip(chosen, rows, strict=True):
        here = "" if not row["here"] else "yes" if row["here"] == benchmark.count else f"{row['here']} of them"
        size = f"{benchmark.bytes / 1e6:.1f}" if benchmark.fetchable else "by hand"
        table.add_row(
            benchmark.name, benchmark.task, benchmark.split, f"{benchmark.count} {benchmark.unit}", size, here,
            benchmark.licence,
        )  # fmt: skip
    console = wide_console(120)
    console.print(table)
    console.print(
        f"They lie in {data_root()} (PELLUCID_DATA chooses another folder). Sets marked 'by hand' have no stable "
        "address; `pellucid data list NAME` says where to get them.",
        highlight=False,
        soft_wrap=True,
    )


def print_set(benchmark: "Benchmark", row: dict[str, Any]) -> None:
    """All that the registry says of a set."""
    from pellucid.data.benchmarks.places import how_to_get

    source = f"{benchmark.repository} at {benchmark.commit} on GitHub" if benchmark.fetchable else benchmark.get
    lines = {
        "title": benchmark.title,
        "task": benchmark.task,
        "split": f"{benchmark.split}, {benchmark.count} {benchmark.unit}",
        "files": f"{row['files']}, {benchmark.bytes / 1e6:.1f} MB" if benchmark.fetchable else "",
        "paper": benchmark.paper,
        "source": source,
        "licence": benchmark.licence,
        "layout": " or ".join(row["layouts"]),
        "shares pictures with": ", ".join(benchmark.overlaps),
        "notes": benchmark.notes,
        "folder": row["folder"] + (f" ({row['here']} {benchmark.unit} here)" if row["here"] else " (not here)"),
        "to get it": "" if row["here"] == benchmark.count else how_to_get(benchmark, Path(row["folder"])),
    }
    say(benchmark.name)
    for label, text in lines.items():
        if text:
            say(f"  {label}: {text}")


def tell_fetched(outcome: "FetchOutcome", *, quiet: bool) -> None:
    """What was fetched, and on stderr what was not; with `quiet` only the latter."""
    benchmark = outcome.benchmark
    if outcome.unreachable:
        warn(f"{benchmark.name}: {outcome.unreachable}; {len(outcome.failed)} files are still to be fetched")
    for failure in outcome.failed:
        if failure.reason != outcome.unreachable:
            warn(f"{benchmark.name}: {failure.path}: {failure.reason}")
    if quiet:
        return
    text = f"{benchmark.name}: {outcome.added} files new ({outcome.bytes / 1e6:.1f} MB), {outcome.present} were there"
    if outcome.failed:
        text += f", {len(outcome.failed)} still missing or wrong"
    say(f"{text}; in {outcome.folder}; licence: {benchmark.licence}")
    if outcome.added and benchmark.overlaps and benchmark.split != "test":
        warn(
            f"{benchmark.name} shares pictures with {', '.join(benchmark.overlaps)}: "
            "a model trained on all of it must not be scored on these"
        )


def tell_checked(check: "Check") -> None:
    """Whether a set is right; on stderr each file that is not."""
    from pellucid.data.benchmarks.places import how_to_get

    name = check.benchmark.name
    if not check.there:
        warn(f"{name}: not in {check.folder}; {how_to_get(check.benchmark, check.folder)}")
        return
    for what, paths in (("missing", check.missing), ("wrong", check.wrong), ("extra", check.extra)):
        for path in paths:
            warn(f"{name}: {what} {path}")
    say(check.summary())
    if not check.right and not (check.extra and not check.missing and not check.wrong):
        warn(f"{name}: {how_to_get(check.benchmark, check.folder)}")


def tell_coverage(photographs: int, found: int, coverage: dict[str, tuple[int, int]]) -> None:
    """How many photographs are in test sets, and in which of them they were looked for."""
    compared = [
        f"{name} ({part})" if part == whole else f"{name} ({part} of {whole})"
        for name, (part, whole) in coverage.items()
        if part
    ]
    unknown = [name for name, (part, _) in coverage.items() if not part]
    say(f"{found} of {photographs} photographs are in a test set; compared with {', '.join(compared) or 'none'}")
    if unknown:
        say(f"not compared with {', '.join(unknown)}: fetch them first, as their fingerprints are not in the registry")


def print_published_table(table: "PublishedTable") -> None:
    """The numbers of a published table, and where they are from."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table as Grid

    grid = Grid(box=box.SIMPLE, padding=(0, 1), title=f"{table.name}: {table.title}", title_justify="left")
    grid.add_column("model")
    for column in table.columns:
        grid.add_column(
            "\n".join(filter(None, (column.data or column.title, column.condition, column.part))), justify="right"
        )
    for row in table.rows:
        numbers = [
            " / ".join(
                "" if value is None else f"{value:.2f}" if metric == "psnr" else f"{value:.3f}"
                for metric, value in zip(table.metrics, values, strict=True)
            )
            for values in row.values
        ]
        grid.add_row(escape(row.label), *numbers)
    console = wide_console(200)
    console.print(grid)
    missing = f"Not in it: {table.missing}" if table.missing else None
    for note in (f"Source: {table.source}. Metrics: {', '.join(table.metrics)}.", table.notes, missing):
        if note:
            console.print(note, highlight=False, markup=False)
