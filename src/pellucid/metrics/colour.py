"""The brightness planes that numbers are computed on."""

import torch
from torch import Tensor

__all__ = ["grey", "luma"]

BT601 = (65.481, 128.553, 24.966)


def luma(image: Tensor) -> Tensor:
    """The BT.601 luma in [16, 235] / 255 of (B, 3, H, W) RGB in [0, 1], as float64 (B, 1, H, W), unrounded.

    This is Y of MATLAB's `rgb2ycbcr` for floating-point input. The full-range luma (0.299, 0.587, 0.114) gives a PSNR
    1.32 dB lower and is not what the tables hold. Raises ValueError unless there are three channels.
    """
    if image.ndim != 4 or image.shape[1] != 3:
        raise ValueError(f"expected RGB pictures of shape (B, 3, H, W), got {tuple(image.shape)}")
    plane = torch.full_like(image[:, :1], 16 / 255, dtype=torch.float64)
    for channel, weight in enumerate(BT601):
        plane += image[:, channel : channel + 1].to(torch.float64) * (weight / 255)
    return plane


def grey(image: Tensor) -> Tensor:
    """One full-range brightness plane, float64 (B, 1, H, W), of (B, 3, H, W) RGB; one channel is its own plane."""
    if image.ndim == 4 and image.shape[1] == 1:
        return image.to(torch.float64)
    return (luma(image) * 255 - 16) / 219
