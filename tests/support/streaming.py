"""Pictures on the disk in bands of few rows, so that small ones have many, and how seams are measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from pellucid import scratch
from pellucid.restoration.tiles import Layout, Tiles


@contextmanager
def small_bands(size: int = 4096) -> Iterator[None]:
    """Bands of so many bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "BAND", size)
        yield


def laid_on_disk(image: Tensor) -> Tensor:
    """A copy on the disk."""
    copy = scratch.zeros_on_disk(*image.shape, dtype=image.dtype)
    copy.copy_(image)
    return copy


def seam_metric(tiled: Tensor, whole: Tensor, tiles: Tiles) -> float:
    """How much larger the steps between neighbouring pixels are at seams than they are in a picture without any.

    The mean step over every row and every column within overlaps of tiles, over that of the picture that was never cut
    at the same place; the largest of these ratios over all bands of 8 rows or columns. 1 means that nothing shows.
    """
    height, width = whole.shape[2:]
    ratios = [0.0]
    places = Layout(height, width, tiles).places
    for axis, length in ((2, height), (3, width)):
        spans = sorted({(p.top, p.bottom) if axis == 2 else (p.left, p.right) for p in places})
        steps = [image.double().diff(dim=axis).abs().mean(dim=(0, 1, 5 - axis)) for image in (tiled, whole)]
        for (_, end), (start, _) in pairwise(spans):
            for at in range(start, min(end, length - 1), 8):
                here = slice(at, min(at + 8, end, length - 1))
                ratios.append(float(steps[0][here].mean() / steps[1][here].mean().clamp_min(1e-9)))
    return max(ratios)


def psnr(one: Tensor, other: Tensor) -> float:
    """In dB, of images in [0, 1]."""
    error = float((one.double() - other.double()).square().mean())
    return float("inf") if error == 0 else float(-10 * torch.tensor(error).log10())
