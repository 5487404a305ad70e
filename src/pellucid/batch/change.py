"""Changing many photographs: read ahead, changed, written behind; a bad one never stops the others."""

import errno
import os
import stat
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid import images
from pellucid.batch.manifest import Content, Manifest
from pellucid.batch.plan import Job
from pellucid.batch.stages import Ahead, Behind, Room
from pellucid.errors import DataError, ImageError, PellucidError, one_line
from pellucid.images.messages import name_of, reason
from pellucid.restoration.decision import Decision
from pellucid.scratch import bands, zeros_beside

__all__ = ["Desk", "FileResult", "before_and_after", "change_files", "foresee"]

AT_ONCE = 3
"""Photographs that are held at once: one is read, one changed, one written."""
AT_ONCE_PIXELS = 2**25
"""No other is begun while those that are held have more pixels: large ones come one after the other."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors after which no other photograph can be written either."""
EXISTS = "the output exists; --overwrite replaces it"


Done = Literal["restored", "degraded", "colorized", "inpainted"]
"""What becomes of a photograph that is done."""


@dataclass(frozen=True)
class FileResult:
    """What became of a job.

    Attributes:
        status: `unchanged` where nothing had to be done to the photograph: the target is then a copy of the source.
            `quarantined` where it has failed in an earlier run and was not tried again; `planned` where nothing was
            done because nothing was to be done yet.
        seconds: of reading, changing and writing it.
        pages: how many the source has; `lost` says where the target has the first alone.
        lost: what the target does not keep of the source, in words.
        reason: why it was skipped or quarantined, in words.
        decision: what was found in it, done, and left alone and why, where a model restored it or left it alone.
    """

    source: Path
    target: Path
    status: Literal[
        "restored", "degraded", "colorized", "inpainted", "unchanged", "skipped", "quarantined", "failed", "planned"
    ]
    megapixels: float = 0.0
    seconds: float = 0.0
    error: str | None = None
    compared: Path | None = None
    pages: int = 1
    lost: tuple[str, ...] = ()
    reason: str | None = None
    decision: Decision | None = None

    @property
    def loss(self) -> str | None:
        """What the target lacks of the source, in one line."""
        if not self.lost:
            return None
        return f"{name_of(self.source)}: {name_of(self.target)} does not keep {'; '.join(self.lost)}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        told = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
        return told | {"decision": None if self.decision is None else self.decision.as_dict()}


@dataclass
class _Work:
    """A job on its way: what is known of it by now."""

    job: Job
    content: Content | None = None
    photograph: images.Photograph | None = None
    changed: images.Photograph | None = None
    decision: Decision | None = None
    result: FileResult | None = None
    """What became of it, where that is known before anything is written."""
    replaces: bool = False
    """Whether the output may be there."""
    seconds: float = 0.0
    weight: int = 0
    """Pixels."""

    def fail(self, error: Exception) -> FileResult:
        """Nothing can be written. A failure of the system says nothing about the bytes, so they are forgotten."""
        self.photograph = self.changed = None
        self.content = self.content if _failure_of_system(error) is None else None
        self.result = FileResult(self.job.source, self.job.target, "failed", error=_words(error, self.job))
        return self.result


def change_files(
    change: Callable[[images.Photograph], tuple[images.Photograph, Decision | None]],
    jobs: Sequence[Job],
    done: Done,
    **how: Any,
) -> Generator[FileResult, None, None]:
    """Does jobs in order; while one is changed, here, the next is read and the last is written.

    An output that exists is skipped unless `overwrite`, so that an interrupted run resumes. With a manifest one counts
    as done only where the manifest says that it was made of the same bytes with the same settings; one that the
    manifest knows of and that is not, is made again, and one that it does not know, or that was changed since, is
    skipped unless `overwrite`. What has failed is not tried again before its bytes or the settings change.

    Where this is stopped, by Ctrl-C too, what was changed by then is still written, whole.

    Args:
        change: makes of a photograph the one to be written, the very same where nothing has to be done to it; and what
            was decided about it, where a model decides.
        jobs: what to read and what to write.
        done: the status of a job that is done.
        how: attributes of `Desk` by name, `overwrite` at least.

    Raises:
        DataError: the manifest cannot be written.
    """
    desk = Desk(done, **how)
    room = Room(AT_ONCE, AT_ONCE_PIXELS)
    with Behind(desk.write, room) as behind, Ahead(jobs, desk.read, room) as ahead:
        try:
            while (work := ahead.take()) is not None:
                if work.photograph is not None:
                    started = time.perf_counter()
                    try:  # inline: no frame more between a photograph and its network
                        work.changed, work.decision = change(work.photograph)
                    except (PellucidError, MemoryError, OSError, RuntimeError) as error:
                        work.fail(error)  # torch reports a lack of memory as a RuntimeError
                    work.seconds += time.perf_counter() - started
                behind.give(work)
                del work  # or the photograph would stay until the next has come
                yield from behind.finished()
        except KeyboardInterrupt:
            room.stop()
            yield from behind.rest()
            raise
        yield from behind.rest()


