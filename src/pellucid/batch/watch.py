"""Watching a folder: photographs that come into it are taken as soon as they are complete."""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pellucid import images
from pellucid.batch.change import FileResult
from pellucid.batch.plan import Job, Layout, real
from pellucid.errors import DataError
from pellucid.images.messages import name_of

__all__ = ["POLL", "SETTLE", "Watch", "watch_files"]

SETTLE = 2.0
"""Seconds for which a file must keep its size and date before it is taken."""
POLL = 0.5
"""Seconds between two looks at the folder, which need no more than its listing; more where that takes long."""


@dataclass
class Watch:
    """Finds what is to be done in a folder, look by look.

    A file is taken when its size and date have stayed the same for a while; where it cannot be decoded then, which the
    one who restores it finds out, it is taken again when it has changed. Outputs are never taken.

    Args:
        folder: what is watched.
        layout: where photographs go.
        recursive: also what is in the folders of it.
        compare: with before-and-after pictures.
        settle: seconds for which a file must stay the same.
        made: whether a file, there or not any more, is an output of an earlier run.
        clock: seconds.

    Raises:
        DataError: there is no such folder.
    """

    folder: Path
    layout: Layout
    recursive: bool = False
    compare: bool = False
    settle: float = SETTLE
    made: Callable[[Path], bool] = lambda path: False
    clock: Callable[[], float] = time.monotonic
    _places: dict[Path, Path] = field(default_factory=dict)
    """The real path of each file."""
    _seen: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict)
    """Size and date of a file, and since when it has them."""
    _taken: dict[Path, tuple[int, int]] = field(default_factory=dict)
    _outputs: dict[Path, tuple[Path, ...]] = field(default_factory=dict)
    """What is made of each file, as real paths."""
    _owners: dict[Path, Path] = field(default_factory=dict)
    """From which file that was taken each output comes; the outputs as real paths."""

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise DataError(f"{name_of(self.folder)}: no such folder to watch")

    def look(self) -> tuple[list[Job], list[FileResult]]:
        """What is complete by now and was not taken before: jobs, and those that cannot be done."""
        out, here = real(self.layout.out), real(self.folder)
        listed = images.in_folder(self.folder, recursive=self.recursive).photographs
        self._places |= {path: real(path) for path in listed if path not in self._places}
        found = {path: self._places[path] for path in listed}
        if out != here and out.is_relative_to(here):
            found = {path: place for path, place in found.items() if not place.is_relative_to(out)}
        self._forget(set(listed))
        jobs, refused = [], []
        outputs = {one for path, place in found.items() for one in self._outputs_of(path) if one != place}
        for path, place in found.items():
            if not self._is_due(path):
                continue
            self._taken[path] = self._seen[path][0]
            if place in outputs or place in self._owners or self.made(path):
                continue
            job = self._job(path)
            problem = self._problem(job, place)
            if problem:
                refused.append(FileResult(path, job.target, "failed", error=problem))
                continue
            self._owners |= dict.fromkeys(self._outputs[path], path)
            jobs.append(job)
        return jobs, refused

    def _outputs_of(self, path: Path) -> tuple[Path, ...]:
        if path not in self._outputs:
            job = self._job(path)
            self._outputs[path] = tuple(real(one) for one in (job.target, job.compared) if one)
        return self._outputs[path]

    def _job(self, path: Path) -> Job:
        inside = path.relative_to(self.folder)
        target = self.layout(path, inside)
        compared = target.with_name(f"{target.stem}-compared.png") if self.compare else None
        return Job(path, target, compared, inside.with_suffix("").as_posix())

    def _problem(self, job: Job, place: Path) -> str | None:
        for output in self._outputs[job.source]:
            if output == place:
                return f"{name_of(output)}: is the input itself; choose another output"
            owner = self._owners.get(output, job.source)
            if owner != job.source:
                return f"{name_of(output)}: would be written twice, from {name_of(owner)} and {name_of(job.source)}"
        return None

    def _is_due(self, path: Path) -> bool:
        try:
            state = path.stat()
        except OSError:  # gone between the listing and now
            return False
        now, current = self.clock(), (state.st_size, state.st_mtime_ns)
        known, since = self._seen.get(path, (None, now))
        if known != current:
            self._seen[path] = (current, now)
            since = now
        return self._taken.get(path) != current and now - since >= self.settle

    def _forget(self, found: set[Path]) -> None:
        """What has left the folder: should it come back, it is new."""
        for path in self._places.keys() - found:
            for known in (self._places, self._seen, self._taken, self._outputs):
                known.pop(path, None)


def watch_files(
    watch: Watch,
    restore: Callable[[Sequence[Job]], Generator[FileResult, None, None]],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[FileResult, None, None]:
    """Restores what comes into a folder, for ever; Ctrl-C ends it, and what was changed by then is written."""
    while True:
        started = time.monotonic()
        jobs, refused = watch.look()
        spent = time.monotonic() - started
        yield from refused
        if jobs:
            yield from restore(jobs)
        else:
            sleep(max(POLL, 4 * spent))  # a large folder is not listed all the time
