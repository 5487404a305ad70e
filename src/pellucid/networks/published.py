"""How the authors of a published network name its weights: what each network's file says of it at its end."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["Names", "Published", "Weights", "count", "numbered", "upwards"]

Weights = Mapping[str, Tensor]
Names = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
"""Regular expressions and their replacements, all of them, in this order."""


@dataclass(frozen=True)
class Published:
    """How the authors of one network name its weights."""

    task: str
    """What they were trained for, in a word of the registry of data sets; empty where for several, or files do not
    tell."""
    marks: tuple[str, ...]
    """Keys that every such file has: enough to pass other files by, and for `settings` to read."""
    settings: Callable[[Weights], dict[str, Any]]
    """The network's settings, from the authors' keys and shapes."""
    names: Names
    """What turns their keys into ours."""
    copies: str = r"(?!)"
    """A regular expression for the beginning of keys whose tensors stand in the file under another key too."""
    idle: str = r"(?!)"
    """A regular expression for the beginning of keys whose tensors the authors' network never used: they are
    dropped."""
    single: str = r"(?!)"
    """A regular expression for the beginning of keys whose tensors have a first axis of length one that ours have
    not."""

    def rename(self, weights: Weights) -> dict[str, Tensor]:
        """The same tensors by our keys."""
        return {
            self._name(key): value.squeeze(0) if re.match(self.single, key) else value
            for key, value in weights.items()
            if not self._left_out(key)
        }

    def _left_out(self, key: str) -> bool:
        return bool(re.match(self.copies, key) or re.match(self.idle, key))

    def _name(self, key: str) -> str:
        for pattern, ours in self.names:
            key = re.sub(pattern, ours, key)
        return key


def count(weights: Weights, pattern: str) -> int:
    """How many keys match."""
    return sum(re.fullmatch(pattern, key) is not None for key in weights)


def numbered(ours: str, first: int) -> Callable[[re.Match[str]], str]:
    """Our name with the number that the expression's first group found, where theirs start at `first` and ours at 0."""
    return lambda found: ours.format(int(found[1]) - first)


def upwards(ours: str, coarsest: int) -> Callable[[re.Match[str]], str]:
    """Our name with the number that the first group found, where theirs fall from `coarsest` on and ours rise from
    0."""
    return lambda found: ours.format(coarsest - int(found[1]))