def foresee(jobs: Sequence[Job], **how: Any) -> Iterator[FileResult]:
    """What `change_files` would do, without doing it: `planned`, or why not."""
    desk = Desk("restored", **how)
    for job in jobs:
        try:
            if not os.path.isfile(job.source):
                raise ImageError(f"{name_of(job.source)}: cannot be read: no such file")
            yield desk.decided(_Work(job)) or FileResult(job.source, job.target, "planned", compared=job.compared)
        except PellucidError as error:
            yield FileResult(job.source, job.target, "failed", error=str(error))


@dataclass
class Desk:
    """Where jobs are decided, read and written, and how.

    Attributes:
        done: the status of a job that is done.
        overwrite: replace outputs that exist.
        quality: of JPEG, WebP and AVIF, 1 to 100; None follows the source.
        strict: a photograph of which something could not be kept fails, and is not written.
        keep_dates: the outputs get the dates of their sources.
        memory: bytes that a photograph may take, with the copies made of it; one that needs more lies on the disk.
        manifest: entered; what is done is added to it.
        retry_failed: try those again that failed in an earlier run.
        crop: left, top, width and height of the part that `change` gives back; it is compared with the same part.
        every_page: all pages and frames of a file are read and changed, not the first alone.
        full: why no other photograph can be written.
    """

    done: Done
    overwrite: bool
    quality: int | None = None
    strict: bool = False
    keep_dates: bool = False
    memory: int | None = None
    manifest: Manifest | None = None
    retry_failed: bool = False
    crop: tuple[int, int, int, int] | None = None
    every_page: bool = False
    full: str = field(default="", init=False)

    def read(self, job: Job) -> _Work:
        """Runs ahead: what is to be done, and the photograph where it is to be changed."""
        work, started = _Work(job), time.perf_counter()
        try:
            work.result = self.decided(work)
            if work.result is None:
                work.photograph = images.read(job.source, memory=self.memory, every_page=self.every_page)
                pages = (work.photograph, *work.photograph.others)
                work.weight = sum(page.pixels.shape[2] * page.pixels.shape[3] for page in pages)
                if work.content is not None and not work.content.still_of(job.source):
                    work.content = None
                    raise ImageError(f"{name_of(job.source)}: was changed while it was read")
        except (PellucidError, MemoryError, OSError, RuntimeError) as error:
            work.fail(error)
        work.seconds = time.perf_counter() - started
        return work

    def decided(self, work: _Work) -> FileResult | None:
        """What becomes of a job that is not done; None where it is to be done. Raises ImageError where it cannot be."""
        job = work.job
        if self.full:
            return _skipped(job, f"not tried: {self.full}")
        _require_writable(job)
        exists = os.path.isfile(job.target)
        work.replaces = exists or self.overwrite
        if self.manifest is None:
            return _skipped(job, EXISTS) if exists and not self.overwrite else None
        past = self.manifest.past(job)
        if past is None and exists and not self.overwrite:
            return _skipped(job, "the output exists, and the manifest does not know it; --overwrite replaces it")
        work.content = Content.of(job.source)
        if past is None:
            return None
        same = self.manifest.same(past, work.content)
        if same and past.error is not None and not self.retry_failed:
            words = f"failed in an earlier run ({past.error}); --retry-failed tries again"
            return FileResult(job.source, job.target, "quarantined", reason=words)
        size = job.target.stat().st_size if exists else None
        made = size is not None and size == past.left and not past.begun
        compared = job.compared is None or os.path.isfile(job.compared)
        if same and past.error is None and made and compared:
            return _skipped(job, "done, as the manifest says")
        if exists and size and not made and not past.begun and not self.overwrite:
            return _skipped(job, "the output was changed since it was written; --overwrite replaces it")
        return None

    def write(self, work: _Work) -> FileResult:
        """Runs behind: writes what was changed, and says in the manifest what became of it."""
        if work.result is None and self.full:
            work.result = _skipped(work.job, f"not tried: {self.full}")
        if work.result is None and not work.replaces and os.path.exists(work.job.target):
            # By another run, or under a name that this disk takes for the same.
            work.result = _skipped(work.job, EXISTS)
        result = work.result or self._written(work)
        if self.manifest and work.content and result.status == "failed":
            self.manifest.fail(work.job, work.content, result.error or "")
        return result

    def _written(self, work: _Work) -> FileResult:
        job, photograph, changed = work.job, work.photograph, work.changed
        assert photograph is not None
        assert changed is not None
        started = time.perf_counter()
        try:
            if self.manifest:
                self.manifest.begin(job)
            lost = _written(changed, photograph, job, quality=self.quality, strict=self.strict, crop=self.crop)
            if self.keep_dates:
                _date(job)
        except (PellucidError, MemoryError, OSError, RuntimeError) as error:
            if isinstance(error, DataError):
                raise
            failure = _failure_of_system(error)
            if failure is not None and failure.errno in FULL:
                self.full = reason(failure)
            return work.fail(error)
        result = FileResult(
            job.source,
            job.target,
            "unchanged" if changed is photograph else self.done,
            work.weight / 1e6,
            work.seconds + time.perf_counter() - started,
            compared=job.compared,
            pages=photograph.pages,
            lost=lost,
            decision=work.decision,
        )
        if self.manifest and work.content:
            self.manifest.end(job, work.content, result.status)
        return result


