"""From the data section of a recipe to what is trained on and what is held out."""

from collections.abc import Sequence
from pathlib import Path

from pellucid.data.benchmarks.layouts import natural
from pellucid.data.folders import Photographs, by_name, list_pairs, list_photographs, partner_name
from pellucid.data.sources import Pairs, Source, Synthetic
from pellucid.degradations import parse_drawn
from pellucid.errors import DataError
from pellucid.training.settings import DataSettings, PairSettings

__all__ = ["describe_data", "split_sources"]


def split_sources(data: DataSettings) -> tuple[Source, Source]:
    """What to train on, and the last photographs by name, which are held out.

    Pairs are ordered as people count, `9` before `10`, since in sets of pairs neighbours often show one scene; pairs that
    share a clean photograph are never parted.

    Raises:
        DataError: a folder is missing or empty, files lack partners, or nothing would be left to train on.
        SettingsError: a degradation does not parse.
    """
    if data.pairs is not None:
        return _split_pairs(data.pairs, data)
    assert data.folder is not None
    drawn = [parse_drawn(text) for text in data.degradations or []]
    paths = list_photographs(data.folder)
    kept = _kept(len(paths), data.validation, data.folder)
    training, held_out = (Synthetic(Photographs(part), drawn, data.grey) for part in (paths[:kept], paths[kept:]))
    return training, held_out


def describe_data(data: DataSettings) -> list[str]:
    """What a model card says of how the pictures were degraded."""
    return data.degradations or ["real photographs" + (", paired" if data.pairs and data.pairs.clean else "")]


def _split_pairs(pairs: PairSettings, data: DataSettings) -> tuple[Source, Source]:
    if pairs.clean is None:
        found: list[tuple[Path, Path | None]] = [(path, None) for path in list_photographs(pairs.degraded)]
    else:
        found = list(list_pairs(pairs.degraded, pairs.clean))
    found.sort(key=lambda pair: natural(pair[0].relative_to(pairs.degraded).as_posix()))
    scenes = list(dict.fromkeys(clean or degraded for degraded, clean in found))
    held_out = set(scenes[_kept(len(scenes), data.validation, pairs.clean or pairs.degraded) :])
    parts: list[list[tuple[Path, Path | None]]] = [[], []]
    for degraded, clean in found:
        parts[(clean or degraded) in held_out].append((degraded, clean))
    training, validation = (_pairs(part, pairs.degraded, data.whole) for part in parts)
    return training, validation


def _pairs(found: Sequence[tuple[Path, Path | None]], folder: Path, whole: Path | None) -> Pairs:
    degraded = [path for path, _ in found]
    clean = [path for _, path in found if path is not None]
    wholes = None if whole is None else _wholes(degraded, folder, whole)
    return Pairs(degraded, clean if clean else None, wholes)


def _wholes(degraded: Sequence[Path], folder: Path, whole: Path) -> list[Path]:
    """The whole photograph of each degraded file, by its name as partners are found.

    Raises:
        DataError: some have none; each is named.
    """
    known = by_name(whole)
    names = [partner_name(path.relative_to(folder).with_suffix("").as_posix(), known) for path in degraded]
    alone = [str(path) for path, name in zip(degraded, names, strict=True) if name is None]
    if alone:
        shown = ", ".join(alone[:5]) + (f" and {len(alone) - 5} more" if len(alone) > 5 else "")
        raise DataError(f"{len(alone)} files without a whole photograph in {whole}: {shown}")
    return [known[name] for name in names if name is not None]


def _kept(count: int, held_out: int, folder: Path) -> int:
    """How many of the photographs of a folder are left to train on."""
    if count <= held_out:
        raise DataError(f"{folder}: {count} photographs, of which data.validation holds out {held_out}")
    return count - held_out
