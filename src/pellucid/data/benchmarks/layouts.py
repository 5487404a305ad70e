"""Which file is the clean partner of which: layouts are pairs of patterns over paths.

A pattern is a path without its suffix, with named fields: `hazy/{scene}_{number}` and `clear/{scene}`. Two files are
partners when the fields that both patterns have are equal, so several degraded pictures may share one clean one. A
field takes as little as it can, never a slash; folders may lie above a pattern, and must then be the same on both
sides.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

__all__ = ["PICTURES", "Matched", "PairLayout", "best_layout", "files_below", "match", "translate"]

PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Suffixes that a picture of a published set has, unless its record says otherwise."""

_FIELD = re.compile(r"\{(\w+)\}")
_ABOVE = "above_"


@dataclass(frozen=True)
class PairLayout:
    """How the files of a set lie.

    Attributes:
        clean: the pattern of clean pictures.
        degraded: the pattern of degraded ones; None where the set is of clean pictures only.
        by: `name` pairs by the fields that both patterns share, `order` by the place in the sorted folder.
        spare: clean pictures without a degraded one are no fault.
    """

    clean: str
    degraded: str | None = None
    by: str = "name"
    spare: bool = False

    def __str__(self) -> str:
        if self.degraded is None:
            return self.clean
        return f"{self.degraded} -> {self.clean}" + (" (by their order)" if self.by == "order" else "")


@dataclass(frozen=True)
class Matched:
    """What a layout finds among paths.

    Attributes:
        pairs: (degraded path or None, clean path), sorted.
        alone: paths of either pattern without a partner.
        doubled: clean paths that cannot be told apart from another one by the fields of the pattern.
    """

    pairs: tuple[tuple[str | None, str], ...]
    alone: tuple[str, ...]
    doubled: tuple[str, ...]


@cache
def _compiled(pattern: str, above: bool) -> re.Pattern[str]:
    parts = _FIELD.split(pattern)
    inner = "".join(re.escape(part) if index % 2 == 0 else f"(?P<{part}>[^/]+?)" for index, part in enumerate(parts))
    return re.compile(f"(?P<{_ABOVE}>(?:[^/]+/)*){inner}" if above else inner)


def translate(path: str, patterns: Iterable[tuple[str, str]]) -> str:
    """The path that corresponds to `path`: the first (from, to) whose first pattern it matches, filled in.

    Raises:
        ValueError: no pattern matches, which is a mistake in the registry.
    """
    for source, target in patterns:
        found = _compiled(source, False).fullmatch(path)
        if found:
            return target.format(**found.groupdict())
    raise ValueError(f"{path}: no pattern says where it is from")


def natural(path: str) -> list[tuple[bool, int, str]]:
    """A key that sorts `2.png` before `10.png`."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", path)]


def match(paths: Iterable[str], layout: PairLayout, suffixes: Sequence[str] = PICTURES) -> Matched:
    """Pairs of `layout` among `paths` (relative, with slashes)."""
    clean: dict[tuple[str, ...], list[str]] = {}
    degraded: list[tuple[tuple[str, ...], str]] = []
    both = set(_FIELD.findall(layout.clean)) & set(_FIELD.findall(layout.degraded or layout.clean))
    fields = sorted(both | {_ABOVE})
    for path in sorted(paths, key=natural):
        bare, suffix = os.path.splitext(path)
        if suffix.lower() not in suffixes:
            continue
        found = _compiled(layout.degraded, True).fullmatch(bare) if layout.degraded else None
        if found:
            degraded.append((tuple(found[field] for field in fields), path))
            continue
        found = _compiled(layout.clean, True).fullmatch(bare)
        if found:
            clean.setdefault(tuple(found[field] for field in fields), []).append(path)
    if layout.degraded is None:
        return Matched(tuple((None, path) for group in clean.values() for path in group), (), ())
    if layout.by == "order":
        return _in_order([path for _, path in degraded], [path for group in clean.values() for path in group])
    pairs = tuple((path, clean[key][0]) for key, path in degraded if key in clean)
    used = {key for key, _ in degraded}
    alone = [path for key, path in degraded if key not in clean]
    if not layout.spare:
        alone += [path for key, group in clean.items() if key not in used for path in group]
    doubled = tuple(path for key, group in clean.items() if key in used for path in group[1:])
    return Matched(pairs, tuple(alone), doubled)


def _in_order(degraded: list[str], clean: list[str]) -> Matched:
    count = min(len(degraded), len(clean))
    return Matched(
        tuple(zip(degraded[:count], clean[:count], strict=True)), (*degraded[count:], *clean[count:]), doubled=()
    )


def best_layout(
    paths: Sequence[str], layouts: Sequence[PairLayout], suffixes: Sequence[str] = PICTURES
) -> tuple[PairLayout, Matched]:
    """The layout that finds most pairs among `paths`; the first of them where several do."""
    found = [(layout, match(paths, layout, suffixes)) for layout in layouts]
    return max(found, key=lambda one: (len(one[1].pairs), len(one[1].alone)))


def files_below(folder: Path) -> list[str]:
    """Every file below `folder`, relative and with slashes, sorted; hidden files and folders do not count."""
    found: list[str] = []
    seen: set[str] = set()
    for above, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(above)
        if real in seen:  # a link to a folder above itself
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = PurePosixPath(Path(above).relative_to(folder).as_posix())
        found += [str(relative / name) for name in names if not name.startswith(".")]
    return sorted(found)
