"""Rain as photographs are retouched to show it: specks blurred along straight lines, added to the scene.

The second rendering of Yang et al., "Deep joint rain detection and removal from a single image", CVPR 2017 (arXiv
1609.07769): sharp lines along a direction that varies little within a picture, in heavy rain in five directions at
once. It is what the rain of Rain100H and its training set looks like, by a witness: of all renderings tried, a network
that was trained on that set takes this one away best (EXPERIMENTS.md 21).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pellucid.degradations.kernels import convolve, line_kernel
from pellucid.degradations.precipitation import Precipitation, uniform_from
from pellucid.errors import SettingsError

__all__ = ["RainLines"]

_HEAVIEST = 0.42
"""The root-mean-square of what is added at amount 100, before the brightest is clipped."""


@dataclass(frozen=True)
class RainLines(Precipitation):
    """Rain as straight bright lines, added to the photograph (input PSNR of 22 dB at amount 20, 13 at 65, 10 at 100).

    Severity: the amount. The root-mean-square error grows about in proportion to it, less where the photograph is
    bright.

    Args:
        amount: 0..100.
        length: of the lines, in pixels, 0..100; 0 draws it for every direction, 9 to 80.
        angle: mean slant of the lines from the vertical, in degrees, -45..45; positive leans to the right at the top.
        spread: how far a direction may lie from `angle`, in degrees, 0..45.
        directions: number of directions at once, 1..5; 0 draws it.
        density: part of the pixels in which a line has its middle, 0..0.5; 0 draws it for every direction, 0.005 to
            0.1.
    """

    kind: ClassVar[str] = "rain"
    name: ClassVar[str] = "rain-lines"
    bounds: ClassVar[tuple[tuple[str, float, float], ...]] = (
        ("amount", 0, 100),
        ("length", 0, 100),
        ("angle", -45, 45),
        ("spread", 0, 45),
        ("density", 0, 0.5),
    )

    length: float = 0.0
    angle: float = 0.0
    spread: float = 15.0
    directions: int = 0
    density: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.directions, int) or self.directions not in range(6):
            raise SettingsError(f"rain-lines: directions must be 0 (drawn) or 1 to 5, got {self.directions}")

    def _fallen(self, picture: Tensor, generator: torch.Generator) -> Tensor:
        drawn = uniform_from(generator)
        directions = self.directions or int(torch.randint(1, 6, (), generator=generator))
        rain = torch.zeros(picture.shape[-2:])
        mean = spread = 0.0
        for _ in range(directions):
            length = self.length or 9 * (80 / 9) ** drawn(0, 1)
            density = self.density or 0.005 * (0.1 / 0.005) ** drawn(0, 1)
            kernel = line_kernel(length, self.angle + drawn(-self.spread, self.spread))
            # The margin holds the lines whose middle lies outside the picture.
            reach = kernel.shape[-1] // 2
            tall, wide = (side + 2 * reach for side in rain.shape)
            chance, bright = torch.rand(2, tall, wide, generator=generator)
            lines = convolve((chance < density) * bright, [kernel])[0][reach : tall - reach, reach : wide - reach]
            # Specks of this density, evenly bright up to 1, have these moments; the kernel keeps their mean.
            average = density / 2
            variance = (density / 3 - average**2) * float(kernel.square().sum())
            # No direction is to be drowned by another.
            share = drawn(0.6, 1.0) / math.hypot(average, math.sqrt(variance))
            rain += share * lines
            mean, spread = mean + share * average, math.hypot(spread, share * math.sqrt(variance))
        added = rain.clamp(min=0) * (_HEAVIEST * self.amount / 100 / math.hypot(mean, spread))
        return (picture + added.to(picture)).clamp(0, 1)
