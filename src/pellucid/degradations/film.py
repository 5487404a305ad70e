"""Film grain: silver or dye in clumps, whose density scatters."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.degradations.batching import degrade_each
from pellucid.degradations.linear_light import encoded, linear
from pellucid.errors import SettingsError

__all__ = ["FilmGrain"]

_APERTURE = math.sqrt(math.pi) * 24
"""The side, in micrometres, of a square as large as the hole of 48 micrometres through which granularity is measured."""
_FOG = 0.1
"""Density of unexposed film: it has grain, too."""
_GAMMA = 0.6
"""Contrast of negatives: what their paper has to multiply, the grain included."""
_RANGE = 2.4
"""Densities of light that a negative holds, from its darkest shadow to white."""


@dataclass(frozen=True)
class FilmGrain:
    """The grain of a scanned film: its density scatters as the root of the density (Selwyn 1935, Nutting 1913).

    So slides have it in middle tones, and negatives, which are dense where the light was, in bright ones too.

    Args:
        granularity: as makers give it, 0..60: a thousand times the deviation of the density around 1, seen through a hole of
            48 micrometres. 4 to 8 is very fine film, 12 to 20 fast film, beyond that film pushed.
        pixel: the side of a pixel on the film in micrometres, 2..50; 6.35 is a scan at 4000 dots an inch.
        size: how far grain is alike, as the standard deviation of its blobs in pixels, 0..4.
        colour: the part that each colour has for itself, 0..1: 0 is black-and-white film.
        film: `slide` or `negative`.
    """

    kind: ClassVar[str] = "noise"

    granularity: float = 12.0
    pixel: float = 8.0
    size: float = 0.6
    colour: float = 0.5
    film: Literal["slide", "negative"] = "slide"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("granularity", 0, 60),
            ("pixel", 2, 50),
            ("size", 0, 4),
            ("colour", 0, 1),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"film-grain: {name} must lie in {low:g}..{high:g}, got {value:g}")
        if self.film not in ("slide", "negative"):
            raise SettingsError(f"film-grain: film must be slide or negative, got {self.film!r}")

    @property
    def severity(self) -> float:
        """Twice sigma of mid-grey, 100 at most, as of Gaussian noise."""
        light = linear(torch.tensor(0.5, dtype=torch.float64))
        slope = 1.055 / 2.4 * float(light) ** (1 / 2.4 - 1)
        sigma: float = 255 * slope * float(light) * math.log(10) * float(self.deviation(light))
        return min(100.0, 2 * sigma)

    def deviation(self, light: Tensor) -> Tensor:
        """Of the logarithm (to base 10) of the light of the finished picture, where that is `light`, 0..1."""
        density = -light.clamp(min=10**-_RANGE).log10()
        if self.film == "negative":
            density = _GAMMA * (_RANGE - density)
        spread = self.granularity / 1000 * _APERTURE / self.pixel * ((density + _FOG) / (1 + _FOG)).sqrt()
        return spread / _GAMMA if self.film == "negative" else spread

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1] to degraded, same shape, in [0, 1]."""
        return degrade_each(clean, lambda image: self._grained(image, generator))

    def _grained(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        if not self.granularity:
            return clean.clone()
        channels, height, width = clean.shape
        own = self.colour if channels > 1 else 0.0
        fields = _grain(channels + 1, height, width, self.size, generator)
        grain = fields[:1] * (1 - own) ** 0.5 + fields[1:] * own**0.5
        light = linear(clean.cpu().float().clamp(0, 1))
        grained = encoded(light * torch.pow(10.0, self.deviation(light) * grain))
        return grained.clamp_(0, 1).to(clean)


def _grain(count: int, height: int, width: int, size: float, generator: torch.Generator) -> Tensor:
    """Fields (count, height, width) of mean 0 and variance 1: white noise as blobs of `size` pixels."""
    reach = math.ceil(3 * size)
    white = torch.randn(count, 1, height + 2 * reach, width + 2 * reach, generator=generator)
    if not reach:
        return white[:, 0]
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / size).square())
    taps = (taps / taps.square().sum().sqrt()).reshape(1, 1, -1, 1)
    return F.conv2d(F.conv2d(white, taps), taps.mT)[:, 0]
