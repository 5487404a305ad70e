"""Where autocast must not reach."""

import torch
from torch import Tensor

__all__ = ["without_autocast"]


def without_autocast(image: Tensor) -> torch.autocast:
    """A context that computes in the precision of its tensors, whatever autocast is on around it.

    For what loses visibly by 8 bits of mantissa (a division by a small illumination, a power, the last values before
    the image) and costs next to nothing.
    """
    return torch.autocast(image.device.type, enabled=False)
