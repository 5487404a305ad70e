"""Restoring many files."""

from collections.abc import Generator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pellucid.batch.change import FileResult, change_files
from pellucid.batch.manifest import Content, Manifest
from pellucid.batch.plan import Job
from pellucid.errors import ModelError
from pellucid.files import sha256_of
from pellucid.images.messages import reason
from pellucid.models.hub import find_model
from pellucid.models.own_network import file_beside
from pellucid.restoration.options import RestoreOptions
from pellucid.restoration.restorer import Restorer

__all__ = ["restore_files", "settings_of"]


def restore_files(
    restorer: Restorer,
    jobs: Sequence[Job],
    *,
    overwrite: bool,
    quality: int | None = None,
    strict: bool = False,
    keep_dates: bool = False,
    manifest: Manifest | None = None,
    retry_failed: bool = False,
    every_page: bool = False,
) -> Generator[FileResult, None, None]:
    """Restores photographs in order, as `change_files` does; one that is left alone is copied."""
    return change_files(
        restorer.restore_and_explain,
        jobs,
        "restored",
        overwrite=overwrite,
        quality=quality,
        strict=strict,
        keep_dates=keep_dates,
        manifest=manifest,
        retry_failed=retry_failed,
        crop=restorer.options.crop,
        every_page=every_page,
    )


def settings_of(model: str, options: RestoreOptions, **writing: Any) -> dict[str, Any]:
    """All that decides what a photograph becomes, JSON-able: what a manifest is kept for.

    The device and the memory are no part of it: a run that was short of them goes on with others.

    Args:
        model: the name of a model; the SHA-256 of its files is told.
        options: of the restoration.
        writing: how outputs are written.

    Raises:
        ModelError: there is no such model, or it cannot be read.
    """
    path = find_model(model)
    files = [path, *(one for one in [file_beside(path)] if one.is_file() and one != path)]
    try:
        hashes = [sha256_of(file) for file in files]
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({reason(error)})") from error
    told = {one.name: getattr(options, one.name) for one in fields(options) if one.name not in ("device", "memory")}
    if options.mask is not None:
        told["mask"] = Content.of(Path(options.mask)).sha256
    return {"model": hashes, **told, **writing}
