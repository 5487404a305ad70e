"""Which files of a folder are photographs, and what is passed over."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.images.files import SUFFIXES
from pellucid.images.messages import name_of

__all__ = ["READ_ONLY", "Folder", "few_names", "in_folder", "passed_over", "readable"]

READ_ONLY = {".gif": ".png", ".heic": ".png", ".heif": ".png", ".hif": ".png", ".jxl": ".png"}
"""Suffixes of pictures that are read but not written, and the suffix that keeps all that they can hold."""
_RAW = "3fr arw cr2 cr3 crw dcr dng erf fff iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srw x3f"
READ_ONLY |= {f".{name}": ".tif" for name in _RAW.split()}

# What programs and systems put beside photographs: their thumbnails, indexes and halves of archives.
_FOLDERS = {"@eadir", "__macosx", "#recycle", "@recycle", "$recycle.bin", "recycler", "#snapshot", "@recently-snapshot"}
_FOLDERS |= {"lost+found", "system volume information"}
_LIBRARIES = (".lrdata",)  # Lightroom's own small copies
_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}


@dataclass(frozen=True)
class Folder:
    """The files of a folder.

    Attributes:
        photographs: what is read, sorted.
        passed_over: everything else, sorted; folders that are not gone into as a whole.
    """

    photographs: tuple[Path, ...]
    passed_over: tuple[Path, ...]


def readable(path: str | os.PathLike[str]) -> bool:
    """Whether `path` has the name of a photograph: a suffix that is read, and not the name of what systems put beside
    them.

    The file is not looked at. HEIC, JPEG XL and camera raw files need an extra to be read.
    """
    name = Path(path).name
    return Path(path).suffix.lower() in SUFFIXES.keys() | READ_ONLY.keys() and not _of_system(name)


def in_folder(folder: str | os.PathLike[str], *, recursive: bool = False) -> Folder:
    """The photographs in a folder, and with `recursive` in the folders below it; links to folders are not followed.

    Hidden files and folders, and those of systems and programs (`._*`, `@eaDir`, `__MACOSX`, `.thumbnails`,
    `Thumbs.db`), are passed over; so is what has no suffix of a photograph.
    """
    photographs: list[Path] = []
    passed_over: list[Path] = []
    for place, folders, files in os.walk(folder):
        ours = {name for name in folders if not _of_system(name) and not _of_library(place, name)}
        passed_over += [Path(place, name) for name in folders if name not in ours]
        folders[:] = sorted(ours) if recursive else []
        for name in files:
            path = Path(place, name)
            (photographs if readable(path) and path.is_file() else passed_over).append(path)
    return Folder(tuple(sorted(photographs)), tuple(sorted(passed_over)))


def passed_over(inputs: Sequence[Path], *, recursive: bool = False) -> list[Path]:
    """What is passed over in those of the inputs that are folders."""
    folders = [path for path in inputs if os.path.isdir(path)]
    return [path for folder in folders for path in in_folder(folder, recursive=recursive).passed_over]


def few_names(paths: Sequence[Path], most: int = 8) -> str:
    """The names of files in one line, the first ones where there are many."""
    names = [name_of(path.name) for path in paths[:most]]
    return ", ".join(names) + (f" and {len(paths) - most} more" if len(paths) > most else "")


def _of_library(place: str, name: str) -> bool:
    """Whether a folder in the one called `place` holds the small copies of Apple's Photos, beside the originals."""
    return place.lower().endswith(".photoslibrary") and name.lower() not in ("originals", "masters")


def _of_system(name: str) -> bool:
    return name.startswith((".", "~$")) or name.lower() in _FOLDERS | _FILES or name.lower().endswith(_LIBRARIES)
