"""What the verbs that edit have in common: files in and out, and what is said of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pellucid.cli.terminal import print_json, progress, say, warn

if TYPE_CHECKING:
    from pellucid.batch.change import Done
    from pellucid.images import Photograph

__all__ = ["edit"]


def edit(
    inputs: list[Path],
    out: Path,
    change: "Callable[[Photograph], tuple[Photograph, None]]",
    done: "Done",
    *,
    understood: str,
    notes: Sequence[str],
    recursive: bool = False,
    overwrite: bool,
    format: str | None = None,  # noqa: A002
    quality: int | None,
    json: bool,
) -> None:
    """Changes files and says what became of each, and the notes: those that there are, and at the end those that were
    added meanwhile. Raises typer.Exit(1) where one failed."""
    from pellucid.batch.change import change_files
    from pellucid.batch.plan import plan

    jobs = plan(inputs, out, recursive=recursive, suffix=format)
    if understood and not json:
        say(f"understood: {understood}")
    for note in notes:
        warn(note)
    said = len(notes)
    results = []
    with progress(done, len(jobs)) as bar:
        for result in change_files(change, jobs, done, overwrite=overwrite, quality=quality):
            results.append(result)
            bar(len(results), result.source.name)
            for words in (result.error, result.loss):
                if words:
                    warn(words)
    for note in notes[said:]:
        warn(note)
    if json:
        photographs = [result.as_dict() for result in results]
        print_json({"understood": understood, "notes": list(notes), "photographs": photographs})
    else:
        counts = [(name, sum(one.status == name for one in results)) for name in (done, "skipped", "failed")]
        say(", ".join(f"{count} {name}" for name, count in counts if count or name == done))
    if any(result.status == "failed" for result in results):
        raise typer.Exit(1)