def _skipped(job: Job, why: str) -> FileResult:
    return FileResult(job.source, job.target, "skipped", reason=why)


def _words(error: Exception, job: Job) -> str:
    """An error in one line that names the photograph."""
    text = str(error) if isinstance(error, PellucidError) else one_line(error)
    named = any(name_of(path.name) in text for path in (job.source, job.target))
    return text if named else f"{name_of(job.source)}: {text}"


def _failure_of_system(error: BaseException | None) -> OSError | None:
    """The system's own error behind another, if there is one."""
    while error is not None and not (isinstance(error, OSError) and error.errno is not None):
        error = error.__cause__  # Pillow's OSError for damaged bytes has no number
    return error


def _date(job: Job) -> None:
    """Gives an output the date of its source."""
    try:
        state = job.source.stat()
        os.utime(job.target, ns=(state.st_atime_ns, state.st_mtime_ns))
    except OSError as error:
        raise ImageError(f"{name_of(job.target)}: cannot be given the date of its source: {reason(error)}") from error


def before_and_after(degraded: Tensor, restored: Tensor, gap: int = 8) -> Tensor:
    """Both images (1, 3, H, W) side by side with a white gap, one above the other where they are wide."""
    if restored.shape != degraded.shape:
        degraded = torch.nn.functional.interpolate(degraded, restored.shape[2:], mode="nearest")
    height, width = restored.shape[2:]
    wide = width > 1.6 * height
    size = (2 * height + gap, width) if wide else (height, 2 * width + gap)
    joined = zeros_beside(restored, 1, 3, *size)
    parts = [joined[..., :height, :width], joined[..., -height:, -width:]]
    for part, image in zip(parts, (degraded, restored), strict=True):
        for rows in bands(part, image):
            part[..., rows, :] = image[..., rows, :].clamp(0, 1)
    space = joined[..., height : height + gap, :] if wide else joined[..., width : width + gap]
    for rows in bands(space):
        space[..., rows, :] = 1
    return joined


def _require_writable(job: Job) -> None:
    if not images.supported(job.target):
        if not os.path.exists(job.source):
            raise ImageError(f"{name_of(job.source)}: cannot be read: No such file or directory")
        known = ", ".join(sorted(images.SUFFIXES))
        raise ImageError(
            f"{name_of(job.source)}: cannot be written as {job.target.suffix}, only as {known}; --format png does"
        )
    try:
        mode = job.target.stat().st_mode
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ImageError(f"{name_of(job.target)}: cannot be written: {reason(error)}") from error
        return  # not there, or told when it is written
    if not stat.S_ISREG(mode):
        raise ImageError(f"{name_of(job.target)}: is a folder or a device; choose another output")


def _written(
    changed: images.Photograph,
    photograph: images.Photograph,
    job: Job,
    *,
    quality: int | None,
    strict: bool,
    crop: tuple[int, int, int, int] | None,
) -> tuple[str, ...]:
    """Writes a result, and its before-and-after picture where one is wanted; what could not be kept, in words."""
    _make_folder(job.target.parent)
    lost = images.write_change(changed, job.target, photograph, job.source, quality=quality, strict=strict)
    if job.compared:
        left, top, width, height = crop or (0, 0, *photograph.pixels.shape[:1:-1])
        before = photograph.pixels[..., top : top + height, left : left + width]
        images.write(images.Photograph(before_and_after(before, changed.pixels)), job.compared)
    return lost


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{name_of(folder)}: the folder cannot be made ({reason(error)})") from error
