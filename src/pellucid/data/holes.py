"""Holes in pictures, drawn: strokes of a brush, and the scratches, hairs and spots of old prints.

Irregular masks of random strokes are how networks that fill are trained and compared since Liu et al. ("Image
Inpainting for Irregular Holes Using Partial Convolutions", ECCV 2018, arXiv 1804.07723, section 4) and Yu et al. (arXiv
1806.03589, section 3.4, whose strokes with random turns these follow).
"""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Holes", "drawn_holes"]

Holes = Literal["strokes", "scratches", "mixed"]


def drawn_holes(
    height: int,
    width: int,
    generator: torch.Generator,
    *,
    share: tuple[float, float] = (0.01, 0.4),
    kind: Holes = "mixed",
) -> Tensor:
    """A mask (1, height, width), bool, true where the picture is missing.

    Args:
        height, width: of the picture, in pixels.
        generator: of all draws.
        share: the least and the largest part that is missing; drawn between them. Scratches end at a tenth.
        kind: thick strokes and blots; thin scratches and spots; or either, scratches one time in four.
    """
    if kind == "mixed":
        kind = "scratches" if _uniform(0, 1, generator) < 0.25 else "strokes"
    low, high = share if kind == "strokes" else (min(share[0], 0.1), min(share[1], 0.1))
    wanted = _uniform(low, high, generator) * height * width
    missing = torch.zeros(height, width, dtype=torch.bool)
    side = math.sqrt(height * width)
    for _ in range(400):
        left = wanted - float(missing.sum())
        if left <= 0:
            break
        drawn = missing | _stroke(height, width, side, kind, left, generator)
        if float(drawn.sum()) <= high * height * width or not bool(missing.any()):
            missing = drawn
    return missing[None]


def _stroke(height: int, width: int, side: float, kind: str, left: float, generator: torch.Generator) -> Tensor:
    if kind == "strokes":
        thick = _uniform(0.03, 0.14, generator) * side
        points = _walk(height, width, side, int(_uniform(1, 7, generator)), 0.25, 2.2, generator)
        if left < 0.04 * side**2:
            thick, points = min(thick, math.sqrt(left)), points[:3]
    elif _uniform(0, 1, generator) < 0.3:  # a spot
        thick = _uniform(1.5, max(2.0, 0.03 * side), generator)
        points = _walk(height, width, side, 1, 0.01, 1.0, generator)
    else:
        thick = _uniform(1.0, max(1.5, 0.012 * side), generator)
        points = _walk(height, width, side, int(_uniform(2, 8, generator)), 0.2, 0.5, generator)
    return _near(points, thick / 2, height, width)


def _walk(
    height: int, width: int, side: float, count: int, length: float, turn: float, generator: torch.Generator
) -> Tensor:
    """Points (count + 1, 2) of a line that goes on and turns at random: rows and columns."""
    place = torch.rand(2, generator=generator) * torch.tensor([float(height), float(width)])
    angle, points = _uniform(0, 2 * math.pi, generator), [place]
    for _ in range(count):
        step = _uniform(0.3, 1.0, generator) * length * side
        place = place + step * torch.tensor([math.sin(angle), math.cos(angle)])
        points.append(place)
        angle += _uniform(-turn, turn, generator)
    return torch.stack(points)


def _near(points: Tensor, radius: float, height: int, width: int) -> Tensor:
    """Where (height, width) is within `radius` pixels of the line through these points."""
    near = torch.zeros(height, width, dtype=torch.bool)
    for begin, end in pairwise(points):
        top, left = (int(value) for value in (torch.minimum(begin, end) - radius).floor().clamp_min(0))
        bottom, right = (int(value) + 1 for value in (torch.maximum(begin, end) + radius).ceil())
        rows = torch.arange(top, max(top, min(bottom, height)), dtype=torch.float32)[:, None]
        columns = torch.arange(left, max(left, min(right, width)), dtype=torch.float32)
        if not rows.numel() or not columns.numel():
            continue
        along = end - begin
        part = ((rows - begin[0]) * along[0] + (columns - begin[1]) * along[1]) / along.square().sum().clamp_min(1e-6)
        part = part.clamp(0, 1)
        away = (rows - begin[0] - part * along[0]).square() + (columns - begin[1] - part * along[1]).square()
        near[top : top + rows.shape[0], left : left + columns.shape[0]] |= away <= radius**2
    return near


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
