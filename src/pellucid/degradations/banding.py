"""Banding: too few shades, so that a sky falls into steps."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pellucid.errors import SettingsError

__all__ = ["Banding"]


@dataclass(frozen=True)
class Banding:
    """Every colour is rounded to one of a few levels, without dithering.

    Args:
        levels: of each colour, 2..256, evenly from black to white.
    """

    kind: ClassVar[str] = "banding"

    levels: int = 32

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= 256:
            raise SettingsError(f"banding: levels must lie in 2..256, got {self.levels:g}")

    @property
    def severity(self) -> float:
        """How many bits of eight are missing, in percent of six; 100 at most, for four levels."""
        return min(100.0, 100 * (8 - math.log2(self.levels)) / 6)

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., H, W) in [0, 1] to degraded, same shape, in [0, 1]."""
        steps = self.levels - 1
        return (clean * steps).round_().div_(steps)
