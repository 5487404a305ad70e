"""Where the blocks of a JPEG begin: a photograph that was cropped since it was compressed has them anywhere.

What has learnt from whole JPEGs knows their 8 x 8 blocks by their place, and would overlook them elsewhere.
"""

import torch
from torch import Tensor

from pellucid.images.jpeg_blocks import JPEG_BLOCK
from pellucid.priors.statistics import luma_of

__all__ = ["block_offset", "from_first_block"]

LARGEST = 0.03
"""Beyond this a step is an edge of what is shown, and counts no more than this."""

SURE = 3.0
"""Standard errors by which the steps between blocks must exceed the others, along rows and along columns."""

SMALLEST, ENOUGH = 3 * JPEG_BLOCK, 128 * JPEG_BLOCK
"""Pixels of a side: below the first a few steps would decide; of more than the second the middle is looked at."""


def block_offset(image: Tensor) -> tuple[int, int]:
    """Rows and columns before the first whole block, 0 to 7 each; (0, 0) where no blocks show.

    Between two blocks the brightness steps, by a little and everywhere. So the step between neighbouring pixels, less
    the mean of the steps on both sides of it, is taken for each row and column; those of one of the eight places must
    exceed the others. Compare Fan and de Queiroz, "Identification of Bitmap Compression History" (IEEE TIP 2003),
    section II.

    Args:
        image: (1, 3, H, W) or (3, H, W) in [0, 1], any size.
    """
    height, width = image.shape[-2:]
    top, left = (max(0, length - ENOUGH) // 2 // JPEG_BLOCK * JPEG_BLOCK for length in (height, width))
    part = image.reshape(1, 3, height, width)[:, :, top : top + ENOUGH, left : left + ENOUGH]
    luma = luma_of(part)[0, 0]
    found = [_offset(luma), _offset(luma.T)]
    return (found[0][0], found[1][0]) if min(sure for _, sure in found) >= SURE else (0, 0)


def from_first_block(image: Tensor) -> Tensor:
    """The image (..., H, W) without what lies above and left of its first whole block."""
    down, across = block_offset(image)
    return image[..., down:, across:]


def _offset(luma: Tensor) -> tuple[int, float]:
    """Where blocks begin along the rows of (H, W), and by how many standard errors that is the likeliest place."""
    if len(luma) < SMALLEST:
        return 0, 0.0
    steps = luma.diff(dim=0).abs()
    excess = (steps[1:-1] - (steps[:-2] + steps[2:]) / 2).clamp(-LARGEST, LARGEST).mean(1)
    place = (torch.arange(len(excess), device=luma.device) + 2) % JPEG_BLOCK  # excess[n] is of the step to row n + 2
    sure = []
    for offset in range(JPEG_BLOCK):
        between, within = excess[place == offset], excess[place != offset]
        error = (between.var() / len(between) + within.var() / len(within)).sqrt()
        sure.append(float((between.mean() - within.mean()) / (error + 1e-6)))
    best = max(range(JPEG_BLOCK), key=sure.__getitem__)
    return best, sure[best]
