"""Where this machine keeps what can be had again, hashing a file, and writing one whole or not at all: beside its
place, then moved."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["cache_folder", "sha256_of", "written_whole"]


def cache_folder() -> Path:
    """The folder `pellucid` in the platform's cache, whether it is there or not."""
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "pellucid"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal; it is never in memory as a whole. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
