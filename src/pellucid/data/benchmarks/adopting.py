"""Taking a set from a copy that the user has, however its folders are named."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from pellucid.data.benchmarks.checking import Report, check_layout, hash_files, right_and_wrong
from pellucid.data.benchmarks.fetching import PARTIAL, FailedFile, FetchOutcome, held
from pellucid.data.benchmarks.layouts import best_layout, files_below
from pellucid.data.benchmarks.places import folder_of
from pellucid.data.benchmarks.registry import Benchmark, PublishedFile, find_benchmark
from pellucid.errors import DataError

__all__ = ["adopt"]


def adopt(
    name: str, source: Path, *, root: Path | None = None, link: bool = False, report: Report | None = None
) -> FetchOutcome:
    """Copies the files of a set from anywhere below the folder `source` to their places.

    With published hashes files are known by their content, so neither names nor folders in `source` matter, and a copy
    that is not whole gives what it has. Without, the layout says which files are of the set.

    Args:
        name: the set.
        source: a folder with a copy.
        root: the folder of all sets; the default is `data_root()`.
        link: make hard links instead of copies where the file system can; the copy must then not be changed any more.
        report: called with the bytes read so far and the file they are of.

    Raises:
        SettingsError: there is no such set.
        DataError: `source` is no folder or holds nothing of the set, or the folder of the set cannot be written to.
    """
    benchmark = find_benchmark(name)
    folder = folder_of(benchmark.name, root=root)
    if not source.is_dir():
        raise DataError(f"{source}: " + ("not a folder" if source.exists() else "no such folder"))
    if source.resolve() == folder.resolve():
        raise DataError(f"{source}: is the folder of {benchmark.name} itself; `pellucid data verify {benchmark.name}`")
    take = _by_content if benchmark.fetchable else _by_layout
    with held(folder):
        return take(benchmark, source, folder, link, report)


def _by_content(benchmark: Benchmark, source: Path, folder: Path, link: bool, report: Report | None) -> FetchOutcome:
    right, _, _ = right_and_wrong(benchmark.files, folder)
    done = {file.path for file in right}
    todo = [file for file in benchmark.files if file.path not in done]
    candidates = [source / path for path in files_below(source)]
    sizes = {file.bytes for file in todo}
    found: dict[str, Path] = {}
    for path, sha256 in hash_files([path for path in candidates if _size(path) in sizes], report).items():
        if sha256:
            found.setdefault(sha256, path)
    named = _by_name(candidates)
    failed, added, copied = [], 0, 0
    for file in todo:
        have = found.get(file.sha256)
        if have is None:
            failed.append(FailedFile(file.path, _why_not(file, named)))
        elif _copy(have, folder, file.path, file.sha256, link):
            added, copied = added + 1, copied + file.bytes
        else:
            failed.append(FailedFile(file.path, f"{have} changed while it was copied"))
    if not added and not right:
        wrong = sum(failure.reason != "missing" for failure in failed)
        raise DataError(
            f"{source}: holds no file of {benchmark.name}"
            + (f"; {wrong} have the right names and another content than was published" if wrong else "")
        )
    return FetchOutcome(benchmark, folder, len(right), added, copied, tuple(failed))


def _by_layout(benchmark: Benchmark, source: Path, folder: Path, link: bool, report: Report | None) -> FetchOutcome:
    here = files_below(source)
    _, found = best_layout(here, benchmark.layouts, benchmark.suffixes)
    if not found.pairs:
        ways = " or as ".join(map(str, benchmark.layouts))
        raise DataError(f"{source}: holds no {benchmark.unit} of {benchmark.name}, which lie as {ways}")
    paths = sorted({path for pair in found.pairs for path in pair if path})
    added, copied, present = 0, 0, 0
    for path in paths:
        size = _size(source / path)
        if _size(folder / path) == size:
            present += 1
        else:
            _copy(source / path, folder, path, None, link)
            added, copied = added + 1, copied + size
        if report:
            report(copied, path)
    check = check_layout(benchmark, folder, files_below(folder))
    failed = [FailedFile(path, "without a partner") for path in found.alone]
    failed += [FailedFile(benchmark.name, problem) for problem in check.problems]
    return FetchOutcome(benchmark, folder, present, added, copied, tuple(failed))


def _by_name(candidates: Iterable[Path]) -> dict[str, Path]:
    """Candidates by their name, and by their name with its folder."""
    named: dict[str, Path] = {}
    for path in candidates:
        named.setdefault(path.name, path)
        named.setdefault(f"{path.parent.name}/{path.name}", path)
    return named


def _why_not(file: PublishedFile, named: dict[str, Path]) -> str:
    """Why a file was not found: it is missing, or there is one of its name (here or where it was published)."""
    for known in (file.path, file.address):
        tail = "/".join(known.split("/")[-2:])
        if tail in named and ("/" in tail):
            return f"wrong content: {named[tail]} is not the published file"
    if "/" not in file.path and file.path in named:
        return f"wrong content: {named[file.path]} is not the published file"
    return "missing"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _copy(source: Path, folder: Path, path: str, sha256: str | None, link: bool) -> bool:
    """Puts a copy into its place, whole or not at all; False where it has another content than its hash says."""
    target, part = folder / path, folder / PARTIAL / path.replace("/", "-")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        if not (link and _linked(source, part)):
            with source.open("rb") as reading, part.open("wb") as writing:
                digest = hashlib.sha256()
                while chunk := reading.read(1 << 20):
                    digest.update(chunk)
                    writing.write(chunk)
            if sha256 and digest.hexdigest() != sha256:
                part.unlink()
                return False
        os.replace(part, target)
        part.unlink(missing_ok=True)  # where both are links to one file, replacing does nothing
    except OSError as error:
        raise DataError(f"{source}: cannot be copied to {target} ({error.strerror})") from error
    return True


def _linked(source: Path, part: Path) -> bool:
    try:
        os.link(source.resolve(), part)
    except OSError:
        return False
    return True
