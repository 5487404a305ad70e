"""Scratches, hairs and spots of old photographs, found: a proposal of a mask, to be looked at before it is used."""

import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid import images
from pellucid.errors import SettingsError
from pellucid.images.lab import lab_of
from pellucid.images.padding import pad_around

__all__ = ["found_scratches", "proposed_mask"]

WIDEST = 7
"""Pixels that a scratch is wide at most, in a picture of a megapixel."""
LENGTH = 31
"""Pixels of a line by which it is known, likewise."""
DIRECTIONS = 16
GROWN = 200
SURE = 5.0
"""How much lighter or darker the line through a pixel must be, over the usual differences of neighbours."""
SPOT = 12.0
"""How much plainer than texture a spot must be, which no line tells from it."""
CROWDED = 0.2
"""Where more than this part of the surroundings stands out so, it is a railing, a net or leaves."""


@torch.no_grad()
def found_scratches(image: Tensor, sensitivity: float = 1.0) -> Tensor:
    """Where a picture is likely scratched: what is lighter or darker than all around it, thin, and goes on in a line,
    or is small and much lighter or darker.

    A top-hat by opening and closing finds what is thin (Serra, "Image Analysis and Mathematical Morphology", 1982); the
    mean of it along lines of sixteen directions tells lines from texture; from what is sure the rest is reached within
    what is possible (hysteresis, Canny 1986).

    Args:
        image: (1, 3, H, W) in [0, 1].
        sensitivity: 2 finds what is half as plain, 0.5 only what is twice as plain.

    Returns:
        (1, 1, H, W) bool, a pixel wider than what was found.
    """
    light = lab_of(image.float())[:, :1]
    scale = max(1.0, math.sqrt(image.shape[2] * image.shape[3] / 1e6))
    widest = max(3, round(WIDEST * min(scale, 4)) | 1)
    length = max(9, round(LENGTH * min(scale, 4)) | 1)
    found = torch.zeros_like(light, dtype=torch.bool)
    texture = _texture(light, length)
    for sign in (1.0, -1.0):
        hat = light * sign - _opened(light * sign, widest)
        lines = _along_lines(hat, length)
        # Texture, too, is thin and light: its own thin parts are subtracted, and a multiple of their spread is asked.
        usual = _around(hat, length)
        plain = (lines - usual) / (1.5 + texture)
        stands_out = (hat - usual) / (1.5 + texture)
        sure, possible = plain > SURE / sensitivity, stands_out > SURE / 2 / sensitivity
        near = F.max_pool2d((plain > SURE / 2 / sensitivity).float(), 3, 1, 1) > 0
        crowded = _around((stands_out > SURE / 4).float(), length) > CROWDED
        lines_found = _reached(sure & possible, possible & near)
        spots = _reached(stands_out > SPOT / sensitivity, stands_out > SPOT / 2 / sensitivity)
        found |= (lines_found | spots) & ~crowded
    return F.max_pool2d(found.float(), 3, 1, 1) > 0


def proposed_mask(source: Path, target: Path, sensitivity: float = 1.0, *, overwrite: bool = False) -> float:
    """Writes a mask of the scratches of a photograph, white where they are; returns which part of it is.

    Raises:
        ImageError: the photograph cannot be read, or the mask not written.
        SettingsError: the mask would be the photograph itself, or a format that smears its edges.
    """
    if target.exists() and target.samefile(source):
        raise SettingsError(f"{target}: is the photograph; give the mask another name")
    if images.SUFFIXES.get(target.suffix.lower()) not in ("png", "tiff", "bmp"):
        raise SettingsError(f"{target}: a mask must be without loss; give it the suffix .png")
    found = found_scratches(images.read(source).pixels, sensitivity).float()
    images.write(images.Photograph(found.expand(-1, 3, -1, -1), grey=True), target, overwrite=overwrite)
    return float(found.mean())


def _opened(light: Tensor, size: int) -> Tensor:
    """Erosion, then dilation, by a square."""
    pad = size // 2
    eroded = -F.max_pool2d(-pad_around(light, pad), size, 1)
    return F.max_pool2d(pad_around(eroded, pad), size, 1)


def _texture(light: Tensor, length: int) -> Tensor:
    """How much neighbours differ around each pixel, where the most differing tenth does not count, roughly."""
    padded = pad_around(light, 1)[..., 1:-1, :]
    slope = (padded[..., 2:] - padded[..., :-2]).abs() / 2
    slope = slope.clamp_max(float(slope.flatten().quantile(0.9)) if slope.numel() < 2**24 else 10.0)
    return _around(slope, length)


def _along_lines(hat: Tensor, length: int) -> Tensor:
    """The largest mean along a line through each pixel, over the directions."""
    height, width = hat.shape[2:]
    padded = pad_around(hat, length // 2)
    places = torch.arange(length) - length // 2
    best = torch.full_like(hat, -torch.inf)
    for number in range(DIRECTIONS):
        angle = math.pi * number / DIRECTIONS
        rows = ((places * math.sin(angle)).round().long() + length // 2).tolist()
        columns = ((places * math.cos(angle)).round().long() + length // 2).tolist()
        total = torch.zeros_like(hat)
        for row, column in zip(rows, columns, strict=True):  # shift by shift: a convolution would see mostly zeros
            total += padded[..., row : row + height, column : column + width]
        best = torch.maximum(best, total / length)
    return best


def _around(values: Tensor, length: int) -> Tensor:
    """Means over squares of twice the length, along columns and then along rows."""
    padded = pad_around(values, length)
    size = 2 * length + 1
    return F.avg_pool2d(F.avg_pool2d(padded, (size, 1), 1), (1, size), 1)


def _reached(seeds: Tensor, possible: Tensor) -> Tensor:
    """What is connected with the seeds within what is possible."""
    reached = seeds & possible
    for _ in range(GROWN):
        grown = (F.max_pool2d(reached.float(), 3, 1, 1) > 0) & possible
        if torch.equal(grown, reached):
            break
        reached = grown
    return reached
