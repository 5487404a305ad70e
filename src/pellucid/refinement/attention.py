"""PTG-CSA, channel-spatial attention: which channels, and what kernel at every pixel, as the prior says (equations 4 to
7).

Source: "Boosting Image Restoration via Priors from Pre-trained Models" (CVPR 2024, arXiv 2403.06793).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.refinement.guidance import SLOPE, GuidedConvolution, even

__all__ = ["ChannelAttention", "KernelPredictor", "SpatialAttention", "convolve_per_location"]


class ChannelAttention(nn.Module):
    """R_c of equation (4): a weight for every channel.

    `prior` says whether T_c(g) has a say in it; `bounded` is as in `RangeMap`.
    """

    def __init__(self, width: int, *, prior: bool = True, bounded: bool = False) -> None:
        super().__init__()
        self.bounded = bounded
        self.hidden = nn.Linear(width + 4 * width * prior, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, pooled: Tensor, prior: Tensor | None) -> Tensor:
        """Pooled features (B, width) and T_c(g) (B, 4 width), or None, to M_c (B, width) in (0, 1)."""
        known = pooled if prior is None else torch.cat([pooled, prior], 1)
        hidden = F.leaky_relu(self.hidden(known), SLOPE)
        return torch.sigmoid(self.out(even(hidden) if self.bounded else hidden))


class KernelPredictor(nn.Module):
    """R_p of equation (5): a kernel for every location and channel; reach 2 rows."""

    def __init__(self, width: int, kernel: int, *, prior: bool = True, position: bool = True) -> None:
        super().__init__()
        self.guided = GuidedConvolution(width, width * kernel**2, prior=prior, position=position)
        self.out = nn.Conv2d(width * kernel**2, width * kernel**2, 3, padding=1, bias=False)

    def forward(self, features: Tensor, prior: Tensor | None, position: Tensor | None) -> Tensor:
        """Features (B, width, h, w), T_c(g) (B, 4 width), S_c (B, width, h, w) to C_p (B, kernel^2 width, h, w)."""
        kernels: Tensor = self.out(F.leaky_relu(self.guided(features, prior, position), SLOPE))
        return kernels


class SpatialAttention(nn.Module):
    """Equations (5) and (6): per-location kernels filter the features, and R_o turns the result into one mask.

    `prior` and `position` say whether T_c(g) and S_c have a say in the kernels. `bounded` divides each kernel by one
    more than the sum of its absolute taps, so that filtering never enlarges the features, and scales what R_o sees as
    in `RangeMap`.
    """

    def __init__(
        self, width: int, kernel: int, *, prior: bool = True, position: bool = True, bounded: bool = False
    ) -> None:
        super().__init__()
        self.bounded, self.taps = bounded, kernel**2
        self.kernels = KernelPredictor(width, kernel, prior=prior, position=position)
        self.out = nn.Conv2d(width, 1, 3, padding=1, bias=False)
        self.reach = 3 + kernel // 2
        """Rows above and below on which a row of the result depends."""

    def forward(self, features: Tensor, prior: Tensor | None, position: Tensor | None) -> Tensor:
        """As the kernel predictor takes them, to M_s (B, 1, h, w) in (0, 1)."""
        kernels = self.kernels(features, prior, position)
        if self.bounded:
            taps = kernels.reshape(len(kernels), self.taps, -1, *kernels.shape[2:])
            kernels = (taps / (1 + taps.abs().sum(1, keepdim=True))).flatten(1, 2)
        hidden = F.leaky_relu(convolve_per_location(features, kernels), SLOPE)
        return torch.sigmoid(self.out(even(hidden) if self.bounded else hidden))


def convolve_per_location(features: Tensor, kernels: Tensor) -> Tensor:
    """Filters every channel of every pixel with a kernel of its own, borders replicated.

    Args:
        features: (B, C, h, w).
        kernels: (B, k * k * C, h, w), tap by tap in reading order, C channels each.

    Returns:
        (B, C, h, w).
    """
    channels, (height, width) = features.shape[1], features.shape[2:]
    side = round((kernels.shape[1] // channels) ** 0.5)
    half = side // 2
    padded = F.pad(features, (half, half, half, half), mode="replicate")
    # Shifted multiply-adds: unfolding would copy the map k * k times.
    taps = (padded[:, :, row : row + height, column : column + width] for row in range(side) for column in range(side))
    result = torch.zeros_like(features)
    for tap, kernel in zip(taps, kernels.chunk(side**2, dim=1), strict=True):
        result = torch.addcmul(result, tap, kernel)
    return result
