"""Where autocast must not reach."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

__all__ = ["without_autocast"]


def without_autocast(image: Tensor) -> AbstractContextManager[Any]:
    """A context that computes in the precision of its tensors, whatever autocast is on around it.

    For what loses visibly by 8 bits of mantissa (a division by a small illumination, a power, the last values before
    the image) and costs next to nothing.
    """
    # Tensors without content, of which costs are counted, have no autocast to be kept out.
    return nullcontext() if image.is_meta else torch.autocast(image.device.type, enabled=False)
