"""What `pellucid restore` says: while it runs, at the end, and of what it would do."""

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pellucid.cli.terminal import print_json, progress, say, warn

if TYPE_CHECKING:
    from pellucid.batch.change import FileResult
    from pellucid.batch.pace import Pace
    from pellucid.words.wishes import Wishes

__all__ = ["foretell", "summary", "told"]


def told(
    results: "Generator[FileResult, None, None]",
    total: int | None,
    pace: "Pace",
    *,
    quiet: bool = False,
    endless: bool = False,
) -> "list[FileResult]":
    """The results, each told as it comes, when `quiet` only what went wrong; of an endless run until Ctrl-C."""
    from pellucid.images.messages import name_of

    found = []
    with progress("restore", total, remaining=False) as bar, closing(results):
        try:
            for result in results:
                found.append(result)
                pace.add(result)
                bar(len(found), ", ".join(filter(None, (name_of(result.source.name), str(pace)))))
                if result.decision is not None and not quiet:
                    say(f"{name_of(result.source)}: {result.decision.words()}")
                for text in (result.error, result.loss, result.reason if result.status == "quarantined" else None):
                    if text:
                        warn(text)
        except KeyboardInterrupt:
            if not endless:
                raise
    return found


def summary(results: "Sequence[FileResult]", pace: "Pace") -> str:
    """What became of all, in one line."""
    done = [result for result in results if result.status == "restored"]
    megapixels = sum(result.megapixels for result in done)
    count = Counter(result.status for result in results)
    skipped = Counter(result.reason for result in results if result.status == "skipped")
    spent = f", {megapixels:.1f} megapixels, {pace.seconds / pace.megapixels:.2f} s per megapixel" if megapixels else ""
    return (
        f"{len(done)} restored{spent}"
        + (f", {count['unchanged']} copied as they are" * bool(count["unchanged"]))
        + "".join(f", {number} skipped ({why})" for why, number in skipped.items())
        + (f", {count['quarantined']} not tried again (they failed before)" * bool(count["quarantined"]))
        + (f", {count['failed']} failed" * bool(count["failed"]))
    )


def foretell(
    results: "Sequence[FileResult]", passed_over: Sequence[Path], *, understood: "Wishes | None", json: bool
) -> None:
    """What would become of what, a line each; in JSON with what was understood of a text."""
    from pellucid import images
    from pellucid.images.messages import name_of

    if json:
        documents = [result.as_dict() for result in results]
        planned = {"dry_run": True, "photographs": documents, "passed_over": [str(path) for path in passed_over]}
        print_json(planned if understood is None else {"understood": understood.as_dict(), **planned})
        return
    for result in results:
        if result.status == "planned":
            say(f"{name_of(result.source)} -> {name_of(result.target)}")
        else:
            say(f"{name_of(result.source)}: {result.status}, {result.reason or result.error}")
    if passed_over:
        say(f"{len(passed_over)} passed over, no photographs by their names: {images.few_names(passed_over)}")
    count: Counter[str] = Counter(result.status for result in results)
    words = {
        "planned": "would be restored",
        "skipped": "skipped",
        "quarantined": "not tried again",
        "failed": "would fail",
    }
    say(", ".join(f"{count[status]} {text}" for status, text in words.items() if count[status] or status == "planned"))
