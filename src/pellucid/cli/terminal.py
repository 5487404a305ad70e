"""What the verbs share: where results and progress go."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_json", "progress", "say", "train_with_progress", "warn", "wide_console"]


def print_json(document: Any) -> None:
    """One JSON document on stdout, in ASCII so that every terminal takes it."""
    sys.stdout.write(json.dumps(document, indent=1, allow_nan=False) + "\n")


def say(text: str) -> None:
    """A line for people, on stdout."""
    sys.stdout.write(text + "\n")


def warn(text: str) -> None:
    """A line about something that went wrong, on stderr."""
    sys.stderr.write(f"pellucid: {text}\n")


def wide_console(width: int) -> "Console":
    """Where tables go: as wide as the terminal; `width` letters for a file or a pipe, of which nothing is known."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=width)


@contextmanager
def progress(label: str, total: float | None, *, remaining: bool = True) -> Iterator[Any]:
    """A progress bar on stderr, only where stderr is a terminal: `bar(completed, text)` moves it.

    Args:
        label: what is being done.
        total: of `completed`; None where nobody knows.
        remaining: with the time that is left by the mean of what is completed.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        *([TimeRemainingColumn()] if remaining else []),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        task = bars.add_task(label, total=total)

        def bar(completed: float, text: str | None = None) -> None:
            bars.update(task, completed=completed, description=escape(text if text is not None else label))

        yield bar


def train_with_progress(training: Callable[[Callable[[float, str], None]], Iterator[Any]], label: str) -> Any:
    """Takes every step of a training, showing how far it is; the last step, or None where nothing was left to do.

    Args:
        training: makes the steps, given what shows how far it is before the first of them: a part of 1, and what is
            being done.
        label: what is trained.
    """
    last = None
    with progress(label, 1.0) as bar:
        for last in training(lambda part, doing: bar(part, f"{label}: {doing}")):
            bar(last.progress, f"{label}: step {last.number}, loss {last.loss:.4f}")
    return last
