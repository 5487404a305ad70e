"""How much noise a picture has where it has least: below that, a rounding does not show."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ROUGH", "noise_floor"]

ROUGH = 10 / 255
"""Noise of this deviation hides what 8 bits round away (a quarter of a level of 255); see EXPERIMENTS.md 45."""

BLOCK = 32
"""Side of the parts that are looked at, in pixels."""

BLOCKS = 24
"""So many along each side at most, however large the picture."""

SMOOTHEST = 0.1
"""The part of the blocks that may have less noise than is said."""


def noise_floor(image: Tensor) -> float:
    """The deviation of the noise of images (B, 3, H, W) in [0, 1], in the smoothest parts of them; 0 for tiny ones.

    Of each block the mean of what a mask leaves that is blind to slopes (Immerkaer, "Fast noise variance estimation",
    CVIU 1996, equations 3 and 8), of the channel that cameras measure best; of the blocks one of the lowest. Texture
    looks like noise, and clipping hides it, so a picture of both is judged by its smooth parts.
    """
    if min(image.shape[2:]) < BLOCK:
        return 0.0
    mask = torch.tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]], device=image.device)
    rows, columns = (_starts(side, image.device) for side in image.shape[2:])
    inside = torch.arange(BLOCK, device=image.device)
    green = image[:, min(1, image.shape[1] - 1)].float()
    down, across = (rows[:, None] + inside)[:, None, :, None], (columns[:, None] + inside)[None, :, None, :]
    blocks = green[:, down, across].reshape(-1, 1, BLOCK, BLOCK)
    found = F.conv2d(blocks, mask[None, None]).abs().mean((1, 2, 3)) * (math.sqrt(math.pi / 2) / 6)
    return float(found.quantile(SMOOTHEST))


def _starts(side: int, device: torch.device) -> Tensor:
    count = min(BLOCKS, side // BLOCK)
    return torch.linspace(0, side - BLOCK, count, device=device).long()
