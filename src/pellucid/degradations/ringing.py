"""Ringing: the echoes along edges that sharpening, resizing and compression leave."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pellucid.errors import SettingsError
from pellucid.images.padding import pad_around, transform_size

__all__ = ["Ringing"]

_LOWEST = 0.5


@dataclass(frozen=True)
class Ringing:
    """An ideal circular low-pass, cut off in space: the sinc filter of Real-ESRGAN (Wang et al., ICCVW 2021, 3.4).

    Its kernel is cutoff / (2 pi r) J1(cutoff r), with r the distance in pixels and J1 the Bessel function of order one,
    normalised to sum one.

    Args:
        cutoff: the highest frequency that passes, in radians a pixel, 0.5..pi. At pi only the corners of the spectrum
            go.
        radius: of the square kernel, which has 2 radius + 1 taps a side, 3..10: how many echoes there are.
    """

    kind: ClassVar[str] = "ringing"

    cutoff: float
    radius: int = 10

    def __post_init__(self) -> None:
        if not _LOWEST <= self.cutoff <= math.pi:
            raise SettingsError(f"ringing: cutoff must lie in {_LOWEST}..pi radians a pixel, got {self.cutoff:g}")
        if not 3 <= self.radius <= 10:
            raise SettingsError(f"ringing: radius must lie in 3..10, got {self.radius}")

    @property
    def severity(self) -> float:
        """100 times the part of the way from pi, the frequency of single pixels, down to the lowest cutoff."""
        return 100 * (math.pi - self.cutoff) / (math.pi - _LOWEST)

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., H, W) in [0, 1] to degraded, same shape, in [0, 1], mirrored at the borders; draws nothing."""
        height, width = clean.shape[-2:]
        reach = 2 * self.radius
        # A circle long enough for the filter's reach, and of a length that the Fourier transform is quick at.
        size = (transform_size(height + reach), transform_size(width + reach))
        spectrum = torch.fft.rfft2(pad_around(clean, self.radius), s=size)
        spectrum *= torch.fft.rfft2(self.kernel().to(clean), s=size)
        filtered: Tensor = torch.fft.irfft2(spectrum, s=size)[..., reach : reach + height, reach : reach + width]
        return filtered.clamp(0, 1)

    def kernel(self) -> Tensor:
        """(2 radius + 1, 2 radius + 1), float32, of sum one."""
        place = torch.arange(-self.radius, self.radius + 1, dtype=torch.float64)
        distance = torch.hypot(place[:, None], place[None, :])
        taps: Tensor = torch.special.bessel_j1(self.cutoff * distance) * self.cutoff / (2 * math.pi * distance)
        taps[self.radius, self.radius] = self.cutoff**2 / (4 * math.pi)
        return (taps / taps.sum()).float()
