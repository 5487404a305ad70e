"""Lateral chromatic aberration: a lens that draws one colour larger than another."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import SettingsError

__all__ = ["Aberration", "magnified"]


def magnified(plane: Tensor, factor: float, rows: slice = slice(None)) -> Tensor:
    """A plane (H, W) drawn larger by `factor` about its middle, bicubic; its border is continued.

    Args:
        plane: the plane.
        factor: the factor.
        rows: of the result, where not all are wanted.
    """
    height, width = plane.shape
    middle = (height - 1) / 2
    down = (torch.arange(height, dtype=torch.float64)[rows] - middle) / factor + middle
    top = min(max(0, math.floor(down[0]) - 2), height - 1)
    plane = plane[top : max(top + 1, math.ceil(down[-1]) + 3)]  # two rows beyond have a say in a bicubic one
    down = (2 * (down - top) + 1) / plane.shape[0] - 1
    across = torch.linspace(-1 + 1 / width, 1 - 1 / width, width, dtype=torch.float64) / factor
    grid = torch.stack(torch.meshgrid(down, across, indexing="ij")[::-1], 2)[None].to(plane)
    return F.grid_sample(plane[None, None], grid, "bicubic", "border", align_corners=False)[0, 0]


@dataclass(frozen=True)
class Aberration:
    """Red and blue are magnified about the middle of the picture, green is not: coloured fringes, widest in corners.

    A grey photograph stays as it is.

    Args:
        red, blue: by how many thousandths each is larger than green, -10..10.
    """

    kind: ClassVar[str] = "aberration"

    red: float = 0.0
    blue: float = 0.0

    def __post_init__(self) -> None:
        for name in ("red", "blue"):
            if not -10 <= getattr(self, name) <= 10:
                raise SettingsError(f"aberration: {name} must lie in -10..10 thousandths, got {getattr(self, name):g}")

    @property
    def severity(self) -> float:
        """Twenty for each thousandth by which the two differ most from green, 100 at most."""
        return min(100.0, 20 * math.hypot(self.red, self.blue))

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1], C = 1 or 3, to degraded, same shape, in [0, 1]."""
        if clean.shape[-3] == 1:
            return clean.clone()
        members = clean.reshape(-1, *clean.shape[-3:])
        shifted = [
            torch.stack([magnified(one[0], 1 + self.red / 1000), one[1], magnified(one[2], 1 + self.blue / 1000)])
            for one in members
        ]
        return torch.stack(shifted).reshape(clean.shape).clamp_(0, 1)
