"""Losses: how far a restored image is from the clean one. Each takes (restored, clean), (B, C, H, W), and returns a scalar."""

from collections.abc import Callable, Mapping

from torch import Tensor

__all__ = ["LOSSES", "absolute", "charbonnier", "squared"]


def absolute(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean absolute difference (L1)."""
    return (restored - clean).abs().mean()


def squared(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean squared difference (L2), whose minimiser has the best PSNR."""
    return (restored - clean).square().mean()


def charbonnier(restored: Tensor, clean: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(d^2 + epsilon^2), a smooth L1. Source: Lai et al., CVPR 2017 (LapSRN), section 3.3."""
    return ((restored - clean).square() + epsilon**2).sqrt().mean()


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "absolute": absolute,
    "charbonnier": charbonnier,
    "squared": squared,
}
