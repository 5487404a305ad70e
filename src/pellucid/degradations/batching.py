"""The photographs of a batch, one after the other, each with its own draws."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["degrade_each"]


def degrade_each(images: Tensor, degrade: Callable[[Tensor], Tensor]) -> Tensor:
    """`degrade`, which takes one photograph (C, H, W) to another of its shape, over images of shape (..., C, H, W).

    The members draw in their order, so a batch is what its members are when they share a generator.
    """
    if images.ndim == 3:
        return degrade(images)
    members = images.reshape(-1, *images.shape[-3:])
    return torch.stack([degrade(member) for member in members]).reshape(images.shape)
