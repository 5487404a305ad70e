"""Which file becomes which, before anything is read: nothing is written over an input, and nothing twice."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid import images
from pellucid.batch.names import check_template, named
from pellucid.errors import DataError, ImageError, SettingsError, unknown_name
from pellucid.images.messages import name_of

__all__ = ["Job", "Layout", "plan", "real", "refuse_collisions", "same_file"]

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
class Layout:
    """Where photographs go below a folder.

    Attributes:
        out: the folder.
        suffix: a format's name (`png`) or suffix (`.png`) to write instead of the input's own.
        template: of the names, as `batch.names` has it; None keeps them.

    Raises:
        SettingsError: a format that is unknown, a template that cannot name files, or one that is not of the format.
    """

    out: Path
    suffix: str | None = None
    template: str | None = None

    def __post_init__(self) -> None:
        ending = _suffix(self.suffix)
        if self.template is None:
            return
        check_template(self.template)
        own = Path(self.template).suffix.lower()
        if ending and own in images.SUFFIXES and images.SUFFIXES[own] != images.SUFFIXES[ending]:
            raise SettingsError(f"--name {self.template!r}: its suffix is not that of the format {self.suffix!r}")

    def __call__(self, source: Path, inside: Path, number: int = 1) -> Path:
        """Where a photograph goes that lies at `inside` below what was given, and is the one of that number."""
        target = _target(self.out / inside, _suffix(self.suffix))
        return target if self.template is None else named(self.template, source, target, number)


def plan(
    inputs: Sequence[Path],
    out: Path,
    *,
    recursive: bool = False,
    suffix: str | None = None,
    compare: bool = False,
    template: str | None = None,
) -> list[Job]:
    """Which file becomes which: one file into a file or a folder, anything else into a folder with its own tree.

    Args:
        inputs: files and folders.
        out: where to; a file where it has an image's suffix and there is one input file.
        recursive: go into folders of folders.
        suffix: a format's name (`png`) or suffix (`.png`) to write instead of the input's own.
        compare: each output gets a before-and-after picture beside it, `NAME-compared.png`, or
            `NAME.SUFFIX-compared.png` where two outputs differ by their suffix alone.
        template: of the outputs' names, such as `{stem}-restored{suffix}`.

    Raises:
        SettingsError: a format that is unknown or not the output's own, a file as the output of several inputs, or a
            template that cannot name files.
        DataError: a folder without photographs, or two files to be written in one place.
        ImageError: something to be written is one of the inputs.
    """
    ending, layout = _suffix(suffix), Layout(out, suffix, template)
    if len(inputs) == 1 and not os.path.isdir(inputs[0]) and out.suffix and not os.path.isdir(out):
        if template is not None:
            raise SettingsError(f"{name_of(out)}: is a file; --name names files in a folder")
        if not images.supported(out):
            known = ", ".join(sorted(images.SUFFIXES))
            raise SettingsError(f"{name_of(out)}: cannot write files with the suffix {out.suffix!r}; known: {known}")
        if ending and images.SUFFIXES[out.suffix.lower()] != images.SUFFIXES[ending]:
            raise SettingsError(f"{name_of(out)}: its suffix is not that of the format {suffix!r}")
        targets = [(inputs[0], out, Path(inputs[0].name))]
    else:
        if os.path.exists(out) and not os.path.isdir(out):
            several = len(inputs) > 1 or os.path.isdir(inputs[0])
            why = (
                "several photographs need a folder to go to" if several else "a photograph needs the suffix of a format"
            )
            raise SettingsError(f"{name_of(out)}: is a file; {why}")
        targets = _distinct(
            (path, layout(path, inside, number), inside)
            for number, (path, inside) in enumerate(_targets(inputs, layout, recursive), start=1)
        )
    pictures = _compared([path_out for _, path_out, _ in targets]) if compare else [None] * len(targets)
    jobs = [
        Job(path, path_out, compared, inside.with_suffix("").as_posix())
        for (path, path_out, inside), compared in zip(targets, pictures, strict=True)
    ]
    refuse_collisions(jobs)
    return jobs


def _targets(inputs: Sequence[Path], layout: Layout, recursive: bool) -> Iterator[tuple[Path, Path]]:
    """Each file, and where it lies below what was given."""
    out = real(layout.out)
    for source in inputs:
        if not os.path.isdir(source):  # which a name too long for this disk is not, either
            yield source, Path(source.name)
            continue
        found = list(images.in_folder(source, recursive=recursive).photographs)
        if out == real(source):  # then outputs lie among the photographs
            places = [real(path) for path in found]
            targets = [real(layout(path, path.relative_to(source), n)) for n, path in enumerate(found, start=1)]
            ours = {target for place, target in zip(places, targets, strict=True) if target != place}
            found = [path for path, place in zip(found, places, strict=True) if place not in ours]
        elif out.is_relative_to(real(source)):
            found = [path for path in found if not real(path).is_relative_to(out)]
        if not found:
            raise DataError(
                f"{name_of(source)}: no photographs in this folder"
                + ("" if recursive else " (--recursive looks deeper)")
            )
        for path in found:
            yield path, path.relative_to(source)


def _distinct(targets: Iterable[tuple[Path, Path, Path]]) -> list[tuple[Path, Path, Path]]:
    """Without those that are there already: a list may name a photograph twice, or a folder and what is in it."""
    kept = {(real(source), target): (source, target, inside) for source, target, inside in targets}
    return list(kept.values())


def _target(path: Path, ending: str | None) -> Path:
    """Where `path` goes below the output; what cannot be written in its own format gets a second suffix,
    `a.heic.png`."""
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
    sources = {real(job.source) for job in jobs}
    seen: dict[Path, Path] = {}
    for job in jobs:
        for target in filter(None, (job.target, job.compared)):
            if real(target) in sources:
                raise ImageError(f"{name_of(target)}: is the input itself; choose another output")
            other = seen.setdefault(real(target), job.source)
            if other != job.source:
                raise DataError(
                    f"{name_of(target)}: would be written twice, from {name_of(other)} and from {name_of(job.source)}"
                )


def same_file(one: Path, other: Path) -> bool:
    """Whether two names are of one file, there or not."""
    return real(one) == real(other)


def real(path: Path) -> Path:
    """The file behind links, so that two names of one file are seen as one."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def _suffix(name: str | None) -> str | None:
    if name is None:
        return None
    known = sorted(set(images.SUFFIXES.values()))
    suffix = name.lower() if name.startswith(".") else SUFFIX_OF.get(name.lower(), f".{name.lower()}")
    if suffix not in images.SUFFIXES:
        raise SettingsError(unknown_name("format", name, known))
    return suffix
