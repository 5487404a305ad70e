"""What rain and snow, which fall in front of a scene, have in common: an amount, their severity, and their draws."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pellucid.degradations.batching import degrade_each
from pellucid.errors import SettingsError

__all__ = ["Precipitation", "uniform_from"]


@dataclass(frozen=True)
class Precipitation(ABC):
    """Something that falls, by its amount, 0..100."""

    name: ClassVar[str]
    """As texts have it."""
    bounds: ClassVar[tuple[tuple[str, float, float], ...]]
    """Of numbers: the field, and the least and largest value that it may have."""

    amount: float

    def __post_init__(self) -> None:
        for name, low, high in self.bounds:
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"{self.name}: {name} must lie in {low}..{high}, got {value:g}")

    @property
    def severity(self) -> float:
        """0 to 100: the amount."""
        return float(self.amount)

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1] to degraded, same shape; on every picture something of its own falls."""
        if self.amount == 0:
            return clean
        return degrade_each(clean, lambda picture: self._fallen(picture, generator))

    @abstractmethod
    def _fallen(self, picture: Tensor, generator: torch.Generator) -> Tensor:
        """One picture (C, H, W), with something before it."""


def uniform_from(generator: torch.Generator) -> Callable[[float, float], float]:
    """A function that draws a number between two, evenly."""

    def drawn(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    return drawn
