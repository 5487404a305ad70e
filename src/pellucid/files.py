"""Writing a file whole or not at all: to a file beside its place, which is then moved there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["written_whole"]


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to; it takes its place where nothing went wrong, and is gone where something did.

    It has the rights that new files have in the folder. Several processes may write one file: the last that ends wins.
    Raises OSError.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.touch()
        rights = partial.stat().st_mode  # of new files here; some libraries make theirs private
        yield partial
        partial.chmod(rights)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
