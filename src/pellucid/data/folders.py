"""Folders of photographs, and pairs of folders."""

from pathlib import Path

import torch
from torch import Tensor

from pellucid import images
from pellucid.errors import DataError

__all__ = ["Photographs", "list_pairs", "list_photographs"]


def list_photographs(folder: Path, *, recursive: bool = True) -> list[Path]:
    """The image files of a folder, sorted by name.

    Raises:
        DataError: the folder is missing, is not a folder, or holds no image.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder" if not folder.exists() else f"{folder}: not a folder")
    found = sorted(
        path for path in folder.glob("**/*" if recursive else "*") if images.supported(path) and path.is_file()
    )
    if not found:
        raise DataError(f"{folder}: no photographs in this folder (looked for {', '.join(sorted(images.SUFFIXES))})")
    return found


def list_pairs(degraded: Path, clean: Path) -> list[tuple[Path, Path]]:
    """Pairs (degraded file, clean file) of two folders, matched by the name without its suffix.

    Raises:
        DataError: a folder is missing or empty, or a file has no partner; each such file is named.
    """
    sides = []
    for folder in (degraded, clean):
        by_stem: dict[str, Path] = {}
        for path in list_photographs(folder):
            key = str(path.relative_to(folder).with_suffix(""))
            if key in by_stem:
                raise DataError(
                    f"{path}: a second file named {key!r} beside {by_stem[key].name}; pairs would be ambiguous"
                )
            by_stem[key] = path
        sides.append(by_stem)
    alone = sorted(str(sides[0].get(key, sides[1].get(key))) for key in sides[0].keys() ^ sides[1].keys())
    if alone:
        shown = ", ".join(alone[:5]) + (f" and {len(alone) - 5} more" if len(alone) > 5 else "")
        raise DataError(f"{len(alone)} files without a partner of the same name: {shown}")
    return [(sides[0][key], sides[1][key]) for key in sorted(sides[0])]


class Photographs:
    """Clean photographs of a folder, decoded once and kept as 8-bit while they fit in memory.

    Args:
        paths: the files.
        memory: bytes that decoded photographs may take; those beyond it are read anew each time.
    """

    def __init__(self, paths: list[Path], *, memory: int = 4 << 30) -> None:
        self.paths = paths
        self._room = memory
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        """Photograph `index`: float32 (3, H, W) in [0, 1]."""
        kept = self._kept.get(index)
        if kept is None:
            kept = (images.read(self.paths[index]).pixels[0] * 255).round().to(torch.uint8)
            if kept.numel() <= self._room:
                self._room -= kept.numel()
                self._kept[index] = kept
        return kept.float().div_(255)
