"""What SCI asks of the illumination of a dark image, without any reference.

Source: Ma et al., "Toward Fast, Flexible, and Robust Low-Light Image Enhancement" (CVPR 2022, arXiv 2204.10137),
section 2.3. The paper does not print its two weights; these are those of the authors' code. Sums over places are
averages here.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["fidelity", "implied_illumination", "sci", "smoothness"]

FIDELITY_WEIGHT = 1.5
DEVIATION = 0.1
"""sigma: colours that differ by more than this may differ in illumination."""
REACH = 2
"""Neighbours lie in a window of 5 x 5."""
DARKEST = 1e-4
YUV = ((0.299, 0.587, 0.114), (-0.147, -0.289, 0.436), (0.615, -0.515, -0.100))
"""RGB to luma and two differences of colour (BT.601)."""


def sci(stages: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The total loss, a scalar, of a cascade's stages: input v = y + s and illumination x of each, (B, 3, H, W)."""
    losses = [FIDELITY_WEIGHT * fidelity(given, light) + smoothness(given, light) for given, light in stages]
    return torch.stack(losses).sum()


def fidelity(given: Tensor, illumination: Tensor) -> Tensor:
    """L_f: the illumination should be near to what it was estimated of."""
    return (illumination - given).square().mean()


def smoothness(given: Tensor, illumination: Tensor) -> Tensor:
    """L_s: the illumination should be equal at pixels near each other whose colours in `given` are alike."""
    colours = torch.einsum("ij,bjhw->bihw", torch.tensor(YUV, device=given.device, dtype=given.dtype), given)
    offsets = [(down, across) for down in range(REACH + 1) for across in range(-REACH, REACH + 1)]
    total = given.new_zeros(())
    for down, across in offsets:
        if down == 0 and across <= 0:
            continue  # this pair of pixels is met from its other side, hence the 2 below
        near, far = _shifted(colours, down, across)
        weight = (-(near - far).square().sum(1) / (2 * DEVIATION**2)).exp()
        near, far = _shifted(illumination, down, across)
        total = total + 2 * (weight * (near - far).abs().sum(1)).mean()
    return total


def implied_illumination(enhanced: Tensor, degraded: Tensor) -> Tensor:
    """The x in [0.0001, 1] for which y / x is the enhanced image: by it a refined image has the network's own loss."""
    return (degraded / enhanced.clamp_min(DARKEST)).clamp(DARKEST, 1)


def _shifted(image: Tensor, down: int, across: int) -> tuple[Tensor, Tensor]:
    """All pixels with a neighbour so many places below and to the right (left, if negative), and these neighbours."""
    height, width = image.shape[2:]
    start, stop = max(0, -across), min(width, width - across)
    return image[:, :, : height - down, start:stop], image[:, :, down:, start + across : stop + across]
