"""Pictures that other tools have restored: each folder is a candidate, scored as it is."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from pellucid.data.folders import list_pairs
from pellucid.errors import SettingsError
from pellucid.evaluation.candidates import DEGRADED, Candidate
from pellucid.evaluation.sets import TestSet

__all__ = ["folder_candidates"]


def folder_candidates(
    folders: Sequence[Path], clean: Path, inputs: Path | None = None, task: str | None = None
) -> list[tuple[Candidate, TestSet]]:
    """Folders of restored pictures, each paired by name with the clean ones; the inputs first, as `degraded`.

    Raises:
        DataError: a folder is missing or empty, or pictures have no partner.
        SettingsError: a folder given twice.
    """
    named = {} if inputs is None else {DEGRADED: inputs}
    named |= dict(zip(_distinct(folders), folders, strict=True))
    return [
        (Candidate(name, None, identity="input"), TestSet(str(clean), list_pairs(folder, clean, exact=True), task))
        for name, folder in named.items()
    ]


def _distinct(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of their paths that tell folders apart."""
    whole = [Path(os.path.abspath(folder)).parts for folder in folders]
    if len(set(whole)) < len(whole):
        raise SettingsError("compare: a folder is given twice")
    for length in itertools.count(1):
        names = ["/".join(parts[-length:]) for parts in whole]
        if len(set(names)) == len(names) and DEGRADED not in names:  # that name is the input's
            return names
    raise AssertionError
