"""How far a restored image is from the clean one: (restored, clean), (B, C, H, W) in [0, 1], to a scalar."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["absolute", "charbonnier", "detail", "dissimilarity", "squared"]

SURROUNDINGS = 33
"""Pixels of a side of what is around a pixel, whose brightness does not count as detail."""
RADIUS = 5
DEVIATION = 1.5


def absolute(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean absolute difference (L1)."""
    return (restored - clean).abs().mean()


def squared(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean squared difference (L2), whose minimiser has the best PSNR."""
    return (restored - clean).square().mean()


def charbonnier(restored: Tensor, clean: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(d^2 + epsilon^2), a smooth L1. Source: Lai et al., CVPR 2017 (LapSRN), section 3.3."""
    return ((restored - clean).square() + epsilon**2).sqrt().mean()


def detail(restored: Tensor, clean: Tensor, epsilon: float = 1e-3) -> Tensor:
    """The Charbonnier distance once the restored image has the clean one's brightness around each pixel.

    How bright a photograph was meant to be cannot be known of a dark one. A distance that an error of that kind fills
    says of noise and detail only that they lie on the wrong side, so here each channel is multiplied first by the
    quotient of the means over `SURROUNDINGS`, through which no gradient goes.
    """
    side = tuple(min(SURROUNDINGS, length) // 2 for length in clean.shape[-2:])

    def around(image: Tensor) -> Tensor:
        down = F.avg_pool2d(image, (2 * side[0] + 1, 1), 1, (side[0], 0), count_include_pad=False)
        return F.avg_pool2d(down, (1, 2 * side[1] + 1), 1, (0, side[1]), count_include_pad=False)

    with torch.no_grad():
        matched = (around(clean) + 0.02) / (around(restored).clamp_min(0) + 0.02)
    return charbonnier(restored * matched, clean, epsilon)


def dissimilarity(restored: Tensor, clean: Tensor) -> Tensor:
    """1 - SSIM, averaged over channels and images; sides of at least 11 pixels.

    Source: Wang et al., IEEE TIP 2004, section III.B: Gaussian window of 11 x 11 with sigma 1.5, where it lies wholly
    inside. The metric of the same name works in float64 and without gradients; here both axes of the window are
    matrices, which is twenty times as fast, forwards and backwards.

    Raises:
        ValueError: the images are smaller than the window.
    """
    height, width = clean.shape[-2:]
    if min(height, width) <= 2 * RADIUS:
        raise ValueError(f"the window of SSIM is 11 x 11, the images are {height} x {width}")
    products = torch.stack([restored, clean, restored * restored, clean * clean, restored * clean])
    rows, columns = (_window(side, clean.device) for side in (height, width))
    mean, mean_clean, square, square_clean, product = rows @ products @ columns.T
    covariance = product - mean * mean_clean
    variances = square - mean.square() + square_clean - mean_clean.square()
    structure = (2 * covariance + 0.03**2) / (variances + 0.03**2)
    luminance = (2 * mean * mean_clean + 0.01**2) / (mean.square() + mean_clean.square() + 0.01**2)
    similarity: Tensor = (structure * luminance).mean()
    return 1 - similarity


def _window(side: int, device: torch.device) -> Tensor:
    """The matrix (side - 10, side) that averages 11 neighbours along an axis with Gaussian weights."""
    weights = [math.exp(-(offset**2) / (2 * DEVIATION**2)) for offset in range(-RADIUS, RADIUS + 1)]
    matrix = torch.zeros(side - 2 * RADIUS, side, device=device)
    for offset, weight in enumerate(weights):
        matrix.diagonal(offset).fill_(weight / sum(weights))
    return matrix
