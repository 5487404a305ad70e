"""Paths in recipes, which are read on many machines: `{data}/train/clean` and `{weights}/prior.safetensors`.

    {data}      the environment variable PELLUCID_DATA, or else `pellucid/data` in the platform's cache
    {weights}   the environment variable PELLUCID_WEIGHTS, or else `weights` beside the data

They stand for folders of the machine from the moment that a recipe is read (`Place`), and stand there again where it is
written: so a recipe says the same wherever its model goes. Other paths are taken as they are, from the working
directory.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, PlainSerializer, SerializationInfo

from pellucid.data.benchmarks import data_root
from pellucid.data.benchmarks.places import weights_root
from pellucid.errors import DataError

__all__ = ["Place", "as_written", "check_places", "weights_root"]


ROOTS: Mapping[str, tuple[Callable[[], Path], str]] = {
    "{data}": (data_root, "PELLUCID_DATA"),
    "{weights}": (weights_root, "PELLUCID_WEIGHTS"),
}
"""What a path may begin with: the folder that it stands for, and the environment variable that says where that is."""


def _resolved(written: Any) -> Any:
    """The path of this machine that a recipe's text means."""
    if not isinstance(written, str | Path):
        return written
    first, _, rest = Path(written).as_posix().partition("/")
    if first in ROOTS:
        return ROOTS[first][0]() / rest
    if first.startswith("{"):
        raise ValueError(f"{first} is no folder that a recipe knows; it may begin with {' or '.join(ROOTS)}")
    return Path(written)


def as_written(path: Path, *, travelling: bool = False) -> str:
    """How a recipe writes a path of this machine.

    Args:
        path: absolute, or from the working directory.
        travelling: write none that is absolute: those below neither root then start at the working directory.
    """
    root = _root_of(path)
    if root is not None:
        return "/".join([root, *path.relative_to(ROOTS[root][0]()).parts])
    if travelling and path.is_absolute() and path.anchor == Path.cwd().anchor:  # another drive has no way from here
        return Path(os.path.relpath(path)).as_posix()
    return str(path)


def _root_of(path: Path) -> str | None:
    """The root of ROOTS that a path lies below; where one root holds the other, the inner one."""
    roots = {name: find() for name, (find, _) in ROOTS.items()}
    below = [name for name, root in roots.items() if path.is_relative_to(root)]
    return max(below, key=lambda name: len(roots[name].parts), default=None)


def _serialised(path: Path, info: SerializationInfo) -> str:
    return as_written(path, travelling=bool(info.context and info.context.get("travelling")))


Place = Annotated[
    Path, BeforeValidator(_resolved), PlainSerializer(_serialised, return_type=str, when_used="json-unless-none")
]
"""A file or folder in a recipe: a path of this machine once read, with `{data}` and `{weights}` once written."""


def check_places(section: BaseModel) -> None:
    """Looks whether what a section names below `{data}` and `{weights}` is there.

    Raises:
        DataError: it is not; says which environment variable to set, or what key.
    """
    for key, path in _paths_in(section):
        root = _root_of(path)
        if root is not None and not path.exists():
            variable = ROOTS[root][1]
            raise DataError(
                f"{key}: {as_written(path)} is not there ({path}); set {variable} to the folder that {root} stands "
                f"for, or give another path with --set"
            )


def _paths_in(value: Any, key: str = "") -> Iterator[tuple[str, Path]]:
    """The paths in a section, by their dotted keys."""
    if isinstance(value, Path):
        yield key, value
    parts: Any = ()
    if isinstance(value, BaseModel):
        parts = ((name, getattr(value, name)) for name in type(value).model_fields)
    elif isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    for name, part in parts:
        yield from _paths_in(part, f"{key}.{name}" if key else str(name))
