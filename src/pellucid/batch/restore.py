"""Restoring many files."""

from collections.abc import Iterator, Sequence

from pellucid.batch.change import FileResult, change_files
from pellucid.batch.plan import Job
from pellucid.restoration.restorer import Restorer

__all__ = ["restore_files"]


def restore_files(
    restorer: Restorer, jobs: Sequence[Job], *, overwrite: bool, quality: int | None = None, strict: bool = False
) -> Iterator[FileResult]:
    """Restores photographs in order, as `change_files` does; one that is left alone is copied."""
    return change_files(
        restorer.restore_and_explain, jobs, "restored", overwrite=overwrite, quality=quality, strict=strict
    )
