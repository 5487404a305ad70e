"""Restoring many files: what goes where, one after another, a bad one never stopping the others."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid import images
from pellucid.errors import DataError, ImageError, PellucidError, SettingsError, one_line, unknown_name
from pellucid.restoration.restorer import Restorer

__all__ = [
    "Job",
    "Result",
    "before_and_after",
    "change_files",
    "plan",
    "refuse_collisions",
    "restore_files",
    "same_file",
]

SUFFIX_OF = {"jpeg": ".jpg", "tiff": ".tif"}
"""The suffix of a format, where it is not the format's own name."""


@dataclass(frozen=True)
class Job:
    """A file to read, the file to write, and where a before-and-after picture goes, if anywhere.

    Attributes:
        name: the file's path below the folder that was given, or its own name where it was given itself; with slashes,
            without the suffix.
    """

    source: Path
    target: Path
    compared: Path | None = None
    name: str = ""


@dataclass(frozen=True)
class Result:
    """What became of a job.

    Attributes:
        status: `unchanged` where nothing had to be done to the photograph: the target is then a copy of the source.
        pages: how many the source has; the target has the first alone, unless it is a copy.
        lost: what the target does not keep of the source, in words.
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

    @property
    def loss(self) -> str | None:
        """What the target lacks of the source, in one line."""
        return f"{self.source}: {self.target} does not keep {'; '.join(self.lost)}" if self.lost else None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}


def plan(
    inputs: Sequence[Path], out: Path, *, recursive: bool = False, suffix: str | None = None, compare: bool = False
) -> list[Job]:
    """Which file becomes which: one file into a file or a folder, anything else into a folder with its own tree.

    Args:
        inputs: files and folders.
        out: where to; a file where it has an image's suffix and there is one input file.
        recursive: go into folders of folders.
        suffix: a format's name (`png`) or suffix (`.png`) to write instead of the input's own.
        compare: each output gets a before-and-after picture beside it, `NAME-compared.png`, or `NAME.SUFFIX-compared.png` where
            two outputs differ by their suffix alone.

    Raises:
        SettingsError: a format that is unknown or not the output's own, or a file as the output of several inputs.
        DataError: a folder without photographs, or two files to be written in one place.
        ImageError: something to be written is one of the inputs.
    """
    ending = _suffix(suffix)
    if len(inputs) == 1 and not inputs[0].is_dir() and out.suffix and not _is_folder(out):
        if not images.supported(out):
            known = ", ".join(sorted(images.SUFFIXES))
            raise SettingsError(f"{out}: cannot write files with the suffix {out.suffix!r}; known: {known}")
        if ending and images.SUFFIXES[out.suffix.lower()] != images.SUFFIXES[ending]:
            raise SettingsError(f"{out}: its suffix is not that of the format {suffix!r}")
        targets = [(inputs[0], out, Path(inputs[0].name))]
    else:
        if out.exists() and not out.is_dir():
            raise SettingsError(f"{out}: is a file; several photographs need a folder to go to")
        targets = [(path, _target(out / inside, ending), inside) for path, inside in _targets(inputs, out, recursive)]
    pictures = _compared([path_out for _, path_out, _ in targets]) if compare else [None] * len(targets)
    jobs = [
        Job(path, path_out, compared, inside.with_suffix("").as_posix())
        for (path, path_out, inside), compared in zip(targets, pictures, strict=True)
    ]
    refuse_collisions(jobs)
    return jobs


def restore_files(
    restorer: Restorer, jobs: Sequence[Job], *, overwrite: bool, quality: int | None = None, strict: bool = False
) -> Iterator[Result]:
    """Does the jobs in order. An output that exists is skipped unless `overwrite`, so that an interrupted run resumes."""
    return change_files(
        lambda _, photograph: restorer(photograph),
        jobs,
        "restored",
        overwrite=overwrite,
        quality=quality,
        strict=strict,
    )


def change_files(
    change: Callable[[Job, images.Photograph], images.Photograph],
    jobs: Sequence[Job],
    done: Literal["restored", "degraded"],
    *,
    overwrite: bool,
    quality: int | None = None,
    strict: bool = False,
) -> Iterator[Result]:
    """Does the jobs in order, as `restore_files` does, whatever is done to the photographs.

    Args:
        change: makes of a job's photograph the one to be written; the very same where nothing has to be done to it.
        jobs: what to read and what to write.
        done: the status of a job that is done.
        overwrite: replace outputs that exist.
        quality: of JPEG, WebP and AVIF, 1 to 100; None follows the source.
        strict: a photograph of which something could not be kept fails, and is not written.
    """
    for job in jobs:
        if job.target.is_file() and not overwrite:
            yield Result(job.source, job.target, "skipped")
            continue
        try:
            yield _change_file(change, job, done, quality, strict)
        except PellucidError as error:
            yield Result(job.source, job.target, "failed", error=str(error))
        except (MemoryError, OSError, RuntimeError) as error:  # torch reports a lack of memory as a RuntimeError
            yield Result(job.source, job.target, "failed", error=f"{job.source}: {one_line(error)}")


def _change_file(
    change: Callable[[Job, images.Photograph], images.Photograph],
    job: Job,
    done: Literal["restored", "degraded"],
    quality: int | None,
    strict: bool,
) -> Result:
    if not images.supported(job.target):
        known = ", ".join(sorted(images.SUFFIXES))
        raise ImageError(f"{job.source}: cannot be written as {job.target.suffix}, only as {known}; --format png does")
    started = time.perf_counter()
    photograph = images.read(job.source)
    changed = change(job, photograph)
    _make_folder(job.target.parent)
    lost = images.write_change(changed, job.target, photograph, job.source, quality=quality, strict=strict)
    if job.compared:
        images.write(images.Photograph(before_and_after(photograph.pixels, changed.pixels)), job.compared)
    megapixels = photograph.pixels.shape[2] * photograph.pixels.shape[3] / 1e6
    seconds = time.perf_counter() - started
    status = "unchanged" if changed is photograph else done
    return Result(job.source, job.target, status, megapixels, seconds, None, job.compared, photograph.pages, lost)


def before_and_after(degraded: Tensor, restored: Tensor, gap: int = 8) -> Tensor:
    """Both images (1, 3, H, W) side by side with a white gap, one above the other where they are wide."""
    if restored.shape != degraded.shape:
        degraded = torch.nn.functional.interpolate(degraded, restored.shape[2:], mode="nearest")
    height, width = restored.shape[2:]
    wide = width > 1.6 * height
    space = torch.ones(1, 3, gap, width) if wide else torch.ones(1, 3, height, gap)
    return torch.cat([degraded.clamp(0, 1), space, restored], dim=2 if wide else 3)


def _targets(inputs: Sequence[Path], out: Path, recursive: bool) -> Iterator[tuple[Path, Path]]:
    """Each file, and where it lies below what was given."""
    for source in inputs:
        if not source.is_dir():
            yield source, Path(source.name)
            continue
        inside = out.resolve().is_relative_to(source.resolve())
        found = [
            path
            for path in images.in_folder(source, recursive=recursive).photographs
            if not (inside and path.resolve().is_relative_to(out.resolve()))
        ]
        if not found:
            raise DataError(
                f"{source}: no photographs in this folder" + ("" if recursive else " (--recursive looks deeper)")
            )
        for path in found:
            yield path, path.relative_to(source)


def _target(path: Path, ending: str | None) -> Path:
    """Where `path` goes below the output; what cannot be written in its own format gets a second suffix, `a.heic.png`."""
    other = images.READ_ONLY.get(path.suffix.lower())
    return path.with_suffix(ending) if ending else path.with_name(path.name + other) if other else path


def _compared(targets: Sequence[Path]) -> list[Path]:
    """Where the before-and-after picture of each goes."""
    found = [target.with_name(f"{target.stem}-compared.png") for target in targets]
    count = Counter(found)
    return [
        one if count[one] == 1 else target.with_name(f"{target.name}-compared.png")
        for one, target in zip(found, targets, strict=True)
    ]


def refuse_collisions(jobs: Sequence[Job]) -> None:
    """Nothing may be written over an input, or twice.

    Raises:
        ImageError: something to be written is one of the inputs.
        DataError: two photographs would be written in one place.
    """
    sources = {_real(job.source) for job in jobs}
    seen: dict[Path, Path] = {}
    for job in jobs:
        for target in filter(None, (job.target, job.compared)):
            if _real(target) in sources:
                raise ImageError(f"{target}: is the input itself; choose another output")
            other = seen.setdefault(_real(target), job.source)
            if other != job.source:
                raise DataError(f"{target}: would be written twice, from {other} and from {job.source}")


def same_file(one: Path, other: Path) -> bool:
    """Whether two names are of one file, there or not."""
    return _real(one) == _real(other)


def _real(path: Path) -> Path:
    """The file behind links, so that two names of one file are seen as one."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _suffix(name: str | None) -> str | None:
    if name is None:
        return None
    known = sorted(set(images.SUFFIXES.values()))
    suffix = name.lower() if name.startswith(".") else SUFFIX_OF.get(name.lower(), f".{name.lower()}")
    if suffix not in images.SUFFIXES:
        raise SettingsError(unknown_name("format", name, known))
    return suffix


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{folder}: the folder cannot be made ({error.strerror})") from error
