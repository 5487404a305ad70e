"""The photographs that are asked for: names as they are, patterns that no shell has expanded, and lists on stdin."""

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from pellucid import images
from pellucid.errors import DataError, SettingsError
from pellucid.images.messages import name_of

__all__ = ["LIST", "expand"]

LIST = "-"
"""What stands for the list on stdin."""


def expand(inputs: Sequence[Path], stdin: BinaryIO, *, nul: bool = False) -> list[Path]:
    """The files and folders behind the inputs, in their order.

    What exists is taken as it is, whatever signs are in its name. Else `*`, `?`, `[...]` and `**` are a pattern, of
    which folders and what has the name of a photograph are taken, sorted. A list holds paths and no patterns.

    Args:
        inputs: paths, patterns, and `-` for the list.
        stdin: the list: a path a line, empty lines left out.
        nul: its paths end in NUL instead, so that they may hold line breaks (`find -print0`).

    Raises:
        SettingsError: a list that is asked for twice, or `nul` without one.
        DataError: a pattern that nothing matches, or an empty list.
    """
    lists = sum(str(path) == LIST for path in inputs)
    if lists > 1:
        raise SettingsError("- is given twice, but stdin holds one list")
    if nul and not lists:
        raise SettingsError("-0 says how the list on stdin is separated, and needs - among the inputs")
    found: list[Path] = []
    for path in inputs:
        found += _listed(stdin.read(), nul) if str(path) == LIST else _matching(path)
    return found


def _listed(data: bytes, nul: bool) -> list[Path]:
    names = data.split(b"\0") if nul else re.split(rb"\r?\n", data)
    paths = [Path(os.fsdecode(name)) for name in names if name]
    if not paths:
        raise DataError("-: the list on stdin is empty")
    if not nul and b"\0" in data:
        raise DataError("-: the list on stdin is separated by NUL; -0 reads it")
    return paths


def _matching(path: Path) -> list[Path]:
    text = str(path)
    if not glob.has_magic(text) or os.path.lexists(path):
        return [path]
    found = [Path(name) for name in sorted(glob.glob(text, recursive=True))]
    kept = [one for one in found if one.is_dir() or images.readable(one)]
    if not kept:
        raise DataError(f"{name_of(path)}: no photograph has such a name")
    if "**" in path.parts:  # which matches a folder and what is in it
        kept = [one for one in kept if not one.is_dir()] or kept
    return kept
