"""The composite view: what a small network must see of a photograph of any size to tell how it is degraded.

Noise, blocks and blur are seen at a photograph's own resolution only, since resizing takes them away; haze, darkness
and veils of rain lie over all of it. So a view shows the whole photograph small, beside patches of it at its own
resolution.
"""

import torch
from torch import Tensor

from pellucid.images.jpeg_blocks import JPEG_BLOCK
from pellucid.priors.contract import check_image, whole_view

__all__ = ["TILES", "composite_view", "join_tiles", "native_patches", "split_tiles"]

GRID = 4
"""A composite view is a square of 4 x 4 tiles; the whole photograph takes the first 2 x 2 of them."""
PATCHES = (3, 4)
"""Rows and columns of places that the other tiles are taken from."""
TILES = PATCHES[0] * PATCHES[1]
"""Tiles at the photograph's own resolution."""


def composite_view(image: Tensor, size: int) -> Tensor:
    """The whole image and twelve patches of it: (B, 3, H, W) of any size, in [0, 1], to (B, 3, size, size), in [0, 1].

    The whole, resized to half the side with antialias, lies at the top left; the patches fill the rest row by row.

    Args:
        image: any size from 1 x 1; a side shorter than a patch is reflected.
        size: side of the view in pixels, a multiple of 4.

    Raises ValueError when `image` is not (B, 3, H, W).
    """
    tile = size // GRID
    patches = native_patches(image, *PATCHES, tile)
    return join_tiles(whole_view(image, (2 * tile, 2 * tile)), _cut(patches, tile))


def join_tiles(whole: Tensor, tiles: Tensor) -> Tensor:
    """The view (B, 3, 4t, 4t) of a whole (B, 3, 2t, 2t) and tiles (B, 12, 3, t, t); `split_tiles` goes back."""
    beside, below = _laid(tiles[:, :4], 2), _laid(tiles[:, 4:], GRID)
    return torch.cat([torch.cat([whole, beside], 3), below], 2)


def split_tiles(view: Tensor) -> tuple[Tensor, Tensor]:
    """The whole (B, 3, 2t, 2t) and the tiles (B, 12, 3, t, t) of a view (B, 3, 4t, 4t)."""
    tile = view.shape[2] // GRID
    beside, below = view[:, :, : 2 * tile, 2 * tile :], view[:, :, 2 * tile :]
    return view[:, :, : 2 * tile, : 2 * tile], torch.cat([_cut(beside, tile), _cut(below, tile)], 1)


def _cut(picture: Tensor, tile: int) -> Tensor:
    """The tiles (B, n, 3, t, t) of (B, 3, h, w), row by row."""
    count, colours, height, width = picture.shape
    cut = picture.reshape(count, colours, height // tile, tile, width // tile, tile)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def _laid(tiles: Tensor, columns: int) -> Tensor:
    """Tiles (B, n, 3, t, t) laid out row by row: (B, 3, rows * t, columns * t)."""
    count, total, colours, tile = tiles.shape[:4]
    laid = tiles.reshape(count, total // columns, columns, colours, tile, tile).permute(0, 3, 1, 4, 2, 5)
    return laid.reshape(count, colours, total // columns * tile, columns * tile)


def native_patches(image: Tensor, rows: int, columns: int, patch: int) -> Tensor:
    """Patches at the image's own resolution, spread evenly: (B, 3, H, W) to (B, 3, rows * patch, columns * patch).

    Clamped to [0, 1]. Raises ValueError when `image` is not (B, 3, H, W).
    """
    check_image(image)
    down, across = (
        _samples(side, count, patch, image.device) for side, count in zip(image.shape[2:], (rows, columns), strict=True)
    )
    return image[:, :, down[:, None], across].float().clamp(0, 1)


def _samples(side: int, count: int, patch: int, device: torch.device) -> Tensor:
    """The positions along one side that `count` patches show; a side shorter than a patch is reflected."""
    starts = torch.arange(count, device=device) * max(side - patch, 0) // max(count - 1, 1)
    # On multiples of 8 the blocks of a JPEG file lie the same way in every patch.
    positions = ((starts - starts % JPEG_BLOCK)[:, None] + torch.arange(patch, device=device)).flatten()
    # A tensor, for ONNX knows no remainder by a size that is known only when it runs.
    period = torch.full((), max(2 * side - 2, 1), device=device)
    positions = positions % period
    return torch.minimum(positions, period - positions) if side > 1 else torch.zeros_like(positions)
