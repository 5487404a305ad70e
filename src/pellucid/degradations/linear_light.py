"""Light: between display-encoded values, which are what files hold, and linear light, in which physics adds.

The transfer functions of sRGB, IEC 61966-2-1, exact: a power of 2.4 with a linear toe.
"""

import torch
from torch import Tensor

__all__ = ["encoded", "linear"]

_TOE = 0.04045
"""The encoded value below which the curve is a line."""


def linear(image: Tensor) -> Tensor:
    """Encoded values of any shape, nominally in [0, 1], as linear light; the line goes on below 0, the power above."""
    power = image.clamp(min=_TOE).add_(0.055).mul_(1 / 1.055).pow_(2.4)
    return torch.where(image <= _TOE, image * (1 / 12.92), power)


def encoded(light: Tensor) -> Tensor:
    """Linear light of any shape as encoded values: the inverse of `linear`."""
    power = light.clamp(min=_TOE / 12.92).pow_(1 / 2.4).mul_(1.055).sub_(0.055)
    return torch.where(light <= _TOE / 12.92, light * 12.92, power)
