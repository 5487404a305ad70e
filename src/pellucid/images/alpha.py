"""Alpha: taken apart from the colours, the colours that it hides, and its size."""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["colours_and_alpha", "fill_hidden", "fill_hidden_in_place", "resized"]


def fill_hidden(pixels: Tensor, alpha: Tensor) -> Tensor:
    """`pixels` (B, 3, H, W) with the colours where `alpha` (B, 1, H, W) is 0 taken from the visible neighbours.

    Every hidden pixel beside visible ones gets their average, weighted by alpha; for those that are still left, the
    same is done at half the size. Visible pixels are untouched; an image that is hidden as a whole becomes black.
    """
    return pixels if bool((alpha > 0).all()) else _fill(pixels.clone(), alpha)


def fill_hidden_in_place(pixels: Tensor, alpha: Tensor) -> None:
    """`fill_hidden` into `pixels` (B, C, H, W) itself."""
    if bool((alpha <= 0).any()):
        _fill(pixels, alpha)


def colours_and_alpha(planes: Tensor) -> tuple[Tensor, Tensor | None]:
    """Planes (1, C, H, W) of grey, grey-alpha, RGB or RGBA as RGB with the hidden colours filled, and alpha if any.

    The planes themselves may be changed.
    """
    count = planes.shape[1]
    pixels = planes[:, :3] if count > 2 else planes[:, :1].repeat(1, 3, 1, 1)
    if count in (1, 3):
        return pixels, None
    alpha = planes[:, -1:]
    return _fill(pixels, alpha), alpha


def resized(alpha: Tensor, height: int, width: int) -> Tensor:
    """`alpha` (1, 1, H, W) in [0, 1] at another size; itself where that is its size."""
    if alpha.shape[-2:] == (height, width):
        return alpha
    return F.interpolate(alpha, (height, width), mode="bilinear", antialias=True).clamp_(0, 1)


def _fill(pixels: Tensor, alpha: Tensor) -> Tensor:
    """`fill_hidden` into `pixels` itself, one channel after the other, so that it takes little memory."""
    for channel in range(pixels.shape[1]):
        pixels[:, channel : channel + 1] = _filled(pixels[:, channel : channel + 1], alpha)
    return pixels


def _filled(plane: Tensor, alpha: Tensor) -> Tensor:
    """One plane (B, 1, H, W) with its hidden values filled."""
    visible = alpha > 0
    if bool(visible.all()):
        return plane
    weight = F.avg_pool2d(alpha, 3, 1, 1)
    filled = F.avg_pool2d(plane * alpha, 3, 1, 1).div_(weight.clamp_min(1e-30))
    torch.where(visible, plane, filled, out=filled)
    torch.where(visible, alpha, weight, out=weight)
    reached = weight > 0
    height, width = alpha.shape[-2:]
    if bool(reached.all()) or height == width == 1:
        return filled
    coarse = F.avg_pool2d(filled * weight, 2, ceil_mode=True, count_include_pad=False)
    weight = F.avg_pool2d(weight, 2, ceil_mode=True, count_include_pad=False)
    coarse = _filled(coarse.div_(weight.clamp_min(1e-30)), weight)
    coarse = F.interpolate(coarse, (height, width), mode="bilinear")
    return torch.where(reached, filled, coarse, out=filled)
