"""Photographs that can be read: seen before anything is trained on them, and only once as long as they do not change.

What was read is kept in the cache folder as one line for each file, a hash of its path, size and date.
"""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from pellucid import images
from pellucid.errors import DataError, PellucidError, one_line
from pellucid.files import cache_folder
from pellucid.version import __version__

__all__ = ["check_photographs"]

FILE = "readable-photographs.txt"


def check_photographs(paths: Iterable[Path]) -> None:
    """Reads every photograph that was not found readable before, as it is now.

    Raises:
        DataError: some cannot be read; names all of them, and why.
    """
    record = cache_folder() / FILE
    known: set[str] = set()
    with suppress(OSError):
        known = set(record.read_text("ascii", "replace").split())
    new = {path: key for path in dict.fromkeys(paths) if (key := _key(path)) not in known}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "pellucid checks") as pool:
        problems = dict(zip(new, pool.map(_problem, new), strict=True))
    readable = [key for path, key in new.items() if problems[path] is None and key]
    with suppress(OSError):  # what cannot be kept is read again next time
        record.parent.mkdir(parents=True, exist_ok=True)
        with record.open("a", encoding="ascii") as file:
            file.write("".join(f"{key}\n" for key in readable))
    damaged = [problem for problem in problems.values() if problem is not None]
    if damaged:
        photographs = "1 photograph" if len(damaged) == 1 else f"{len(damaged)} photographs"
        raise DataError(f"{photographs} cannot be read, and nothing was begun: {'; '.join(damaged)}")


def _key(path: Path) -> str:
    """Of a file as it is now; empty where there is none."""
    try:
        state = path.stat()
    except OSError:
        return ""
    told = f"{__version__} {path.resolve()} {state.st_size} {state.st_mtime_ns}"
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()


def _problem(path: Path) -> str | None:
    try:
        images.read(path)
    except PellucidError as error:
        return str(error)
    except (MemoryError, OSError, RuntimeError) as error:
        return f"{path}: {one_line(error)}"
    return None
