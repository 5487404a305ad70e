"""Downloading a set: what is there and right stays, the rest comes in parallel, every file checked before it counts."""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import Any
from urllib.parse import urlsplit

from pellucid.data.benchmarks.checking import Report, right_and_wrong
from pellucid.data.benchmarks.download import DownloadError, Patience, UnreachableError, Wanted, download
from pellucid.data.benchmarks.places import folder_of, how_to_get
from pellucid.data.benchmarks.registry import Benchmark, PublishedFile, find_benchmark
from pellucid.errors import DataError, SettingsError

__all__ = ["HOST", "PARTIAL", "FailedFile", "FetchOutcome", "fetch", "held", "spread"]

HOST = "https://raw.githubusercontent.com"
"""Below it a file of a public repository is at owner/repository/commit/path."""

PARTIAL = ".partial"
"""The hidden folder, in that of the set, of files that are not whole yet."""


@dataclass(frozen=True)
class FailedFile:
    """A file that is not there now, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class FetchOutcome:
    """What `fetch` or `adopt` did.

    Attributes:
        benchmark: the set.
        folder: where it lies.
        present: files that were there and right.
        added: files that are new.
        bytes: of what was downloaded or copied, each content once.
        failed: files that are still missing or wrong.
        unreachable: why the server was given up, if it was; it is the reason of files of `failed`, too.
    """

    benchmark: Benchmark
    folder: Path
    present: int
    added: int
    bytes: int
    failed: tuple[FailedFile, ...] = ()
    unreachable: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.benchmark.name,
            "folder": str(self.folder),
            "present": self.present,
            "added": self.added,
            "bytes": self.bytes,
            "failed": [{"file": failure.path, "reason": failure.reason} for failure in self.failed],
            "licence": self.benchmark.licence,
            "overlaps": list(self.benchmark.overlaps),
        }


@dataclass
class _Run:
    """What the threads of one download share."""

    folder: Path
    patience: Patience
    report: Report | None
    stopped: Event = field(default_factory=Event)
    unreachable: str | None = None
    bytes: int = 0
    _lock: Lock = field(default_factory=Lock)

    def received(self, name: str) -> Callable[[int], None]:
        def add(count: int) -> None:
            with self._lock:
                self.bytes += count
                if self.report:
                    self.report(self.bytes, name)

        return add


def fetch(
    name: str,
    *,
    root: Path | None = None,
    mirror: str = HOST,
    jobs: int = 8,
    patience: Patience | None = None,
    report: Report | None = None,
) -> FetchOutcome:
    """Downloads a set, or what of it is missing or wrong.

    Args:
        name: the set.
        root: the folder of all sets; the default is `data_root()`.
        mirror: the address below which files are at owner/repository/commit/path.
        jobs: downloads at a time.
        patience: how long to try each file.
        report: called with the bytes at hand and the file they are of, from several threads.

    Raises:
        SettingsError: there is no such set, or the mirror is not an HTTP address.
        DataError: the set has no address, the folder cannot be written to or is in use, or the disk is too small.
    """
    benchmark = find_benchmark(name)
    folder = folder_of(benchmark.name, root=root)
    if not benchmark.fetchable:
        raise DataError(f"{benchmark.name}: {how_to_get(benchmark, folder)}")
    if urlsplit(mirror).scheme not in ("http", "https") or not urlsplit(mirror).netloc:
        raise SettingsError(f"{mirror}: a mirror is an address such as https://mirror.example/raw")
    with held(folder):
        right, _, _ = right_and_wrong(benchmark.files, folder)
        groups = _groups(benchmark.files, {file.path for file in right})
        _check_space(folder, [group[0] for group in groups])
        run = _Run(folder, patience or Patience(), report)
        failed = _in_parallel(run, groups, mirror.rstrip("/"), max(1, jobs))
    lost = {failure.path for failure in failed}
    added = [group for group in groups if group[0].path not in lost]
    size = sum(group[0].bytes for group in added)
    return FetchOutcome(benchmark, folder, len(right), sum(map(len, added)), size, failed, run.unreachable)


def _groups(files: Sequence[PublishedFile], right: set[str]) -> list[list[PublishedFile]]:
    """The files to download, those of one content together."""
    groups: dict[str, list[PublishedFile]] = {}
    for file in files:
        if file.path not in right:
            groups.setdefault(file.sha256, []).append(file)
    return list(groups.values())


def _in_parallel(run: _Run, groups: list[list[PublishedFile]], mirror: str, jobs: int) -> tuple[FailedFile, ...]:
    reasons: dict[str, str] = {}
    pool = ThreadPoolExecutor(jobs)
    waiting: dict[Future[None], list[PublishedFile]] = {
        pool.submit(_one, run, group, f"{mirror}/{group[0].address}"): group for group in groups
    }
    try:
        for future in as_completed(waiting):
            try:
                future.result()
            except UnreachableError as error:  # the rest would wait for the same silence
                run.unreachable = run.unreachable or str(error)
                run.stopped.set()
                reasons |= {file.path: run.unreachable for file in waiting[future]}
            except DownloadError as error:
                reasons |= {file.path: run.unreachable or str(error) for file in waiting[future]}
    finally:  # also where the user interrupts or the disk is full
        run.stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)
    return tuple(
        FailedFile(file.path, reasons[file.path]) for group in groups for file in group if file.path in reasons
    )


def _one(run: _Run, group: list[PublishedFile], address: str) -> None:
    """Downloads one content and puts it into every place that it has in the set."""
    if run.stopped.is_set():
        raise DownloadError("stopped")
    first = group[0]
    part = run.folder / PARTIAL / first.sha256
    wanted = Wanted(address, first.bytes, first.sha256)
    download(wanted, part, patience=run.patience, stopped=run.stopped, received=run.received(first.path))
    spread(part, [run.folder / file.path for file in group])


def spread(part: Path, targets: Sequence[Path]) -> None:
    """Moves the whole and right file `part` to the first target, and gives the others the same content.

    Each appears at once, under its name, or not at all.

    Raises:
        DataError: a target cannot be written.
    """
    for index, target in enumerate(reversed(targets)):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if index == len(targets) - 1:
                os.replace(part, target)
                continue
            twin = part.with_name(f"{part.name}-{index}")
            twin.unlink(missing_ok=True)
            try:
                os.link(part, twin)
            except OSError:  # a file system without links
                shutil.copyfile(part, twin)
            os.replace(twin, target)
            twin.unlink(missing_ok=True)  # where both are links to one file, replacing does nothing
        except OSError as error:
            raise DataError(f"{target}: cannot be written ({error.strerror})") from error


def _check_space(folder: Path, files: Sequence[PublishedFile]) -> None:
    needed = sum(file.bytes for file in files)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{folder}: {needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free; "
            "the environment variable PELLUCID_DATA chooses another folder"
        )


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Makes the folder of a set, with one for unfinished files, and keeps other processes of ours out of it.

    Raises:
        DataError: it cannot be written to, or another process is at it.
    """
    try:
        (folder / PARTIAL).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written to ({error.strerror}); the environment variable PELLUCID_DATA "
            "chooses another folder"
        ) from error
    try:
        with _locked(folder):
            yield
    finally:
        for empty in (folder / PARTIAL, folder):  # they stay where there is something in them, to be resumed or used
            with contextlib.suppress(OSError):
                empty.rmdir()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{folder}: another pellucid is fetching this set; wait for it") from error
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)
