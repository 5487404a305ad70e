"""Folders of photographs, and pairs of folders."""

from collections.abc import Container, Sequence
from pathlib import Path

import torch
from torch import Tensor

from pellucid import images
from pellucid.errors import DataError

__all__ = ["Photographs", "by_name", "list_pairs", "list_photographs", "partner_name"]


def list_photographs(folder: Path, *, recursive: bool = True) -> list[Path]:
    """The image files of a folder, sorted by name.

    Raises:
        DataError: the folder is missing, is not a folder, or holds no image.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder" if not folder.exists() else f"{folder}: not a folder")
    found = sorted(
        path
        for path in folder.glob("**/*" if recursive else "*")
        if images.supported(path) and images.readable(path) and path.is_file()
    )
    if not found:
        raise DataError(f"{folder}: no photographs in this folder (looked for {', '.join(sorted(images.SUFFIXES))})")
    return found


def list_pairs(degraded: Path, clean: Path, *, exact: bool = False) -> list[tuple[Path, Path]]:
    """Pairs (degraded file, clean file) of two folders, matched by `partner_name`; a clean file may serve several.

    With `exact`, names must be the same but for the suffix.

    Raises:
        DataError: a folder is missing or empty, or a file has no partner; each such file is named.
    """
    left, right = by_name(degraded), by_name(clean)
    partners = {name: name if name in right else None if exact else partner_name(name, right) for name in left}
    alone = [str(left[name]) for name, partner in partners.items() if partner is None]
    alone += [str(right[name]) for name in right.keys() - set(partners.values())]
    if alone:
        shown = ", ".join(sorted(alone)[:20]) + (f" and {len(alone) - 20} more" if len(alone) > 20 else "")
        raise DataError(f"{len(alone)} files without a partner of the same name: {shown}")
    return [(left[name], right[partner]) for name, partner in sorted(partners.items()) if partner is not None]


def by_name(folder: Path) -> dict[str, Path]:
    """The photographs of a folder by their path inside it, without suffix.

    Raises:
        DataError: the folder is missing or empty, or two files differ by their suffix alone.
    """
    found: dict[str, Path] = {}
    for path in list_photographs(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise DataError(f"{path}: a second file named {name!r} beside {found[name].name}; pairs would be ambiguous")
        found[name] = path
    return found


def partner_name(name: str, others: Container[str]) -> str | None:
    """The name among `others` that belongs to `name`: the same, or else what stands before one of its underscores.

    So `1400_2` and `1400_5` belong to `1400`, as in the dehazing sets. None where there is none.
    """
    folder, slash, rest = name.rpartition("/")
    while folder + slash + rest not in others:
        rest, underscore, _ = rest.rpartition("_")
        if not underscore:
            return None
    return folder + slash + rest


class Photographs:
    """Photographs of a folder, decoded once and kept at the depth of their files while they fit in memory.

    Args:
        paths: the files.
        memory: bytes that decoded photographs may take; those beyond it are read anew each time.
    """

    def __init__(self, paths: Sequence[Path], *, memory: int = 4 << 30) -> None:
        self.paths = list(paths)
        self._room = memory
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        """Photograph `index`: float32 (3, H, W) in [0, 1]."""
        return _as_float(self._stored(index))

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of photograph `index`."""
        height, width = self._stored(index).shape[1:]
        return height, width

    def part(self, index: int, top: int, left: int, height: int, width: int) -> Tensor:
        """A part of photograph `index`, float32 (3, height, width) in [0, 1], without touching the rest of it."""
        return _as_float(self._stored(index)[:, top : top + height, left : left + width])

    def _stored(self, index: int) -> Tensor:
        """Photograph `index` at the depth of its file: uint8 or uint16."""
        kept = self._kept.get(index)
        if kept is None:
            photograph = images.read(self.paths[index])
            depth, top = (torch.uint8, 255) if photograph.bits == 8 else (torch.uint16, 65535)
            kept = (photograph.pixels[0] * top).round().clamp(0, top).to(depth)
            if kept.nbytes <= self._room:
                self._room -= kept.nbytes
                self._kept[index] = kept
        return kept


def _as_float(stored: Tensor) -> Tensor:
    return stored.float().div_(torch.iinfo(stored.dtype).max)
