"""How much of the range from black to white a photograph uses: too little where it has faded, too much where it is
clipped."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.priors.statistics import SAMPLES, luma_of
from pellucid.scratch import bands, shrunk, total

__all__ = ["Faded", "clipped_part", "find_fading"]

ENDS = (0.005, 0.995)
"""The parts of the pixels that are darker than its black, and darker than its white."""
BLACK, WHITE, LEAST = 0.15, 0.9, 45.0
"""A faded photograph has a lighter black and a darker white than these, and this severity at least."""
SHOWS, PALE = 0.3, 0.15
"""What it has at least of the range, or it shows too little to tell; and at most of colour, as the mean difference of
each pixel's channels."""
SURE_BLACK, SURE_PALE = 0.19, 0.12
"""The same where it is worth telling somebody who has not asked: one in thirty of the 185 clean photographs by which
they were chosen is called so."""
LOST = 0.55
"""The part of the range that is gone at a severity of 100, as of the degradation `fading`."""
ENOUGH = 1024
"""Pixels of the longer side at which clipping is looked for; in larger pictures blocks of pixels stand for one."""
FULL = 254 / 255
"""A value from here on is clipped."""
GLOW = 0.85
"""What surrounds light that was too bright is nearly as bright; a page or a lamp in a drawing has an edge instead."""


@dataclass(frozen=True)
class Faded:
    """The luma, 0 to 1, that black and white have in a photograph, and its colour, the mean difference of each pixel's
    channels, 0 to 1."""

    black: float
    white: float
    colour: float = 0.0

    @property
    def severity(self) -> float:
        """What is gone of the range, in percent of what a photograph loses that has faded altogether."""
        return min(100.0, 100 * (1 - (self.white - self.black)) / LOST)

    @property
    def sure(self) -> bool:
        """Whether it is worth telling somebody who has not asked."""
        return self.black > SURE_BLACK and self.colour < SURE_PALE


def find_fading(image: Tensor) -> Faded | None:
    """The ends of the range of an image (1, 3, H, W) or (3, H, W) in [0, 1], where both are far from black and white.

    A haze is bright, and a night dark: they have one end.
    """
    planes = image.detach().reshape(3, *image.shape[-2:]).float()
    pixels = planes.shape[-2] * planes.shape[-1]
    luma = luma_of(_every(planes, max(1, pixels // SAMPLES))[None, :, None]).flatten()
    black, white = torch.quantile(luma, torch.tensor(ENDS, device=luma.device)).tolist()
    faded = white - black > SHOWS and black > BLACK and white < WHITE
    if not faded or Faded(black, white).severity < LEAST:
        return None
    colour = float(total(lambda part: (part.amax(0) - part.amin(0)).sum(), planes)) / pixels
    return Faded(black, white, colour) if colour < PALE else None


def clipped_part(image: Tensor, least: float = 0.0) -> float:
    """The part, 0 to 1, of an image (1, 3, H, W) or (3, H, W) that was too bright for it, with what is around it nearly
    as bright.

    Args:
        image: the image.
        least: a smaller part may be called 0, which is quicker.
    """
    planes = image.detach().reshape(1, 3, *image.shape[-2:]).float()
    factor = max(1, max(planes.shape[2:]) // ENOUGH)
    blocks = (planes.shape[2] // factor) * (planes.shape[3] // factor)
    white = float(total(lambda part: (part.amin(1) >= FULL).count_nonzero(), planes, cached=True)) / factor**2
    if not white or white <= least * blocks:  # no more than these can be left when whole blocks are asked for
        return 0.0
    darkest = -shrunk(lambda part, factor: F.max_pool2d(-part.amin(1, keepdim=True), factor), planes, factor)
    clipped = (darkest >= FULL).float()
    # Specks are glints. What counts is three pixels wide at least.
    clipped = F.max_pool2d(-F.max_pool2d(-clipped, 3, 1, 1), 3, 1, 1)
    part = float(clipped.mean())
    if part == 0:
        return 0.0
    brightest = shrunk(F.max_pool2d, planes, factor)
    rim = F.max_pool2d(clipped, 5, 1, 2) - F.max_pool2d(clipped, 3, 1, 1)
    bright = rim * (brightest.amax(1, keepdim=True) > GLOW)
    return part if float(bright.sum()) > 0.5 * float(rim.sum()) and float(rim.sum()) > 0 else 0.0


def _every(planes: Tensor, step: int) -> Tensor:
    """Of planes (3, H, W) every pixel of that number, counted along the rows: (3, n), in memory."""
    width = planes.shape[-1]
    parts = [planes[:, rows].reshape(3, -1)[:, -rows.start * width % step :: step] for rows in bands(planes)]
    return torch.cat(parts, 1)
