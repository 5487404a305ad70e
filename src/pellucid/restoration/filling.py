"""Filling in values that are lost, from their neighbours: for impulses, before any network sees them."""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["REACH", "filled"]

PAIRS = [((0, -1), (0, 1)), ((-1, 0), (1, 0)), ((-1, -1), (1, 1)), ((-1, 1), (1, -1))]
"""Neighbours that lie opposite each other."""
NEARLY = 0.02
"""Differences of opposite neighbours below this are noise."""
WIDEST = 33
"""Pixels of the side of the largest window that is asked."""
REACH = WIDEST // 2 + 1
"""How many rows around one have a say in it."""


def filled(image: Tensor, lost: Tensor) -> Tensor:
    """An image (1, 3, H, W) in which lost values are replaced; others stay as they are.

    Along an edge opposite neighbours are alike and across it they are not, so the mean of each pair counts by the
    inverse square of its difference. Where no pair is whole, the mean of what is known nearby counts, from a window
    that grows until there is something.

    Args:
        image: in [0, 1].
        lost: (3, H, W) bool.
    """
    planes, known = image[0].float(), ~lost
    wide, there = (F.pad(each[None], (1, 1, 1, 1), mode="reflect")[0] for each in (planes, known.float()))
    height, width = planes.shape[1:]

    def moved(which: Tensor, down: int, across: int) -> Tensor:
        return which[:, 1 + down : 1 + down + height, 1 + across : 1 + across + width]

    total, weights = torch.zeros_like(planes), torch.zeros_like(planes)
    for one, other in PAIRS:
        first, second = moved(wide, *one), moved(wide, *other)
        distance = 2.0 if one[0] and one[1] else 1.0
        weight = moved(there, *one) * moved(there, *other) / ((first - second).abs() + NEARLY).square() / distance
        total, weights = total + weight * (first + second) / 2, weights + weight
    for side in range(3, WIDEST + 1, 2):
        missing = lost & (weights == 0)
        if not bool(missing.any()):
            break
        margin = side // 2
        if margin >= min(height, width):
            break
        sums, counts = (
            F.avg_pool2d(F.pad(each[None], (margin,) * 4, mode="reflect"), side, 1)[0]
            for each in (planes * known, known.float())
        )
        found = missing & (counts * side * side > 0.5)
        total, weights = torch.where(found, sums, total), torch.where(found, counts, weights)
    return torch.where(lost & (weights > 0), total / weights.clamp_min(1e-12), planes)[None].to(image.dtype)
