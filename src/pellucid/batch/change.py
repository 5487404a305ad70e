"""Changing many photographs, one after another: read, changed, written; a bad one never stops the others."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid import images
from pellucid.batch.plan import Job
from pellucid.errors import ImageError, PellucidError, one_line
from pellucid.restoration.decision import Decision

__all__ = ["FileResult", "before_and_after", "change_files"]


@dataclass(frozen=True)
class FileResult:
    """What became of a job.

    Attributes:
        status: `unchanged` where nothing had to be done to the photograph: the target is then a copy of the source.
        pages: how many the source has; the target has the first alone, unless it is a copy.
        lost: what the target does not keep of the source, in words.
        decision: what was found in it, done, and left alone and why, where a model restored it or left it alone.
    """

    source: Path
    target: Path
    status: Literal["restored", "degraded", "unchanged", "skipped", "failed"]
    megapixels: float = 0.0
    seconds: float = 0.0
    error: str | None = None
    compared: Path | None = None
    pages: int = 1
    lost: tuple[str, ...] = ()
    decision: Decision | None = None

    @property
    def loss(self) -> str | None:
        """What the target lacks of the source, in one line."""
        return f"{self.source}: {self.target} does not keep {'; '.join(self.lost)}" if self.lost else None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        told = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
        return told | {"decision": None if self.decision is None else self.decision.as_dict()}


def change_files(
    change: Callable[[images.Photograph], tuple[images.Photograph, Decision | None]],
    jobs: Sequence[Job],
    done: Literal["restored", "degraded"],
    *,
    overwrite: bool,
    quality: int | None = None,
    strict: bool = False,
) -> Iterator[FileResult]:
    """Does jobs in order. An output that exists is skipped unless `overwrite`, so that an interrupted run resumes.

    Args:
        change: makes of a photograph the one to be written, the very same where nothing has to be done to it; and what
            was decided about it, where a model decides.
        jobs: what to read and what to write.
        done: the status of a job that is done.
        overwrite: replace outputs that exist.
        quality: of JPEG, WebP and AVIF, 1 to 100; None follows the source.
        strict: a photograph of which something could not be kept fails, and is not written.
    """
    for job in jobs:
        if job.target.is_file() and not overwrite:
            yield FileResult(job.source, job.target, "skipped")
            continue
        started = time.perf_counter()
        try:
            _require_writable(job)
            photograph = images.read(job.source)
            changed, decision = change(photograph)
            lost = _written(changed, photograph, job, quality=quality, strict=strict)
        except PellucidError as error:
            yield FileResult(job.source, job.target, "failed", error=str(error))
            continue
        except (MemoryError, OSError, RuntimeError) as error:  # torch reports a lack of memory as a RuntimeError
            yield FileResult(job.source, job.target, "failed", error=f"{job.source}: {one_line(error)}")
            continue
        yield FileResult(
            job.source,
            job.target,
            "unchanged" if changed is photograph else done,
            photograph.pixels.shape[2] * photograph.pixels.shape[3] / 1e6,
            time.perf_counter() - started,
            compared=job.compared,
            pages=photograph.pages,
            lost=lost,
            decision=decision,
        )


def before_and_after(degraded: Tensor, restored: Tensor, gap: int = 8) -> Tensor:
    """Both images (1, 3, H, W) side by side with a white gap, one above the other where they are wide."""
    if restored.shape != degraded.shape:
        degraded = torch.nn.functional.interpolate(degraded, restored.shape[2:], mode="nearest")
    height, width = restored.shape[2:]
    wide = width > 1.6 * height
    space = torch.ones(1, 3, gap, width) if wide else torch.ones(1, 3, height, gap)
    return torch.cat([degraded.clamp(0, 1), space, restored], dim=2 if wide else 3)


def _require_writable(job: Job) -> None:
    if not images.supported(job.target):
        known = ", ".join(sorted(images.SUFFIXES))
        raise ImageError(f"{job.source}: cannot be written as {job.target.suffix}, only as {known}; --format png does")


def _written(
    changed: images.Photograph, photograph: images.Photograph, job: Job, *, quality: int | None, strict: bool
) -> tuple[str, ...]:
    """Writes a result, and its before-and-after picture where one is wanted; what could not be kept, in words."""
    _make_folder(job.target.parent)
    lost = images.write_change(changed, job.target, photograph, job.source, quality=quality, strict=strict)
    if job.compared:
        images.write(images.Photograph(before_and_after(photograph.pixels, changed.pixels)), job.compared)
    return lost


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{folder}: the folder cannot be made ({error.strerror})") from error
