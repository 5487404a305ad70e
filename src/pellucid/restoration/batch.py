"""Restoring many files: what goes where, one after another, a bad one never stopping the others."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid import images
from pellucid.errors import DataError, ImageError, PellucidError, SettingsError, unknown_name
from pellucid.restoration.restorer import Restorer

__all__ = ["Job", "Result", "before_and_after", "plan", "restore_files"]

SUFFIX_OF = {"jpeg": ".jpg", "tiff": ".tif"}
"""The suffix of a format, where it is not the format's own name."""


@dataclass(frozen=True)
class Job:
    """A file to read and the file to write."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Result:
    """What became of a job."""

    source: Path
    target: Path
    status: Literal["restored", "skipped", "failed"]
    megapixels: float = 0.0
    seconds: float = 0.0
    error: str | None = None
    compared: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}


def plan(inputs: Sequence[Path], out: Path, *, recursive: bool = False, suffix: str | None = None) -> list[Job]:
    """Which file becomes which: one file into a file or a folder, anything else into a folder with its own tree.

    Args:
        inputs: files and folders.
        out: where to; a file where it has an image's suffix and there is one input file.
        recursive: go into folders of folders.
        suffix: a format's name (`png`) or suffix (`.png`) to write instead of the input's own.

    Raises:
        SettingsError: an unknown format, or a file as the output of several inputs.
        DataError: a folder without photographs, or two inputs for one output.
        ImageError: an output would be its own input.
    """
    ending = _suffix(suffix)
    if len(inputs) == 1 and not inputs[0].is_dir() and images.supported(out) and not out.is_dir():
        jobs = [Job(inputs[0], out.with_suffix(ending) if ending else out)]
    else:
        if out.exists() and not out.is_dir():
            raise SettingsError(f"{out}: is a file; several photographs need a folder to go to")
        jobs = [
            Job(path, target.with_suffix(ending) if ending else target)
            for path, target in _targets(inputs, out, recursive)
        ]
    seen: dict[Path, Path] = {}
    for job in jobs:
        if job.target.exists() and job.source.exists() and job.target.samefile(job.source):
            raise ImageError(f"{job.target}: is the input itself; choose another output")
        if job.target in seen:
            raise DataError(f"{job.target}: would be written twice, from {seen[job.target]} and from {job.source}")
        seen[job.target] = job.source
    return jobs


def restore_files(restorer: Restorer, jobs: Sequence[Job], *, overwrite: bool, compare: bool) -> Iterator[Result]:
    """Does the jobs in order. An output that exists is skipped unless `overwrite`, so that an interrupted run resumes."""
    for job in jobs:
        if job.target.exists() and not overwrite:
            yield Result(job.source, job.target, "skipped")
            continue
        started = time.perf_counter()
        try:
            photograph = images.read(job.source)
            restored = restorer(photograph)
            _make_folder(job.target.parent)
            images.write(restored, job.target)
            compared = None
            if compare:
                compared = job.target.with_name(f"{job.target.stem}-compared.png")
                images.write(images.Photograph(before_and_after(photograph.pixels, restored.pixels)), compared)
        except PellucidError as error:
            yield Result(job.source, job.target, "failed", error=str(error))
        else:
            megapixels = photograph.pixels.shape[2] * photograph.pixels.shape[3] / 1e6
            yield Result(
                job.source, job.target, "restored", megapixels, time.perf_counter() - started, compared=compared
            )


def before_and_after(degraded: Tensor, restored: Tensor, gap: int = 8) -> Tensor:
    """Both images (1, 3, H, W) side by side with a white gap, one above the other where they are wide."""
    if restored.shape != degraded.shape:
        degraded = torch.nn.functional.interpolate(degraded, restored.shape[2:], mode="nearest")
    height, width = restored.shape[2:]
    wide = width > 1.6 * height
    space = torch.ones(1, 3, gap, width) if wide else torch.ones(1, 3, height, gap)
    return torch.cat([degraded.clamp(0, 1), space, restored], dim=2 if wide else 3)


def _targets(inputs: Sequence[Path], out: Path, recursive: bool) -> Iterator[tuple[Path, Path]]:
    for source in inputs:
        if not source.is_dir():
            yield source, out / source.name
            continue
        inside = out.resolve().is_relative_to(source.resolve())
        found = [
            path
            for path in sorted(source.glob("**/*" if recursive else "*"))
            if images.supported(path)
            and path.is_file()
            and not (inside and path.resolve().is_relative_to(out.resolve()))
        ]
        if not found:
            raise DataError(
                f"{source}: no photographs in this folder" + ("" if recursive else " (--recursive looks deeper)")
            )
        for path in found:
            yield path, out / path.relative_to(source)


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
