"""Where a crop lies in its picture, found by looking: published training crops seldom say where they were cut.

A box is (top, left, bottom, right), as fractions of the sides of the whole picture.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Box", "find_crop", "turned_box"]

Box = tuple[float, float, float, float]

FACTORS = (1, 2, 3, 4)
"""By how much the stored whole picture may be smaller than the one that the crop was cut from."""
LEVEL = 1 / 255
"""Storing to 8 bits, rounded or truncated, changes no pixel by more than this."""
LEAST = 8
"""Crops of shorter sides, in pixels of the stored whole, are not looked for: they could lie anywhere."""


def find_crop(crop: Tensor, whole: Tensor) -> Box | None:
    """The box of a crop in its whole picture, which may have been averaged down by a whole factor of up to 4.

    Args:
        crop: (3, h, w) in [0, 1].
        whole: (3, H, W) in [0, 1].

    Returns:
        The one place where both differ by less than storing to 8 bits explains (root-mean-square); None where there is
        no such place, or where another one, more than two pixels away, is nearly as good.
    """
    small, large = crop.double().mean(0), whole.double().mean(0)
    for factor in FACTORS:
        places = list(_places(small, large, factor))
        if not places:
            continue
        tops, lefts, errors = (torch.cat(part) for part in zip(*places, strict=True))
        best = int(errors.argmin())
        top, left, error = int(tops[best]), int(lefts[best]), float(errors[best])
        elsewhere = errors[((tops - top).abs() > 2 * factor) | ((lefts - left).abs() > 2 * factor)]
        if error <= LEVEL**2 and (elsewhere > 2 * error + 0.01 * LEVEL**2).all():
            height, width = (factor * side for side in large.shape)
            return top / height, left / width, (top + small.shape[0]) / height, (left + small.shape[1]) / width
    return None


def turned_box(box: Box, turns: int, mirrored: bool) -> Box:
    """The box after `torch.rot90(picture, turns)` and then, if mirrored, a flip of left and right."""
    top, left, bottom, right = box
    for _ in range(turns):
        top, left, bottom, right = 1 - right, top, 1 - left, bottom
    return (top, 1 - right, bottom, 1 - left) if mirrored else (top, left, bottom, right)


def _places(crop: Tensor, whole: Tensor, factor: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Tops and lefts in pixels of the crop's scale, and the mean squared difference there; (N,) each.

    The cells that were averaged start at multiples of the factor, so each offset of the crop to them is tried by
    itself.
    """
    if min(crop.shape) < factor * (LEAST + 1):
        return
    for above in range(factor):
        for before in range(factor):
            inner = F.avg_pool2d(crop[None, above:, before:], factor)[0]
            if inner.shape[0] > whole.shape[0] or inner.shape[1] > whole.shape[1]:
                continue
            errors = _squared_differences(inner, whole)
            tops = factor * torch.arange(errors.shape[0])[:, None] - above
            lefts = factor * torch.arange(errors.shape[1]) - before
            inside = (tops >= 0) & (lefts >= 0)
            yield tops.expand_as(errors)[inside], lefts.expand_as(errors)[inside], errors[inside]


def _squared_differences(crop: Tensor, whole: Tensor) -> Tensor:
    """The mean squared difference at every place where the crop fits, by three sums, one of them a correlation."""
    height, width = crop.shape
    rows, columns = whole.shape[0] - height + 1, whole.shape[1] - width + 1
    spectrum = torch.fft.rfft2(whole) * torch.fft.rfft2(crop, s=whole.shape).conj()
    product = torch.fft.irfft2(spectrum, s=whole.shape)[:rows, :columns] / crop.numel()
    sums = F.pad(whole.square().cumsum(0).cumsum(1), (1, 0, 1, 0))
    squares = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    difference: Tensor = squares / crop.numel() - 2 * product + crop.square().mean()
    return difference.clamp_min(0)
