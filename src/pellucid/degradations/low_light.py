"""Low light: too little of it reached the sensor, so the photograph is dark, and its noise is not."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pellucid.degradations.batching import degrade_each
from pellucid.degradations.linear_light import encoded, linear
from pellucid.errors import SettingsError
from pellucid.images import quantise

__all__ = ["LowLight"]

_MID_GREY = 0.5
_AMBER = (0.75, 0.05, -0.80)
_GREEN = (-0.35, 0.70, -0.35)


@dataclass(frozen=True)
class LowLight:
    """A darker exposure with the noise of few photons, stored in 8 bits.

    In linear light: L' = exposure L^gamma times the cast, plus Gaussian noise of variance a L' + b, then encoded and
    rounded. Shot noise, a L', and read noise, b, are as strong as each other where the clean image is mid-grey (0.5
    encoded), so the shadows have the worst ratio of signal to noise.

    Args:
        exposure: the factor on linear light, 0.001..0.9; each half is one stop. Below 0.1 photographs look like those
            of the data set LOL, whose mean is 0.03 to 0.15.
        gamma: the power on linear light, 1..3; above 1 shadows sink deeper than lights.
        noise: the standard deviation, on the scale 0..255, that mid-grey would have were the photograph brightened
            again, 0..100. Said so, it does not depend on the exposure.
        cast: how much the light is coloured, 0..1; 0.2 makes red and blue differ by a third or so. The colour is drawn,
            mostly between amber and blue.
    """

    kind: ClassVar[str] = "low-light"

    exposure: float
    gamma: float = 1.0
    noise: float = 0.0
    cast: float = 0.0

    def __post_init__(self) -> None:
        if not 0.001 <= self.exposure <= 0.9:
            raise SettingsError(f"low-light: exposure is a factor in 0.001..0.9, got {self.exposure:g}")
        if not 1 <= self.gamma <= 3:
            raise SettingsError(f"low-light: gamma must lie in 1..3, got {self.gamma:g}")
        if not 0 <= self.noise <= 100:
            raise SettingsError(f"low-light: noise must lie in 0..100, got {self.noise:g}")
        if not 0 <= self.cast <= 1:
            raise SettingsError(f"low-light: cast must lie in 0..1, got {self.cast:g}")

    @property
    def severity(self) -> float:
        """The percentage by which encoded mid-grey becomes darker; noise and cast do not count."""
        grey = linear(torch.tensor(_MID_GREY, dtype=torch.float64))
        return 100 * (1 - float(encoded(self.exposure * grey**self.gamma)) / _MID_GREY)

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1] to degraded, same shape, of 8 bits; a cast is for C = 3 only."""
        return degrade_each(clean, lambda image: self._darkened(image, generator))

    def _darkened(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        light = linear(clean.clamp(0, 1))
        if self.gamma != 1:
            light.pow_(self.gamma)
        light.mul_(self.exposure)
        if self.cast and len(clean) == 3:
            light.mul_(self._colour(generator).to(clean)[:, None, None])
        if self.noise:
            shot, read = self.variances()
            field = torch.randn(light.shape, generator=generator).to(clean)
            light.addcmul_(field, light.mul(shot).add_(read).sqrt_())
        return quantise(encoded(light), 8)

    def variances(self) -> tuple[float, float]:
        """a and b of the noise's variance a L' + b in linear light, full scale 1."""
        grey = float(linear(torch.tensor(_MID_GREY, dtype=torch.float64)))
        slope = 1.055 / 2.4 * grey ** (1 / 2.4 - 1)
        dark = self.exposure * grey**self.gamma
        # Brightening multiplies by grey / dark, and encoding then by its slope at mid-grey.
        variance = (self.noise / 255 / slope * dark / grey) ** 2
        return variance / 2 / dark, variance / 2

    def _colour(self, generator: torch.Generator) -> Tensor:
        """(3,): factors on the channels."""
        amber, green = (torch.randn(2, generator=generator) * torch.tensor([1.0, 0.3])).clamp(-2, 2).tolist()
        return torch.exp(self.cast * (amber * torch.tensor(_AMBER) + green * torch.tensor(_GREEN)))
