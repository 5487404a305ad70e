"""The files of a study: two folders of restorations, one of inputs, perhaps one of clean photographs."""

from dataclasses import dataclass
from pathlib import Path

from pellucid.data.folders import list_pairs
from pellucid.errors import DataError, SettingsError

__all__ = ["StudyFiles", "list_study_files"]


@dataclass(frozen=True)
class StudyFiles:
    """The files of one photograph."""

    name: str
    """Its path in its folder, without the suffix."""
    a: Path
    b: Path
    input: Path
    clean: Path | None = None


def list_study_files(a: Path, b: Path, inputs: Path, clean: Path | None = None) -> list[StudyFiles]:
    """The photographs of a study, sorted by name, matched by the name without its suffix.

    Raises:
        DataError: a folder is missing or empty, or a file has no partner in another folder; each such file is named.
        SettingsError: A and B are the same folder.
    """
    if a.exists() and b.exists() and a.samefile(b):
        raise SettingsError(f"study: {a} and {b} are the same folder; there is nothing to compare")
    restored = list_pairs(a, b, exact=True)
    degraded = [partner for _, partner in list_pairs(a, inputs, exact=True)]
    reference = [partner for _, partner in list_pairs(a, clean, exact=True)] if clean else [None] * len(restored)
    sources = []
    for (first, second), before, after in zip(restored, degraded, reference, strict=True):
        name = first.relative_to(a).with_suffix("").as_posix()
        try:
            name.encode()
        except UnicodeEncodeError:  # the votes could not name it
            raise DataError(f"{str(first)!r}: the name is not Unicode; rename the file") from None
        sources.append(StudyFiles(name, first, second, before, after))
    return sources
