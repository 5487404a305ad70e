"""Blur: what a lens out of focus, a shaking hand or a bad resampling does to a photograph.

The severity of all of them is 100 min(1, s / 5), with s the standard deviation of the kernel in pixels (root of half
the trace of its covariance), so that blurs of different shapes that spread light as far are as severe.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pellucid.degradations.batching import degrade_each
from pellucid.degradations.kernels import aperture_kernel, convolve, gaussian_kernel, shake_kernel
from pellucid.degradations.linear_light import encoded, linear
from pellucid.degradations.random_fields import smooth_fields
from pellucid.errors import SettingsError

__all__ = ["DefocusBlur", "GaussianBlur", "ShakeBlur"]

Light = Literal["encoded", "linear"]

_WORST = 5.0
"""The standard deviation, in pixels, from which on a blur has severity 100."""

_LEVELS = 4
"""Strengths of which a blur that varies over the picture is blended."""


@dataclass(frozen=True)
class GaussianBlur:
    """Gaussian blur and its kin: elongated, peaked, or with a plateau (see `kernels.gaussian_kernel`).

    Severity: 100 min(1, s / 5), with s = sigma √((1 + ratio²) / 2) (1 - vary / 2), its standard deviation in pixels.

    Args:
        sigma: standard deviation along the longer axis, in pixels, 0..50.
        ratio: shorter axis over longer axis, 0.2..1.
        angle: of the longer axis, in degrees, counter-clockwise from the horizontal, -180..180.
        shape: 0.5 (a sharp peak, long tails) over 1 (Gaussian) to 8 (a plateau).
        vary: how much of its strength the blur loses where it is weakest, 0 (nowhere) to 1 (sharp); the strength
            changes smoothly over the picture, at random, as with depth.
        light: what is blurred: encoded values, as in most benchmarks, or linear light, as in a camera.
    """

    kind: ClassVar[str] = "blur"

    sigma: float
    ratio: float = 1.0
    angle: float = 0.0
    shape: float = 1.0
    vary: float = 0.0
    light: Light = "encoded"

    def __post_init__(self) -> None:
        _check("blur", "sigma", self.sigma, 0, 50)
        _check("blur", "ratio", self.ratio, 0.2, 1)
        _check("blur", "angle", self.angle, -180, 180)
        _check("blur", "shape", self.shape, 0.5, 8)
        _check("blur", "vary", self.vary, 0, 1)
        _check_light("blur", self.light)

    @property
    def severity(self) -> float:
        """0 to 100, from the standard deviation; where it varies, from the mean over the picture."""
        return _severity(self.sigma * math.sqrt((1 + self.ratio**2) / 2) * (1 - self.vary / 2))

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1] to blurred, same shape; draws only if it varies."""
        if self.sigma == 0:
            return clean
        kernels = [gaussian_kernel(self.sigma * part, self.ratio, self.angle, self.shape) for part in _parts(self.vary)]
        return degrade_each(clean, lambda picture: _blurred(picture, kernels, self.vary, self.light, generator))


