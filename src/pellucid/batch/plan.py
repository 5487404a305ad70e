"""Which file becomes which, before anything is read: nothing is written over an input, and nothing twice."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid import images
from pellucid.errors import DataError, ImageError, SettingsError, unknown_name

__all__ = ["Job", "plan", "refuse_collisions", "same_file"]

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
