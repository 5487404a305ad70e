"""Alpha: taken apart from the colours, the colours that it hides, and its size."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.scratch import bands, release, zeros_beside

__all__ = ["colours_and_alpha", "fill_hidden", "fill_hidden_in_place", "resized", "visible_part"]

CELLS, CELL = 128, 8
"""The visible part is found among so many cells along a side at most, of whole blocks of so many pixels: those of
JPEG."""


def fill_hidden(pixels: Tensor, alpha: Tensor) -> Tensor:
    """`pixels` (B, 3, H, W) with the colours where `alpha` (B, 1, H, W) is 0 taken from the visible neighbours.

    Every hidden pixel beside visible ones gets their average, weighted by alpha; for those that are still left, the
    same is done at half the size. Visible pixels are untouched; an image that is hidden as a whole becomes black.
    """
    return _fill(pixels.clone(), alpha) if _hides(alpha) else pixels


def fill_hidden_in_place(pixels: Tensor, alpha: Tensor) -> None:
    """`fill_hidden` into `pixels` (B, C, H, W) itself."""
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
    side = max(1, -(-max(alpha.shape[-2:]) // (CELL * CELLS))) * CELL
    hidden = [
        F.max_pool2d((alpha[..., rows, :] <= 0).float(), side, ceil_mode=True) for rows in bands(alpha, multiple=side)
    ]
    cells = torch.cat(hidden, -2)[0, 0] == 0
    if bool(cells.all()):
        return None
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
        _fill_plane(pixels[:, channel : channel + 1], alpha)
    return pixels


def _fill_plane(plane: Tensor, alpha: Tensor) -> None:
    """Fills the hidden values of one plane (B, 1, H, W), in place: nothing hidden is ever read."""
    if not _hides(alpha):
        return
    height, width = alpha.shape[-2:]
    shape = (len(plane), 1, -(-height // 2), -(-width // 2))
    coarse, weights, far = zeros_beside(plane, *shape), zeros_beside(plane, *shape), False
    for rows in bands(plane, alpha, multiple=2):
        filled, weight = _from_neighbours(plane, alpha, rows)
        far = far or not bool((weight > 0).all())
        half = slice(rows.start // 2, -(-rows.stop // 2))
        halved = F.avg_pool2d(weight, 2, ceil_mode=True, count_include_pad=False)
        weights[..., half, :] = halved
        filled = F.avg_pool2d(filled.mul_(weight), 2, ceil_mode=True, count_include_pad=False)
        coarse[..., half, :] = filled.div_(halved.clamp_min(1e-30))
        release(coarse, weights)
    far = far and not height == width == 1
    if far:
        _fill_plane(coarse, weights)
    for rows in bands(plane, alpha):
        filled, weight = _from_neighbours(plane, alpha, rows)
        if far:
            torch.where(weight > 0, filled, _resized_rows(coarse, rows, height, width), out=filled)
        plane[..., rows, :] = filled
        release(coarse)


def _from_neighbours(plane: Tensor, alpha: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
    """Some rows of a plane whose hidden values are the mean of the visible ones around them, and how much each counts:
    0 where none is."""
    height = alpha.shape[-2]
    wide = slice(max(0, rows.start - 1), min(height, rows.stop + 1))
    inner = slice(rows.start - wide.start, rows.stop - wide.start)
    seen, values = alpha[..., wide, :], plane[..., wide, :]
    weight = F.avg_pool2d(seen, 3, 1, 1)[..., inner, :]
    filled = F.avg_pool2d(values * seen, 3, 1, 1)[..., inner, :].div_(weight.clamp_min(1e-30))
    visible = seen[..., inner, :] > 0
    torch.where(visible, values[..., inner, :], filled, out=filled)
    torch.where(visible, seen[..., inner, :], weight, out=weight)
    return filled, weight


def _resized_rows(coarse: Tensor, rows: slice, height: int, width: int) -> Tensor:
    """Some rows of a plane (B, 1, h, w) resized to height x width, bilinearly."""
    place = (torch.arange(rows.start, rows.stop) + 0.5) * (coarse.shape[-2] / height) - 0.5
    place = place.clamp(0, coarse.shape[-2] - 1)
    above = place.floor().long()
    below = (above + 1).clamp_max(coarse.shape[-2] - 1)
    part = torch.lerp(coarse[..., above, :], coarse[..., below, :], (place - above)[:, None].to(coarse.dtype))
    return F.interpolate(part, (rows.stop - rows.start, width), mode="bilinear")


def _hides(alpha: Tensor) -> bool:
    """Whether anything is hidden."""
    return any(bool((alpha[..., rows, :] <= 0).any()) for rows in bands(alpha))
