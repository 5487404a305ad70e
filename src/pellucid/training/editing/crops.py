"""Crops of the clean photographs of a source, for training that degrades them in its own way."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.data.sources import Source, Synthetic, random_below, turned
from pellucid.errors import DataError

__all__ = ["chosen", "clean_parts", "crop_of", "uniform"]


def clean_parts(source: Source) -> list[Synthetic]:
    """The sources of clean photographs that a source is made of.

    Raises:
        DataError: there are none, or there are pairs.
    """
    parts = source.parts()
    clean = [part for part in parts if isinstance(part, Synthetic)]
    if not len(source) or len(clean) != len(parts):
        raise DataError("editing learns from clean photographs (data.folder), not from pairs")
    return clean


def chosen(parts: list[Synthetic], generator: torch.Generator) -> Tensor:
    """One of all the photographs, (3, H, W), each as probable as any other."""
    number = random_below(sum(len(part) for part in parts), generator)
    for part in parts:
        if number < len(part):
            return part.photographs[number]
        number -= len(part)
    raise AssertionError


def crop_of(photograph: Tensor, height: int, width: int, resized: float, generator: torch.Generator) -> Tensor:
    """A part of a photograph (3, height, width), mirrored at random; in part of the cases it is made smaller first.

    Args:
        photograph: (3, H, W), any size; one that is too small is made larger.
        height, width: of the result.
        resized: probability that it is made smaller, by up to 2 where there is room.
        generator: of all draws.
    """
    rows, columns = photograph.shape[1:]
    least = max(height / rows, width / columns)
    factor = max(least, 1.0)
    if uniform(generator) < resized:
        factor = max(least, 1 - 0.5 * uniform(generator))
    if factor != 1:
        size = (max(height, round(rows * factor)), max(width, round(columns * factor)))
        photograph = F.interpolate(photograph[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)
    top, left = (
        random_below(length - wanted + 1, generator)
        for length, wanted in zip(photograph.shape[1:], (height, width), strict=True)
    )
    part = photograph[:, top : top + height, left : left + width]
    return turned(part, 0, uniform(generator) < 0.5).contiguous()


def uniform(generator: torch.Generator) -> float:
    """A number in [0, 1)."""
    return float(torch.rand((), generator=generator))
