"""Which files of a folder are photographs, and what is passed over."""

import os
from dataclasses import dataclass
from pathlib import Path

from pellucid.images.files import SUFFIXES

__all__ = ["READ_ONLY", "Folder", "in_folder", "readable"]

READ_ONLY = {".gif": ".png", ".heic": ".png", ".heif": ".png", ".hif": ".png", ".jxl": ".png"}
"""Suffixes of pictures that are read but not written, and the suffix that keeps all that they can hold."""
_RAW = "3fr arw cr2 cr3 crw dcr dng erf fff iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srw x3f"
READ_ONLY |= {f".{name}": ".tif" for name in _RAW.split()}

# What programs and systems put beside photographs: their thumbnails, indexes and halves of archives.
_FOLDERS = {"@eadir", "__macosx", "#recycle", "$recycle.bin", "lost+found", "system volume information"}
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
    """Whether `path` has the name of a photograph: a suffix that is read, and not the name of what systems put beside them.

    The file is not looked at. HEIC, JPEG XL and camera raw files need an extra to be read.
    """
    name = Path(path).name
    return Path(path).suffix.lower() in SUFFIXES.keys() | READ_ONLY.keys() and not _of_system(name)


def in_folder(folder: str | os.PathLike[str], *, recursive: bool = False) -> Folder:
    """The photographs in a folder, and with `recursive` in the folders below it; links to folders are not followed.

    Hidden files and folders, and those of systems and programs (`._*`, `@eaDir`, `__MACOSX`, `.thumbnails`, `Thumbs.db`), are
    passed over; so is what has no suffix of a photograph.
    """
    photographs, passed_over = [], []
    for place, folders, files in os.walk(folder):
        passed_over += [Path(place, name) for name in folders if _of_system(name)]
        folders[:] = sorted(name for name in folders if recursive and not _of_system(name))
        for name in files:
            path = Path(place, name)
            (photographs if readable(path) and path.is_file() else passed_over).append(path)
    return Folder(tuple(sorted(photographs)), tuple(sorted(passed_over)))


def _of_system(name: str) -> bool:
    return name.startswith((".", "~$")) or name.lower() in _FOLDERS | _FILES
