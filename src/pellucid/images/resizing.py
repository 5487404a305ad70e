"""The size of a picture changed by the bicubic kernel, as the tables of super-resolution have it."""

from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["bicubic"]


def bicubic(image: Tensor, height: int, width: int, *, stored: bool = False) -> Tensor:
    """An image (..., H, W) at another size, by the cubic kernel of Keys with a = -0.5.

    Pixels are areas, so their centres lie at half numbers. Making smaller, the kernel is as many times wider, so that
    nothing aliases; beyond the edges the outermost pixels go on. So MATLAB's `imresize` does it, and so Set5, Set14 and
    other sets of super-resolution were made small: with `stored` their files come out.

    Source: Keys, "Cubic convolution interpolation for digital image processing" (IEEE TASSP 1981), equation 15; the
    edges and `stored` are what the published files show.

    Args:
        image: float32 or float64, in [0, 1]; of any size from 1 x 1.
        height: of the result, 1 at least.
        width: likewise.
        stored: clip and round to 8 bits after the rows and again after the columns, as for a picture of 8 bits.

    Returns:
        Values that are not clipped, unless they are `stored`.
    """
    for dimension, length in ((-2, height), (-1, width)):
        image = _along(image, dimension, length)
        if stored:
            image = (image.clamp(0, 1) * 255 + 1e-4).round() / 255  # halves up, as MATLAB rounds them
    return image


def _along(image: Tensor, dimension: int, length: int) -> Tensor:
    """One side at another length."""
    if image.shape[dimension] == length:
        return image
    places, weights = _taps(image.shape[dimension], length)
    shape = list(image.shape)
    shape[dimension] = length
    result = image.new_zeros(shape)
    column = (length, 1) if dimension == -2 else (length,)
    for place, weight in zip(places.to(image.device), weights.to(image), strict=True):
        result.addcmul_(image.index_select(dimension, place), weight.view(column))
    return result


@lru_cache(maxsize=64)
def _taps(length: int, target: int) -> tuple[Tensor, Tensor]:
    """For each pixel of the result the pixels that it is made of, int64 (taps, target), and how much each counts."""
    ratio = length / target
    width = max(1.0, ratio)
    centre = (torch.arange(target, dtype=torch.float64) + 0.5) * ratio - 0.5
    places = torch.floor(centre - 2 * width).long() + torch.arange(int(4 * width) + 2)[:, None]
    weights = _cubic((places - centre) / width)
    return places.clamp(0, length - 1), weights / weights.sum(0)


def _cubic(distance: Tensor) -> Tensor:
    """Keys' kernel with a = -0.5."""
    near, far = distance.abs(), distance.abs().clamp(max=2)
    return torch.where(near <= 1, 1.5 * near**3 - 2.5 * near**2 + 1, -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2)
