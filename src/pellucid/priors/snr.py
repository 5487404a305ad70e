"""The signal-to-noise map of an image as a prior: where it can be trusted, and where other places must help.

Source: "SNR-Aware Low-Light Image Enhancement" (CVPR 2022), section 3.1; the PTG-RM paper's table 3 compares with it.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.priors.contract import FrozenPrior
from pellucid.priors.statistics import luma_of, scaled_vector

__all__ = ["SnrPrior", "snr_map"]

WINDOW = 5
"""Side of the mean filter, in pixels."""
FLOOR = 1e-4
"""Added to the noise, so that a flat place has a finite ratio: 10000 at most."""
GRID = (16, 16)
"""Rows and columns of the vector's places."""


class SnrPrior(FrozenPrior):
    """The signal-to-noise ratio at 16 x 16 places of an image, as one vector of 257; `maps` gives it for every pixel.

    The view is a map of the ratio's logarithm at the image's own resolution, log(1 + S) / log(10001), averaged to 16 x
    16. The vector is it as 2v - 1, row by row, and last a one, from which the components' absolute sizes can be told.
    """

    def __init__(self) -> None:
        super().__init__("snr", GRID[0] * GRID[1] + 1, GRID)
        self.view_channels = 1
        self.freeze()

    @torch.no_grad()
    def prepare(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) of any size, in [0, 1], to (B, 1, 16, 16) in [0, 1]."""
        logarithm = snr_map(image).log1p() / math.log1p(1 / FLOOR)
        return F.adaptive_avg_pool2d(logarithm, GRID)

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, 1, 16, 16) to vectors (B, 257), float32, of unit root-mean-square."""
        return scaled_vector(view.flatten(1))

    @torch.no_grad()
    def maps(self, image: Tensor) -> Tensor:
        """The paper's map: the ratio over the image's largest, (B, 3, H, W) in [0, 1] to (B, 1, H, W) in [0, 1]."""
        ratio = snr_map(image)
        return ratio / (ratio.amax((1, 2, 3), keepdim=True) + FLOOR)


def snr_map(image: Tensor) -> Tensor:
    """S = L / (|luma - L| + 1e-4), where L is the mean of the luma over 5 x 5 pixels: (B, 3, H, W) to (B, 1, H, W).

    The luma is that of the image clamped to [0, 1]; at the borders the mean is over the pixels that there are. Values
    lie in [0, 10000]. Raises ValueError when `image` is not (B, 3, H, W).
    """
    luma = luma_of(image)
    signal = F.avg_pool2d(luma, WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False)
    return signal / ((luma - signal).abs() + FLOOR)
