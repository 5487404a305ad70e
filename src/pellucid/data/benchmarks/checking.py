"""Is a set there, whole, and what was published?"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.data.benchmarks.layouts import best_layout, files_below
from pellucid.data.benchmarks.places import folder_of
from pellucid.data.benchmarks.registry import Benchmark, PublishedFile, find_benchmark
from pellucid.files import sha256_of

__all__ = ["Check", "Report", "hash_files", "readable_sha256", "right_and_wrong", "verify"]

Report = Callable[[int, str], None]
"""Called with the bytes done so far and the name of a file."""


@dataclass(frozen=True)
class Check:
    """What `verify` found.

    Attributes:
        benchmark: the set.
        folder: where it lies, or would.
        there: whether there is anything of it.
        found: right files; pairs or pictures for a set without published hashes.
        expected: how many there should be.
        missing: files that are not there.
        wrong: files with another content than was published, or that cannot be read.
        extra: files that are not of the set.
        problems: what else is wrong, in words.
    """

    benchmark: Benchmark
    folder: Path
    there: bool
    found: int
    expected: int
    missing: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Whether the set is there and nothing is wrong with it."""
        return self.there and not (self.missing or self.wrong or self.extra or self.problems)

    @property
    def hashed(self) -> bool:
        """Whether contents were compared; without published hashes only names and counts can be."""
        return self.benchmark.fetchable

    def summary(self) -> str:
        """One line for people."""
        name = self.benchmark.name
        if not self.there:
            return f"{name}: not here"
        unit = "files" if self.hashed else self.benchmark.unit
        parts = [f"{self.found} of {self.expected} {unit} " + ("right" if self.hashed else "there")]
        parts += [
            f"{len(paths)} {what}"
            for what, paths in (("missing", self.missing), ("wrong", self.wrong), ("extra", self.extra))
            if paths
        ]
        parts += self.problems
        if self.right and not self.hashed:
            parts.append("names and counts only, as no hashes are published")
        return f"{name}: {', '.join(parts)}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.benchmark.name,
            "folder": str(self.folder),
            "there": self.there,
            "right": self.right,
            "hashed": self.hashed,
            "found": self.found,
            "expected": self.expected,
            "missing": list(self.missing),
            "wrong": list(self.wrong),
            "extra": list(self.extra),
            "problems": list(self.problems),
        }


def readable_sha256(path: Path) -> str | None:
    """The sha256 of a file in hexadecimal; None where it cannot be read."""
    try:
        return sha256_of(path)
    except OSError:
        return None


def hash_files(paths: Sequence[Path], report: Report | None = None) -> dict[Path, str | None]:
    """The sha256 of every file, read by several threads."""
    hashes: dict[Path, str | None] = {}
    done = 0
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for path, found in zip(paths, pool.map(readable_sha256, paths), strict=True):
            hashes[path] = found
            if report:
                done += path.stat().st_size if found else 0
                report(done, path.name)
    return hashes


def right_and_wrong(
    files: Iterable[PublishedFile], folder: Path, report: Report | None = None
) -> tuple[list[PublishedFile], list[PublishedFile], list[PublishedFile]]:
    """Files of a set that are right, wrong and missing in `folder`."""
    right: list[PublishedFile] = []
    wrong: list[PublishedFile] = []
    missing: list[PublishedFile] = []
    same_size: list[PublishedFile] = []
    for file in files:
        path = folder / file.path
        if not path.exists():
            missing.append(file)
        elif not path.is_file() or path.stat().st_size != file.bytes:
            wrong.append(file)
        else:
            same_size.append(file)
    hashes = hash_files([folder / file.path for file in same_size], report)
    for file in same_size:
        (right if hashes[folder / file.path] == file.sha256 else wrong).append(file)
    return right, wrong, missing


def verify(name: str, *, root: Path | None = None, report: Report | None = None) -> Check:
    """Compares a set with what was published.

    With published hashes every file is read and every file of the folder accounted for. Without, the pairs of the
    layout that fits best are counted, and files without a partner are named.

    Raises:
        SettingsError: there is no such set.
    """
    benchmark = find_benchmark(name)
    folder = folder_of(benchmark.name, root=root)
    here = files_below(folder) if folder.is_dir() else []
    if not benchmark.fetchable:
        return check_layout(benchmark, folder, here)
    files = benchmark.files
    right, wrong, missing = right_and_wrong(files, folder, report)
    # A part lies among the files of the whole, so what is not of the part is not extra.
    extra = () if benchmark.part_of else tuple(sorted(set(here) - {file.path for file in files}))
    return Check(
        benchmark,
        folder,
        there=bool(right or wrong or extra),
        found=len(right),
        expected=len(files),
        missing=tuple(file.path for file in missing),
        wrong=tuple(file.path for file in wrong),
        extra=extra,
    )


def check_layout(benchmark: Benchmark, folder: Path, here: Sequence[str]) -> Check:
    """Compares the files `here` in `folder` with the layouts and the count of a set without published hashes."""
    _, found = best_layout(here, benchmark.layouts, benchmark.suffixes)
    count = len(found.pairs)
    problems = []
    if here and not (count or found.alone):
        problems.append(f"none of its {len(here)} files lies as {' or as '.join(map(str, benchmark.layouts))}")
    elif here and count != benchmark.count:
        problems.append(f"the published set has {benchmark.count}")
    problems += [f"{path} without a partner" for path in found.alone]
    problems += [f"{path} is a second clean picture for the same ones" for path in found.doubled]
    return Check(benchmark, folder, bool(here), count, benchmark.count, problems=tuple(problems))
