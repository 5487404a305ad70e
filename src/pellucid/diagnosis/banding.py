"""Banding, measured: shades with gaps between them, where neighbours lie one shade apart."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.degradations.banding import Banding

__all__ = ["Bands", "find_bands"]

ENOUGH = 1024
"""Pixels of a side of the part that is looked at."""
MOST = 80
"""Levels of a colour, counted from black to white, beyond which nobody sees their steps."""
RANGE = 0.25
"""The least range of a colour that can tell."""
RARE = 2e-4
"""The part of the pixels below which a level does not count: it may be from an edge."""
NEXT = 0.6
"""Part of all steps between unlike neighbours that lead to the next level; drawings jump further."""
FEWEST = 5
"""Levels: with fewer it is a drawing."""


@dataclass(frozen=True)
class Bands:
    """How many levels there would be from black to white."""

    levels: int

    @property
    def severity(self) -> float:
        """As of the degradation `banding`."""
        return Banding(self.levels).severity


def find_bands(image: Tensor) -> Bands | None:
    """The levels of an image (1, 3, H, W) or (3, H, W) in [0, 1], where they are few and evenly apart; else None.

    Only as it was stored: a JPEG, or any change afterwards, fills the gaps again.
    """
    height, width = image.shape[-2:]
    top, left = (max(0, length - ENOUGH) // 2 for length in (height, width))
    part = image.detach().reshape(3, height, width)[:, top : top + ENOUGH, left : left + ENOUGH]
    planes = (part * 255).round().long().clamp(0, 255)
    found = [_levels(plane) for plane in planes]
    return Bands(max(level for level in found if level)) if all(found) else None


def _levels(plane: Tensor) -> int:
    """Of (H, W) in 0..255; 0 where they are not few."""
    counts = torch.bincount(plane.flatten(), minlength=256)
    used = (counts > RARE * plane.numel()).nonzero()[:, 0]
    if len(used) < FEWEST or int(used[-1] - used[0]) < 255 * RANGE:
        return 0
    gaps = used.diff().float()
    # A level that nothing has leaves a gap of two.
    gap = float(gaps[gaps < 1.5 * gaps.median()].mean())
    levels = round(255 / gap) + 1
    # Between the levels there is nothing.
    between = 1 - float(counts[used].sum()) / plane.numel()
    if levels > MOST or between > 0.01 or bool((used.diff() < gap - 1.5).any()):
        return 0
    place = torch.full((256,), -1000, device=plane.device)
    place[used] = torch.arange(len(used), device=plane.device)
    steps = place[plane].diff(dim=1).abs()
    unlike = (steps > 0) & (steps < 500)
    near = steps == 1
    return levels if int(near.sum()) > NEXT * int(unlike.sum()) > 0 else 0
