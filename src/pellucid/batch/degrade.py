"""Degrading many files as training degrades photographs; what was done to each is written down, and can be done
again."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pellucid import images
from pellucid.batch.change import FileResult, change_files
from pellucid.batch.plan import Job, refuse_collisions, same_file
from pellucid.degradations import Clean, parse_drawn, severities
from pellucid.degradations.seeding import Drawn, drawn_for
from pellucid.errors import DataError, SettingsError

__all__ = ["Degraded", "degrade_files", "plan_degraded"]


@dataclass(frozen=True)
class Degraded(FileResult):
    """What became of a photograph that was to be degraded.

    Attributes:
        degradation: what was done, as a text that `parse` reads; None where nothing was, as to a file that was there
            already.
        seed: of the generator of its pixels.
        severities: how strong each kind of degradation is, 0 to 100.
    """

    degradation: str | None = None
    seed: int | None = None
    severities: dict[str, float] = field(default_factory=dict)


def plan_degraded(jobs: Sequence[Job], texts: Sequence[str], seed: int = 0) -> list[tuple[Job, Drawn]]:
    """What is done to which photograph, and where it goes.

    Of several texts each photograph gets one file each, `NAME_1.png`, `NAME_2.png`, in the order of the texts: names
    that `data.folders.list_pairs` gives the clean `NAME.png` for a partner. What a photograph gets depends on the seed
    and its name alone (see `degradations.seeding`).

    Args:
        jobs: of `batch.plan`.
        texts: degradations or families of them, as `parse_drawn` reads them.
        seed: of all photographs.

    Raises:
        SettingsError: there is no text, one does not parse, or one is given twice.
        ImageError: something to be written is one of the inputs.
        DataError: two photographs would be written in one place.
    """
    if not texts:
        raise SettingsError("nothing to degrade with; write for example: noise sigma=25")
    families = [parse_drawn(text) for text in texts]
    if twice := next((text for text, one in zip(texts, families, strict=True) if families.count(one) > 1), None):
        raise SettingsError(f"degradation {twice!r} is given twice, for the same pictures; another seed draws others")
    planned = [
        (
            Job(job.source, job.target if len(families) == 1 else _numbered(job.target, number), name=job.name),
            drawn_for(family, seed, job.name),
        )
        for job in jobs
        for number, family in enumerate(families, start=1)
    ]
    refuse_collisions([job for job, _ in planned])
    return planned


def degrade_files(
    planned: Sequence[tuple[Job, Drawn]], *, overwrite: bool, record: Path | None = None
) -> Iterator[Degraded]:
    """Degrades photographs in order. An output that exists is skipped unless `overwrite`, so that an interrupted run
    resumes.

    Values are clipped to [0, 1] and rounded to the depth of the file; alpha and metadata stay. A grey photograph is
    degraded as one channel, and stays grey.

    Args:
        planned: of `plan_degraded`.
        overwrite: replace outputs that exist.
        record: a file to which a line of JSON is added for every photograph, just before it is written: its source,
            target, name, whether it is grey, degradation, seed and severities. Of several lines for one target the last
            holds.

    Raises:
        DataError: the record cannot be written, or is one of the photographs.
    """
    if record is not None:
        if any(same_file(record, path) for job, _ in planned for path in (job.source, job.target)):
            raise DataError(f"{record}: is one of the photographs; choose another record")
        _begin(record)
    for job, drawn in planned:
        degrade = partial(_degraded, job, drawn, record)
        for result in change_files(degrade, [job], "degraded", overwrite=overwrite):
            told = _told(drawn) if result.status in ("degraded", "unchanged") else {}
            yield Degraded(**vars(result), **told)


def _degraded(
    job: Job, drawn: Drawn, record: Path | None, photograph: images.Photograph
) -> tuple[images.Photograph, None]:
    """The photograph of a job, degraded, of which no model decides; what is done is written down before it is."""
    degraded = photograph
    if not isinstance(drawn.degradation, Clean):
        degraded = photograph.with_pixels(drawn(photograph.pixels, grey=photograph.grey).clamp(0, 1))
    if record is not None:
        told = {
            "source": str(job.source),
            "target": str(job.target),
            "name": job.name,
            "grey": photograph.grey,
            **_told(drawn),
        }
        _append(record, json.dumps(told) + "\n")
    return degraded, None


def _told(drawn: Drawn) -> dict[str, Any]:
    return {"degradation": drawn.text, "seed": drawn.seed, "severities": severities(drawn.degradation)}


def _numbered(target: Path, number: int) -> Path:
    return target.with_name(f"{target.stem}_{number}{target.suffix}")


def _begin(record: Path) -> None:
    """Makes the record where it is not there, and ends a line in whose middle an earlier run was stopped."""
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        broken = record.is_file() and record.stat().st_size > 0 and not record.read_bytes().endswith(b"\n")
    except OSError as error:
        raise _unwritable(record, error) from error
    _append(record, "\n" if broken else "")


def _append(record: Path, line: str) -> None:
    try:
        with record.open("a", encoding="ascii") as file:
            file.write(line)
    except OSError as error:
        raise _unwritable(record, error) from error


def _unwritable(record: Path, error: OSError) -> DataError:
    return DataError(f"{record}: the record cannot be written ({error.strerror or error})")
