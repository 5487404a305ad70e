"""A dark photograph brought to the exposure of its bright partner: what then differs is the noise."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import DataError

__all__ = ["matched_exposure"]

BLOCK = 8
"""Side of the blocks, in pixels, whose means are compared: in them there is hardly any noise."""
DARKEST, BRIGHTEST = 2 / 255, 0.98
"""Means beyond these tell nothing of the exposure: rounding and clipping have taken it away."""


def matched_exposure(degraded: Tensor, clean: Tensor) -> Tensor:
    """A degraded image with the tones of its clean partner, both (3, H, W) in [0, 1].

    Each channel becomes a x^γ, with the a and γ > 0 that fit the logarithms of the means of blocks in the least
    squares; where fewer than two blocks tell, a alone, from the means of all.

    Raises:
        DataError: they differ in size.
    """
    if degraded.shape != clean.shape:
        sizes = " and ".join(f"{image.shape[2]} x {image.shape[1]}" for image in (degraded, clean))
        raise DataError(f"a photograph and its partner differ in size ({sizes})")
    side = min(BLOCK, *degraded.shape[1:])
    means = [F.avg_pool2d(image, side).flatten(1) for image in (degraded, clean)]
    matched = []
    for channel, dark, bright in zip(degraded, *means, strict=True):
        told = (dark > DARKEST) & (bright > DARKEST) & (dark < BRIGHTEST) & (bright < BRIGHTEST)
        x, y = dark[told].log(), bright[told].log()
        spread = (x - x.mean()).square().sum() if len(x) > 1 else x.new_zeros(())
        if spread > 0:
            exponent = (((x - x.mean()) * (y - y.mean())).sum() / spread).clamp(0.2, 2)
            matched.append(channel.pow(exponent) * torch.exp(y.mean() - exponent * x.mean()))
        else:
            matched.append(channel * (bright.mean() / dark.mean().clamp_min(DARKEST)))
    return torch.stack(matched).clamp(0, 1)
