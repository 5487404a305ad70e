"""Alpha: taken apart from the colours, the colours that it hides, and its size."""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["colours_and_alpha", "fill_hidden", "fill_hidden_in_place", "resized", "visible_part"]

CELLS, CELL = 128, 8
"""The visible part is found among so many cells along a side at most, of whole blocks of so many pixels: those of
JPEG."""


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


def visible_part(alpha: Tensor) -> tuple[slice, slice] | None:
    """Rows and columns of a large rectangle in which nothing is hidden; None where nothing is, or no such rectangle is.

    It is the largest one of whole cells, of 8 pixels or a few times that, so that the blocks of a JPEG stay in place.

    Args:
        alpha: (1, 1, H, W) in [0, 1]; what is 0 is hidden.
    """
    hidden = alpha <= 0
    if not bool(hidden.any()):
        return None
    side = max(1, -(-max(alpha.shape[-2:]) // (CELL * CELLS))) * CELL
    cells = F.max_pool2d(hidden.float(), side, ceil_mode=True)[0, 0] == 0
    top, left, bottom, right = _largest_rectangle(cells.tolist())
    height, width = alpha.shape[-2:]
    rows, columns = slice(top * side, min(bottom * side, height)), slice(left * side, min(right * side, width))
    return (rows, columns) if bottom > top and right > left else None


def _largest_rectangle(cells: list[list[bool]]) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of the largest rectangle of true cells; zeros where none is true."""
    best, largest = (0, 0, 0, 0), 0
    heights = [0] * len(cells[0])
    for row, line in enumerate(cells):
        heights = [height + 1 if cell else 0 for height, cell in zip(heights, line, strict=True)]
        begun: list[tuple[int, int]] = []  # where a height began that still lasts, the lowest first
        for column, height in enumerate([*heights, 0]):
            start = column
            while begun and begun[-1][1] >= height:
                start, lasted = begun.pop()
                if lasted * (column - start) > largest:
                    largest, best = lasted * (column - start), (row + 1 - lasted, start, row + 1, column)
            begun.append((start, height))
    return best


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
