"""Restoring many files."""

from collections.abc import Generator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pellucid.batch.change import FileResult, change_files
from pellucid.batch.manifest import Content
from pellucid.batch.plan import Job
from pellucid.diffusion.regions import files_of_regions
from pellucid.errors import ModelError
from pellucid.files import sha256_of
from pellucid.images.messages import reason
from pellucid.models.hub import find_model
from pellucid.models.own_network import file_beside
from pellucid.restoration.options import RestoreOptions
from pellucid.restoration.restorer import ENLARGER, Restorer

__all__ = ["restore_files", "settings_of"]


def restore_files(
    restorer: Restorer, jobs: Sequence[Job], *, overwrite: bool, **options: Any
) -> Generator[FileResult, None, None]:
    """Restores photographs in order, as `change_files` does with these options; one that is left alone is copied."""
    change = restorer.restore_and_explain
    options |= {"memory": restorer.memory_for_pictures, "crop": restorer.options.crop}
    return change_files(change, jobs, "restored", overwrite=overwrite, **options)


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
    files += [] if options.scale is None else [find_model(ENLARGER)]
    files += [] if options.first is None else [find_model(options.first)]
    try:
        hashes = [sha256_of(file) for file in files]
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({reason(error)})") from error
    told = {one.name: getattr(options, one.name) for one in fields(options) if one.name not in ("device", "memory")}
    if options.guided is not None and Path(options.guided).is_file():
        told["guided"] = sha256_of(Path(options.guided))
    if options.mask is not None:
        told["mask"] = Content.of(Path(options.mask)).sha256
    maps = [Path(file) for file in (options.strength_map, options.control_map) if file]
    beside = [*files_of_regions(options.region), *maps]
    if beside:
        told["places"] = [Content.of(path).sha256 for path in beside]
    return {"model": hashes, **told, **writing}
