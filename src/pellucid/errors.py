"""What can go wrong, and what to catch.

    PellucidError                 everything below; its text is one line made for people
    ├── ImageError                a picture cannot be read, written or understood; names the file
    ├── ModelError                a model file, a network or its weights cannot be used
    ├── SettingsError             a recipe or an option is wrong; names the key and the known ones
    ├── DataError                 a folder of photographs is missing, empty or does not pair up
    └── MissingExtraError         an optional dependency is not installed; names the extra to install

The command line turns a `PellucidError` into one line on stderr. `SettingsError` ends it with status 2, the others with
1.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "DataError",
    "ImageError",
    "MissingExtraError",
    "ModelError",
    "PellucidError",
    "SettingsError",
    "one_line",
    "unknown_name",
]


class PellucidError(Exception):
    """The root of every error that pellucid raises on purpose."""


class ImageError(PellucidError):
    """A picture cannot be read, written or understood."""


class ModelError(PellucidError):
    """A model file, a network or its weights cannot be used."""


class SettingsError(PellucidError):
    """A recipe, a name or an option is wrong."""


class DataError(PellucidError):
    """A folder of photographs is missing, empty, or does not pair up."""


class MissingExtraError(PellucidError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs the package {package}, which is not installed: pip install 'pellucid[{extra}]'")


def one_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that is not in a table: the near ones first, then all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"unknown {kind} {name!r}; {hint}known: {', '.join(names)}"