@dataclass(frozen=True)
class DefocusBlur:
    """A lens out of focus: every point becomes an image of the aperture, a disk or a polygon (`aperture_kernel`).

    A radius under half a pixel changes nothing: the disk then lies within its pixel.

    Severity: 100 min(1, s / 5), with s = radius / 2 (1 - vary / 2), its standard deviation in pixels.

    Args:
        radius: of the disk, in pixels, 0..50.
        blades: of the aperture: 0 is a circle, 5 to 9 a polygon of the same area, turned at random.
        vary: how much of its radius the blur loses where it is weakest, 0 (nowhere) to 1 (sharp); the radius changes
            smoothly over the picture, at random, as with depth.
        light: what is blurred: encoded values, as in most benchmarks, or linear light, as in a camera.
    """

    kind: ClassVar[str] = "blur"

    radius: float
    blades: int = 0
    vary: float = 0.0
    light: Light = "encoded"

    def __post_init__(self) -> None:
        _check("defocus", "radius", self.radius, 0, 50)
        if self.blades not in (0, 5, 6, 7, 8, 9):
            raise SettingsError(f"defocus: blades must be 0 (a circle) or 5 to 9, got {self.blades}")
        _check("defocus", "vary", self.vary, 0, 1)
        _check_light("defocus", self.light)

    @property
    def severity(self) -> float:
        """0 to 100, from the standard deviation; where it varies, from the mean over the picture."""
        return _severity(self.radius / 2 * (1 - self.vary / 2))

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1] to blurred, same shape; draws if there are blades, or if it varies."""
        if self.radius == 0:
            return clean
        turn = 360 * float(torch.rand((), generator=generator)) if self.blades else 0.0
        kernels = [aperture_kernel(self.radius * part, self.blades, turn) for part in _parts(self.vary)]
        return degrade_each(clean, lambda picture: _blurred(picture, kernels, self.vary, self.light, generator))


@dataclass(frozen=True)
class ShakeBlur:
    """Camera shake during the exposure: a random path, of its own for each picture (see `kernels.shake_kernel`).

    Severity: 100 min(1, s / 5), with s = length / √24, its standard deviation in pixels.

    Args:
        length: of the straight motion that blurs as much, in pixels, 0..200.
        curvature: 0 is straight motion at constant speed, 1 the most erratic.
        light: what is blurred: encoded values, as in most benchmarks, or linear light, as in a camera.
    """

    kind: ClassVar[str] = "blur"

    length: float
    curvature: float = 0.5
    light: Light = "encoded"

    def __post_init__(self) -> None:
        _check("shake", "length", self.length, 0, 200)
        _check("shake", "curvature", self.curvature, 0, 1)
        _check_light("shake", self.light)

    @property
    def severity(self) -> float:
        """0 to 100, from the standard deviation of the path."""
        return _severity(self.length / math.sqrt(24))

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1] to blurred, same shape; draws the path."""
        if self.length == 0:
            return clean

        def shaken(picture: Tensor) -> Tensor:
            return _blurred(picture, [shake_kernel(self.length, self.curvature, generator)], 0.0, self.light, generator)

        return degrade_each(clean, shaken)


def _parts(vary: float) -> list[float]:
    """The strengths of a blur that varies, strongest first, as parts of the strongest; those of 0 are left out."""
    if vary == 0:
        return [1.0]
    parts = [1 - vary * level / (_LEVELS - 1) for level in range(_LEVELS)]
    return [part for part in parts if part > 1e-6]


def _blurred(
    picture: Tensor, kernels: Sequence[Tensor], vary: float, light: Light, generator: torch.Generator
) -> Tensor:
    """The picture (C, H, W) blurred by the kernel, or by a smoothly changing one between the kernels."""
    values = linear(picture) if light == "linear" else picture
    levels = convolve(values, kernels)
    if vary > 0:
        levels += [values] * (_LEVELS - len(levels))
        place = _smooth_map(picture.shape[-2], picture.shape[-1], generator).to(picture.device) * (_LEVELS - 1)
        blended = torch.zeros_like(values)
        for index, level in enumerate(levels):
            blended.addcmul_(level, (1 - (place - index).abs()).clamp_(min=0))
    else:
        blended = levels[0]
    # Rounding in the transform leaves values a little outside.
    blended = blended.clamp(0, 1)
    return encoded(blended) if light == "linear" else blended


def _smooth_map(height: int, width: int, generator: torch.Generator) -> Tensor:
    """A smooth random map (H, W) that reaches from 0 to 1: a slope, as of the ground, with bumps, as things on it."""
    turn = 2 * math.pi * float(torch.rand((), generator=generator))
    x, y = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)[:, None]
    bumps = smooth_fields(1, height, width, max(height, width) / 4, generator)[0]
    smooth = x * math.cos(turn) + y * math.sin(turn) + 0.7 * bumps
    low, high = smooth.aminmax()
    return (smooth - low) / (high - low) if high > low else torch.full_like(smooth, 0.5)


def _severity(deviation: float) -> float:
    return 100 * min(1.0, deviation / _WORST)


def _check(name: str, parameter: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SettingsError(f"{name}: {parameter} must lie in {low:g}..{high:g}, got {value:g}")


def _check_light(name: str, light: str) -> None:
    if light not in ("encoded", "linear"):
        raise SettingsError(f"{name}: light must be encoded or linear, got {light!r}")
