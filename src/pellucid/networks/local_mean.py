"""Means of windows instead of the whole map: what a network that has learnt from crops should pool of a photograph.

Source: Chu et al., "Improving Image Restoration by Revisiting Global Information Aggregation" (ECCV 2022, arXiv
2112.04491), the test-time local converter (TLC), section 3.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["local_mean"]


def local_mean(features: Tensor, height: int, width: int) -> Tensor:
    """The mean of the window around each place, (B, C, h, w) in and out; near a border, of the last whole window there.

    A window as large as the map gives the map's mean everywhere.

    Args:
        features: the map.
        height: of the window, in places; at most that of the map counts.
        width: likewise.
    """
    rows, columns = min(height, features.shape[2]), min(width, features.shape[3])
    means = _sliding_mean(_sliding_mean(features.double(), rows, 2), columns, 3).to(features.dtype)
    above, left = (features.shape[2] - means.shape[2]) // 2, (features.shape[3] - means.shape[3]) // 2
    below, right = features.shape[2] - means.shape[2] - above, features.shape[3] - means.shape[3] - left
    return F.pad(means, (left, right, above, below), mode="replicate")


def _sliding_mean(values: Tensor, length: int, axis: int) -> Tensor:
    """Differences of running sums: in double precision, for these grow with the map."""
    sums = values.cumsum(axis)
    count = values.shape[axis]
    later = sums.narrow(axis, length - 1, count - length + 1)
    earlier = torch.cat([torch.zeros_like(sums.narrow(axis, 0, 1)), sums.narrow(axis, 0, count - length)], axis)
    return (later - earlier) / length
