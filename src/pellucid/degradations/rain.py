"""Rain: streaks at several distances, and the haze of those that are too far to be seen apart.

The model of Yang et al., "Deep joint rain detection and removal from a single image", CVPR 2017 (arXiv 1609.07769, eq.
2): several layers of streaks of different kinds lie over the scene, under a veil of accumulated rain. Drops blur with
their fall to half-transparent streaks brighter than what is behind them (Garg and Nayar, "Vision and rain", IJCV 75(1),
2007).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.degradations.precipitation import Precipitation, uniform_from
from pellucid.errors import SettingsError

__all__ = ["Rain"]

# Near, middle, far: length and width as parts of the middle one's, opacity, and the part of the rain's energy.
_LAYERS = ((2.0, 1.8, 0.6, 0.25), (1.0, 1.0, 1.0, 0.5), (0.45, 0.6, 0.7, 0.25))

_HEAVIEST = 0.135
"""The mean of the squared optical depth of the streaks at amount 100."""

_LONGEST = 1.6
"""How long the longest streak of a layer is, as a multiple of the mean."""

_STREAKS = 4096
"""Streaks that are drawn at a time."""


@dataclass(frozen=True)
class Rain(Precipitation):
    """Rain, from a few streaks (input PSNR of about 27 dB at amount 20) to a downpour (13 dB at 100).

    Severity: the amount. The root-mean-square error grows about in proportion to it, whatever else is set or drawn.

    Args:
        amount: 0..100.
        length: of streaks at middle distance, in pixels, 0..200; 0 draws it, 14 to 60.
        angle: mean slant of the streaks from the vertical, in degrees, -45..45; positive leans to the right at the top.
        spread: how far a direction may lie from `angle`, in degrees, 0..45; the slant stays within 60 degrees.
        directions: number of directions at once, 1..5; 0 draws it, one being the most likely.
    """

    kind: ClassVar[str] = "rain"
    name: ClassVar[str] = "rain"
    bounds: ClassVar[tuple[tuple[str, float, float], ...]] = (
        ("amount", 0, 100),
        ("length", 0, 200),
        ("angle", -45, 45),
        ("spread", 0, 45),
    )

    length: float = 0.0
    angle: float = 0.0
    spread: float = 30.0
    directions: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.directions, int) or self.directions not in range(6):
            raise SettingsError(f"rain: directions must be 0 (drawn) or 1 to 5, got {self.directions}")

    def _fallen(self, picture: Tensor, generator: torch.Generator) -> Tensor:
        drawn = uniform_from(generator)
        height, width = picture.shape[-2:]
        directions = self.directions
        if directions == 0:
            directions = 1 if drawn(0, 1) < 0.6 else int(torch.randint(2, 6, (), generator=generator))
        length = self.length or 14 * (60 / 14) ** drawn(0, 1)
        # Short and thick would be hail.
        thickness = drawn(0.4, min(0.9, 0.4 + length / 70))
        # Faint streaks are many for the same strength: in heavy rain they would be a grey wall, and slow to draw.
        opacity = drawn(0.25 + 0.4 * self.amount / 100, 1.0)
        density = _HEAVIEST * (self.amount / 100) ** 2 / directions
        slants = [max(-60.0, min(60.0, self.angle + drawn(-self.spread, self.spread))) for _ in range(directions)]
        depth = torch.zeros(height, width)
        for longer, wider, denser, part in _LAYERS:
            sigma = thickness * wider
            # The margin holds what the softening brings into the picture.
            margin = math.ceil(3 * sigma)
            layer = torch.zeros(height + 2 * margin, width + 2 * margin)
            for slant in slants:
                _Streaks(length * longer, slant, sigma, opacity * denser).fall(layer, density * part, generator)
            depth += _softened(layer, sigma, margin)
        veil = drawn(0, 0.35) * self.amount / 100
        light = drawn(0.8, 1.0)
        # Rain in front of rain lets through the product of what each lets through.
        transmission = (torch.exp(-depth) * (1 - veil)).to(picture)
        return light + (picture - light) * transmission


@dataclass(frozen=True)
class _Streaks:
    """Streaks of one distance and direction: lengths in pixels, the slant in degrees from the vertical.

    They are drawn as lines, whose cross-section still has to be softened by a Gaussian of `sigma`.
    """

    length: float
    slant: float
    sigma: float
    opacity: float

    def fall(self, layer: Tensor, density: float, generator: torch.Generator) -> None:
        """Adds streaks to the layer (H, W), until the mean of its squares, once softened, grows by the density."""
        height, width = layer.shape
        turn = math.radians(self.slant)
        rows = max(1.0, self.length * math.cos(turn))
        lean = rows * abs(math.tan(turn))
        # A line between two pixels is shared by them, which widens it.
        thickness = math.sqrt(self.sigma**2 + 1 / 6)
        # 2/3 for the fading of both ends, 13/12 for the spread of the opacities, the rest for the Gaussian
        # cross-section.
        single = self.length * self.opacity**2 * (2 / 3) * (13 / 12) * thickness * math.sqrt(math.pi)
        # Streaks that begin above or beside the picture reach into it.
        tall, wide = height + _LONGEST * rows, width + _LONGEST * lean
        count = int(density * tall * wide / single + float(torch.rand((), generator=generator)))
        random = torch.rand(5, count, generator=generator)
        streaks = torch.stack(
            [
                random[0] * tall - _LONGEST * rows,
                random[1] * wide - (_LONGEST * lean if turn > 0 else 0.0),
                torch.tan(torch.deg2rad(self.slant + 4 * (random[2] - 0.5))),
                (rows * (2 - _LONGEST + 2 * (_LONGEST - 1) * random[3])).clamp(min=1).round(),
                self.opacity * (0.5 + random[4]) * thickness * math.sqrt(2 * math.pi) / math.cos(turn),
            ]
        )
        # Few at a time, so that they stay in the processor's cache.
        for some in torch.split(streaks, _STREAKS, dim=1):
            _draw(layer, some)


def _draw(layer: Tensor, streaks: Tensor) -> None:
    """Adds streaks (5, N) to the layer (H, W): top, place of the foot, tangent of the slant, rows, weight of a row."""
    height, width = layer.shape
    spans = streaks[3].long()
    top, foot, tangent, rows, weight = streaks.repeat_interleave(spans, dim=1)
    step = torch.arange(len(rows)) - (spans.cumsum(0) - spans).repeat_interleave(spans)
    along = (step + 0.5) / rows
    # A moving drop covers the ends of its path for a shorter time than the middle.
    weight = weight * (4 * torch.minimum(along, 1 - along)).clamp(max=1)
    row = top.floor().long() + step
    place = foot + tangent * (rows - step)
    column = place.floor()
    share = place - column
    column = column.long()
    for pixel, part in ((column, 1 - share), (column + 1, share)):
        inside = ((row >= 0) & (row < height) & (pixel >= 0) & (pixel < width)).nonzero()[:, 0]
        layer.view(-1).index_add_(0, (row * width + pixel)[inside], (weight * part)[inside])


def _softened(layer: Tensor, sigma: float, margin: int) -> Tensor:
    """The layer under a Gaussian, less the margin on every side, beyond which that does not reach."""
    places = torch.arange(-margin, margin + 1)
    profile = torch.exp(-((places / sigma) ** 2) / 2)
    profile /= profile.sum()
    return F.conv2d(F.conv2d(layer[None, None], profile[None, None, None]), profile[None, None, :, None])[0, 0]
