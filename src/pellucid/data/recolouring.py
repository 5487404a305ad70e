"""Photographs in other colours: what has one colour is given another, and the lightness stays.

Sentences about colours must be learnt from more than the few hundred photographs that there are, and a red sky must be
paintable though none was photographed. So the pixels near one colour of a photograph move, all by the same step in
CIELAB, to another; what else is there stays.
"""

import math

import torch
from torch import Tensor

from pellucid.images.lab import lab_of, paler_until_real, rgb_of

__all__ = ["recoloured"]


def recoloured(image: Tensor, generator: torch.Generator) -> Tensor:
    """A picture (3, H, W) in [0, 1] with one or two of its colours, or all of them, changed; same lightness."""
    lab = lab_of(image[None])
    drawn = float(torch.rand((), generator=generator))
    if drawn < 0.25:
        lab = _turned(lab, generator)
    else:
        for _ in range(1 if drawn < 0.7 else 2):
            lab = _moved(lab, generator)
    return rgb_of(paler_until_real(lab))[0].clamp(0, 1)


def _turned(lab: Tensor, generator: torch.Generator) -> Tensor:
    """All hues by one angle, and all chromas by one factor."""
    angle, factor = torch.rand(2, generator=generator).tolist()
    turn, factor = 2 * math.pi * angle, 0.6 + 1.2 * factor
    a, b = lab[:, 1], lab[:, 2]
    turned = torch.stack([a * math.cos(turn) - b * math.sin(turn), a * math.sin(turn) + b * math.cos(turn)], 1)
    return torch.cat([lab[:, :1], turned * factor], 1)


def _moved(lab: Tensor, generator: torch.Generator) -> Tensor:
    """The pixels whose colour and lightness are near those of one of them, by the step that brings that one to a colour
    that is drawn; perhaps those in one part of the picture alone."""
    height, width = lab.shape[2:]
    row, column, angle, chroma, part = torch.rand(5, generator=generator).tolist()
    row, column = int(row * height), int(column * width)
    seed = lab[:, :, row, column][:, :, None, None]
    away = (lab[:, 1:] - seed[:, 1:]).square().sum(1, keepdim=True) / 18**2
    away = away + (lab[:, :1] - seed[:, :1]).square() / 40**2
    if part < 0.6:
        rows = (torch.arange(height).view(-1, 1) - row) / height
        columns = (torch.arange(width) - column) / width
        away = away + (rows.square() + columns.square()) / 0.45**2
    weight = torch.exp(-0.5 * away)
    hue, chroma = 2 * math.pi * angle, 12 + 48 * chroma
    target = torch.tensor([chroma * math.cos(hue), chroma * math.sin(hue)]).view(1, 2, 1, 1)
    # Those near it all get its new hue, with what they differed by: a shaded leaf stays a shaded leaf.
    return torch.cat([lab[:, :1], lab[:, 1:] + weight * (target - seed[:, 1:])], 1)
