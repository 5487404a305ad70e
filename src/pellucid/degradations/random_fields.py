"""Random fields: noise with a size, for what is not drawn pixel by pixel."""

import math

import torch
from torch import Tensor

__all__ = ["smooth_fields"]


def smooth_fields(count: int, height: int, width: int, size: float, generator: torch.Generator) -> Tensor:
    """(count, height, width), on the CPU: independent Gaussian fields of mean 0 and, at every pixel, of variance 1.

    Blobs of Gaussian shape, with standard deviation `size` pixels, are added up on a grid of that spacing, each with a
    random weight. Two pixels at a distance r then have a correlation of exp(-r² / (4 size²)), to one part in 1000.
    """
    down, across = _blobs(height, size), _blobs(width, size)
    weights = torch.randn(count, down.shape[1], across.shape[1], generator=generator)
    return down @ weights @ across.mT


def _blobs(length: int, size: float) -> Tensor:
    """(length, nodes): the weight of each node of the grid at each pixel, of square sum one over the nodes."""
    nodes = math.ceil((length - 1) / size) + 7  # three beyond either end
    place = torch.arange(length)[:, None] / size - (torch.arange(nodes) - 3)
    weights = torch.exp(-(place**2) / 2)
    return weights / weights.square().sum(dim=1, keepdim=True).sqrt()
