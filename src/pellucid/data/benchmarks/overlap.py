"""Which photographs of a folder are pictures of a test set: a network trained on those must not be scored on it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid import images
from pellucid.data.benchmarks.fingerprint import BITS, SAME, difference, fingerprint, from_text, positions
from pellucid.data.benchmarks.places import folder_of
from pellucid.data.benchmarks.registry import Benchmark, benchmarks, find_benchmark
from pellucid.data.folders import list_photographs
from pellucid.errors import ImageError

__all__ = ["KnownPictures", "Overlap", "Scanned", "known_pictures", "overlaps", "scan"]


class Overlap(NamedTuple):
    """A photograph that is a picture of a test set.

    Attributes:
        file: the photograph.
        benchmark: the set.
        image: the picture's path in the set.
        difference: bits of 143 in which their fingerprints differ; 0 is the same picture, 26 the most that counts.
    """

    file: Path
    benchmark: str
    image: str
    difference: int


@dataclass(frozen=True)
class KnownPictures:
    """Fingerprints of the clean pictures of test sets.

    Attributes:
        names: (set, path in the set) of each.
        bits: bool (N, 143).
        coverage: set to (pictures whose fingerprint is known, pictures that it has).
    """

    names: tuple[tuple[str, str], ...]
    bits: Tensor
    coverage: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Scanned:
    """A photograph that was looked at: what it overlaps with, or why it could not be read."""

    file: Path
    overlaps: tuple[Overlap, ...] = ()
    error: str | None = None


def known_pictures(names: Sequence[str] | None = None, *, root: Path | None = None) -> KnownPictures:
    """The fingerprints of test sets: those of the registry, and else of the copy in `root`, where there is one.

    Args:
        names: the sets; the default is every test set with an address that is not part of another one.
        root: the folder of all sets; the default is `data_root()`.

    Raises:
        SettingsError: there is no such set.
    """
    if names is None:
        chosen = [one for one in benchmarks().values() if one.split == "test" and one.fetchable and not one.part_of]
    else:
        chosen = [find_benchmark(name) for name in names]
    found: list[tuple[str, str]] = []
    bits: list[Tensor] = []
    coverage: dict[str, tuple[int, int]] = {}
    for benchmark in chosen:
        known = dict(_fingerprints(benchmark, root))
        found += [(benchmark.name, path) for path in known]
        bits += known.values()
        coverage[benchmark.name] = (len(known), len(benchmark.clean_files()) or benchmark.count)
    stacked = torch.stack(bits) if bits else torch.empty(0, BITS, dtype=torch.bool)
    return KnownPictures(tuple(found), stacked, coverage)


def _fingerprints(benchmark: Benchmark, root: Path | None) -> Iterator[tuple[str, Tensor]]:
    folder = folder_of(benchmark.name, root=root)
    for file in benchmark.clean_files():
        if file.fingerprint:
            yield file.path, from_text(file.fingerprint)
        elif images.supported(file.path) and (folder / file.path).is_file():
            try:
                bits = fingerprint(images.read(folder / file.path).pixels)
            except ImageError:  # a damaged copy; `verify` says so
                continue
            if bits is not None:
                yield file.path, bits


def scan(paths: Sequence[Path], known: KnownPictures, *, jobs: int = 2) -> Iterator[Scanned]:
    """Looks at photographs one after the other, in order; one that cannot be read does not end it.

    Args:
        paths: the photographs.
        known: what to compare them with.
        jobs: photographs to read at a time.
    """

    def overlap(path: Path, index: int, least: Tensor) -> Overlap:
        benchmark, image = known.names[index]
        return Overlap(path, benchmark, image, int(least[index]))

    def look(path: Path) -> Scanned:
        try:
            turned = positions(images.read(path).pixels)
        except ImageError as error:
            return Scanned(path, error=str(error))
        if turned is None or not known.names:
            return Scanned(path)
        least = difference(turned, known.bits).amin(0)
        near = (least <= SAME).nonzero().flatten().tolist()
        return Scanned(path, tuple(overlap(path, index, least) for index in near))

    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(look, paths)


def overlaps(
    folder: Path,
    names: Sequence[str] | None = None,
    *,
    root: Path | None = None,
    report: Callable[[int, Path], None] | None = None,
) -> list[Overlap]:
    """The photographs below `folder` that are pictures of test sets: (file, set, picture, difference).

    Found are copies that were compressed, resized, turned, mirrored, made grey, or lightly cropped or brightened.

    Args:
        folder: with the photographs, at any depth.
        names: the sets; the default is every test set.
        root: the folder of all sets; the default is `data_root()`.
        report: called with the photographs looked at so far and the last of them.

    Raises:
        DataError: the folder is missing or holds no photograph.
        ImageError: a photograph cannot be read; `scan` goes on instead.
        SettingsError: there is no such set.
    """
    found: list[Overlap] = []
    for number, scanned in enumerate(scan(list_photographs(folder), known_pictures(names, root=root)), start=1):
        if scanned.error:
            raise ImageError(scanned.error)
        found += scanned.overlaps
        if report:
            report(number, scanned.file)
    return found
