"""The two parts of an error message that come from outside, each made one line: a file's name and a reason."""

import os

import pyvips

__all__ = ["name_of", "reason"]


def name_of(path: str | os.PathLike[str]) -> str:
    """The path as one line of text, whatever is in it."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)


def reason(error: Exception) -> str:
    """The reason of an error in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = error.detail or error.message if isinstance(error, pyvips.Error) else str(error)
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
