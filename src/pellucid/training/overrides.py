"""Single keys of a recipe set from outside: `--set train.steps=500`, and the variants of an ablation."""

from typing import Any, NamedTuple

from pellucid.errors import SettingsError
from pellucid.training.places import ROOTS

__all__ = ["override", "put"]


class _Spot(NamedTuple):
    """How far a dotted path leads into a tree: to `tree[...][key]`, where all of it is there."""

    group: Any
    """The innermost list or mapping that the path reaches."""
    key: Any
    """The path's next key in it; None where it has none such."""
    rest: str
    """What of the path is left: after the key, or with a key that is not there."""

    @property
    def there(self) -> bool:
        """Whether the whole path is in the tree."""
        return self.key is not None and not self.rest


def override(tree: dict[str, Any], assignment: str) -> None:
    """Applies one `a.b=value` to a recipe's tree, in place; the value is read as YAML, or is a path that begins
    with one of `places.ROOTS`.

    A key that is there already may hold equals signs, such as `data.degradations.noise sigma=25=2`.

    Raises:
        SettingsError: no equals sign, no key, or a value that is not YAML.
    """
    import yaml

    source = f"--set {assignment!r}"
    splits = []
    for place in (place for place, letter in enumerate(assignment) if letter == "="):
        path = assignment[:place].strip()
        splits.append((path, assignment[place + 1 :], _find(tree, path)))
    if not splits:
        raise SettingsError(f"{source}: expected key.key=value")
    path, text, spot = next((split for split in reversed(splits) if split[2].there), splits[0])
    if not spot.there and not all(path.split(".")):
        raise SettingsError(f"{source}: expected key.key=value")
    try:
        # The brace of a folder's name would begin a mapping.
        value = text if text.startswith(tuple(f"{root}/" for root in ROOTS)) else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise SettingsError(f"{source}: {text!r} is not a YAML value") from None
    _write(spot, value, source)


def put(tree: dict[str, Any], path: str, value: Any, source: str) -> None:
    """Puts a value at the key `a.b` of a recipe's tree, in place; groups that are not there are made.

    A number counts in a list, from 0: `data.sources.0.weight`. A key that is there already may hold dots of its own, as
    those of `network.weights` do: `network.weights.experts.0`.

    Raises:
        SettingsError: a group holds a value, or a list has no such entry; `source` names what asked for it.
    """
    _write(_find(tree, path), value, source)


def _find(tree: Any, path: str) -> _Spot:
    """Where a dotted path leads in a tree."""
    group = tree
    key, rest = _first(group, path)
    while key is not None and rest and isinstance(group[key], dict | list):
        group = group[key]
        key, rest = _first(group, rest)
    return _Spot(group, key, rest)


def _first(group: dict[Any, Any] | list[Any], path: str) -> tuple[Any, str]:
    """The key of a group that a dotted path begins with, and what of the path follows it.

    A number counts in a list, from 0. A key of a mapping may hold dots of its own; of several the longest is meant.
    Where none is there the key is None, and the whole path follows.
    """
    if isinstance(group, list):
        first, _, rest = path.partition(".")
        there = first.isdecimal() and int(first) < len(group)
        return (int(first), rest) if there else (None, path)
    keys = [key for key in group if f"{path}.".startswith(f"{key}.")]  # YAML's keys may be numbers
    if not keys:
        return None, path
    key = max(keys, key=lambda one: len(str(one)))
    return key, path[len(str(key)) + 1 :]


def _write(spot: _Spot, value: Any, source: str) -> None:
    """Writes a value where a path leads, and makes the groups that are missing on the way."""
    group, key, rest = spot
    if key is not None and rest:
        if isinstance(group, list) or group[key] is not None:
            raise SettingsError(f"{source}: {key} holds a value, not a group of keys")
        group[key] = {}  # a section that was left empty
        group, key = group[key], None
    if key is None:
        *missing, key = rest.split(".")
        if isinstance(group, list):
            name = (missing or [key])[0]
            raise SettingsError(f"{source}: {name!r} is no entry of a list of {len(group)}, counted from 0")
        for name in missing:
            group[name] = {}
            group = group[name]
    group[key] = value
