"""Snow: flakes at several distances, some blurred by their fall, the near ones out of focus, under a slight veil.

The layers (fine and dense, middle, large and few, half-transparent) are those that Liu et al., "DesnowNet:
context-aware deep network for snow removal", IEEE TIP 27(6), 2018 (arXiv 1708.04512) tell apart; the veil is that of
Chen et al., "JSTASR", ECCV 2020.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pellucid.degradations.precipitation import Precipitation, uniform_from
from pellucid.errors import SettingsError

__all__ = ["Snow"]

# Far, middle, near, and near out of focus: diameter as a part of the middle one's, softness of the edge (part of the
# radius over which it fades), opacity, and the part of the snow's energy.
_LAYERS = ((0.5, 0.9, 0.8, 0.25), (1.0, 0.8, 0.9, 0.4), (2.0, 0.7, 0.8, 0.2), (4.5, 0.6, 0.3, 0.15))

_HEAVIEST = 0.15
"""The mean of the squared optical depth of the flakes at amount 100."""

_EDGE = 1.25
"""Where a flake ends, in radii."""

_OVAL = 0.2
"""How much longer or shorter than the radius a flake that is not round is, as a part of it."""

_PATCHES = 30_000
"""Pixels that are drawn at a time."""


@dataclass(frozen=True)
class Snow(Precipitation):
    """Snowfall, from a few flakes to a blizzard (input PSNR of about 28 dB at amount 20, 13 dB at 100).

    Severity: the amount. The root-mean-square error grows about in proportion to it, whatever else is set or drawn.

    Args:
        amount: 0..100.
        size: diameter of flakes at middle distance, in pixels, 0..40; 0 draws it, 3 to 10.
        wind: length of the streaks that falling flakes leave, as a multiple of their diameter, 0..10; each flake moves
            by up to this; -1 draws it, 0 to 2.5.
    """

    kind: ClassVar[str] = "snow"
    name: ClassVar[str] = "snow"
    bounds: ClassVar[tuple[tuple[str, float, float], ...]] = (("amount", 0, 100), ("size", 0, 40))

    size: float = 0.0
    wind: float = -1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.wind == -1 or 0 <= self.wind <= 10):
            raise SettingsError(f"snow: wind must lie in 0..10, or be -1 (drawn), got {self.wind:g}")

    def _fallen(self, picture: Tensor, generator: torch.Generator) -> Tensor:
        drawn = uniform_from(generator)
        height, width = picture.shape[-2:]
        # In heavy snow the smallest flakes would be very many.
        smallest = 3 + 2 * self.amount / 100
        size = self.size or smallest * (10 / smallest) ** drawn(0, 1)
        wind = drawn(0, 1) ** 2 * 2.5 if self.wind == -1 else self.wind
        slant = math.radians(drawn(-50, 50))
        energy = _HEAVIEST * (self.amount / 100) ** 2 * height * width
        depth = torch.zeros(height, width)
        for larger, softness, opacity, part in _LAYERS:
            flakes = _Flakes(size * larger, softness, opacity, wind * size * larger, slant)
            flakes.fall(depth, energy * part, generator)
        veil = drawn(0, 0.25) * self.amount / 100
        light = drawn(0.85, 1.0)
        # A flake in front of another lets through the product of what each lets through.
        transmission = (torch.exp(-depth) * (1 - veil)).to(picture)
        return light + (picture - light) * transmission


@dataclass(frozen=True)
class _Flakes:
    """Flakes at one distance: lengths in pixels, the slant in radians from the vertical."""

    diameter: float
    softness: float
    opacity: float
    path: float
    slant: float

    def fall(self, depth: Tensor, energy: float, generator: torch.Generator) -> None:
        """Adds flakes to the plane of optical depth (H, W), so many that their sum of squares is about the energy."""
        height, width = depth.shape
        radius = self.diameter / 2
        area = max(math.pi * radius**2 * (1 - 0.6 * self.softness), 0.5)
        reach_x, reach_y = self._reach(1.5 * radius, self.path / 2)
        # Flakes whose middle lies outside reach into the picture.
        tall, wide = height + 2 * reach_y, width + 2 * reach_x
        expected = energy / (area * self.opacity**2) * (tall * wide) / (height * width)
        count = int(expected + float(torch.rand((), generator=generator)))
        random = torch.rand(6, count, generator=generator)
        flakes = torch.stack(
            [
                random[0] * wide - reach_x,
                random[1] * tall - reach_y,
                radius * (0.5 + random[2]),
                (self.path / 2 * random[3]).clamp(min=1e-3),
                self.opacity * (0.6 + 0.8 * random[4]),
                2 * math.pi * random[5],
            ]
        )
        # Flakes of like extent together, in patches just large enough; few at a time, so that they stay in the cache.
        flakes = flakes[:, (flakes[2] + flakes[3]).argsort()][..., None, None]
        end = count
        while end > 0:
            reach_x, reach_y = self._reach(float(flakes[2, :end].max()), float(flakes[3, :end].max()))
            start = max(0, end - max(1, _PATCHES // ((2 * reach_x + 1) * (2 * reach_y + 1))))
            self._draw(depth, flakes[:, start:end])
            end = start

    def _reach(self, radius: float, half: float) -> tuple[int, int]:
        """How far a flake of that radius, falling by `half` on either side, reaches from its middle: across, down."""
        around = radius * (_EDGE + _OVAL) + 0.5
        return (
            math.ceil(around + half * abs(math.sin(self.slant))),
            math.ceil(around + half * math.cos(self.slant)),
        )

    def _draw(self, depth: Tensor, flakes: Tensor) -> None:
        """Adds the flakes (6, N, 1, 1) to the plane (H, W): middle x and y, radius, half the path, opacity, turn."""
        height, width = depth.shape
        centre_x, centre_y, radii, half, opacities, turns = flakes
        reach_x, reach_y = self._reach(float(radii.max()), float(half.max()))
        across_patch, down_patch = torch.arange(-reach_x, reach_x + 1), torch.arange(-reach_y, reach_y + 1)[:, None]
        column, row = centre_x.round(), centre_y.round()
        x, y = across_patch + (column - centre_x), down_patch + (row - centre_y)
        along = x * math.sin(self.slant) + y * math.cos(self.slant)
        across = x * math.cos(self.slant) - y * math.sin(self.slant)
        # How far a place lies from the path; flakes large enough to have a shape are not quite round.
        beyond = (along.abs() - half).clamp_(min=0).copysign_(along)
        distance = beyond.square().addcmul_(across, across).sqrt_()
        if self.diameter > 3:
            sine = (across * turns.cos()).addcmul_(beyond, turns.sin()).div_(distance + 1e-6)
            distance.div_(sine.square_().mul_(2 * _OVAL).add_(1 - _OVAL))
        inside = (_EDGE - distance.div_(radii.clamp(min=0.6))).div_(1.5 * self.softness).clamp_(0, 1)
        # What moves covers a place only while it passes: the longer the path the fainter, and at its ends least.
        outer = radii * (_EDGE + _OVAL)
        passing = torch.minimum(along + outer, half) - torch.maximum(along.sub_(outer), -half)
        # A place off the middle of the path is passed by a part of the flake that is shorter than its diameter.
        shorter = (1 + (half / outer).clamp(max=1)).rsqrt()
        weight = (3 - 2 * inside).mul_(inside.square_()).mul_(opacities * shorter)
        weight.mul_(passing.div_(2 * half).clamp_(0, 1).sqrt_())
        columns, rows = across_patch + column.long(), down_patch + row.long()
        seen = ((rows >= 0) & (rows < height)) & ((columns >= 0) & (columns < width)) & (weight > 0)
        chosen = seen.flatten().nonzero()[:, 0]
        places = (row * width + column).long() + (down_patch * width + across_patch)
        depth.view(-1).index_add_(0, places.flatten()[chosen], weight.flatten()[chosen])
