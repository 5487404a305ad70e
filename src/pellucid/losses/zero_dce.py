"""What Zero-DCE asks of a brightened image, without any reference.

Source: Guo et al., "Zero-Reference Deep Curve Estimation for Low-Light Image Enhancement" (CVPR 2020, arXiv
2001.06826), section 3.3; the weights are those of section 4. Sums over places are averages here, and so are sums over a
batch.
"""

import torch.nn.functional as F
from torch import Tensor

__all__ = ["colour_constancy", "curve_smoothness", "exposure", "spatial_consistency", "zero_dce"]

REGION = 4
"""Side of the regions that are compared with their neighbours, in pixels."""
EXPOSED_REGION = 16
"""Side of the regions that should be well exposed, in pixels."""
LEVEL = 0.6
"""E, the mean of a well exposed region. The paper finds little difference from 0.4 to 0.7."""
COLOUR_WEIGHT = 0.5
SMOOTHNESS_WEIGHT = 20.0


def zero_dce(enhanced: Tensor, degraded: Tensor, curves: Tensor, level: float = LEVEL) -> Tensor:
    """The total loss, a scalar.

    Args:
        enhanced: (B, 3, H, W), sides of at least 16 pixels.
        degraded: the same, before brightening.
        curves: the maps A_1 ... A_n, (B, 3 n, H, W).
        level: of `exposure`.
    """
    return (
        spatial_consistency(enhanced, degraded)
        + exposure(enhanced, level)
        + COLOUR_WEIGHT * colour_constancy(enhanced)
        + SMOOTHNESS_WEIGHT * curve_smoothness(curves)
    )


def spatial_consistency(enhanced: Tensor, degraded: Tensor) -> Tensor:
    """L_spa: the contrast of each region of 4 x 4 with its four neighbours should stay as it was."""
    after, before = (F.avg_pool2d(image.mean(1, keepdim=True), REGION) for image in (enhanced, degraded))
    total = after.new_zeros(())
    for axis in (2, 3):
        change = (after.diff(dim=axis).abs() - before.diff(dim=axis).abs()).square()
        total = total + 2 * change.sum()  # each pair of neighbours is met from both sides
    return total / after.numel()


def exposure(enhanced: Tensor, level: float = LEVEL) -> Tensor:
    """L_exp: how far the means of regions of 16 x 16 are from the level E of good exposure."""
    return (F.avg_pool2d(enhanced.mean(1, keepdim=True), EXPOSED_REGION) - level).abs().mean()


def colour_constancy(enhanced: Tensor) -> Tensor:
    """L_col: the means of red, green and blue should be equal in every image (grey world)."""
    red, green, blue = enhanced.mean((2, 3)).unbind(1)
    return ((red - green).square() + (red - blue).square() + (green - blue).square()).mean()


def curve_smoothness(curves: Tensor) -> Tensor:
    """L_tvA: the square of |horizontal| + |vertical| differences of the maps, summed over colours, mean over maps."""
    across = curves.diff(dim=3)[:, :, :-1].abs()
    down = curves.diff(dim=2)[:, :, :, :-1].abs()
    return 3 * (across + down).square().mean()
