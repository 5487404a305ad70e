"""What becomes of colours and tones that nobody looked after: a cast of the light, and the fading of dyes."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pellucid.degradations.linear_light import encoded, linear
from pellucid.errors import SettingsError
from pellucid.images.luma import LUMA

__all__ = ["ColourCast", "Fading", "cast_angle"]

_STOPS = 0.75
"""Of red against green, and of blue the other way, at a warmth of 100."""
_BLACK, _WHITE, _PALE = 0.35, 0.2, 0.6
"""Of a photograph that has faded altogether: its black, what its white lacks, and which part of its colour is gone."""


def cast_angle(light: Tensor) -> float:
    """The angle between the colour of a light, (3,) in linear light, and grey, in degrees: its angular error
    (Finlayson and Trezzi, "Shades of gray and colour constancy", CIC 2004)."""
    cosine = float(light.sum() / (3**0.5 * light.norm()).clamp_min(1e-12))
    return math.degrees(math.acos(min(1.0, cosine)))


@dataclass(frozen=True)
class ColourCast:
    """A white balance for another light than the scene's: every colour of linear light times a number.

    A grey photograph stays as it is.

    Args:
        warmth: from blue to orange, -100..100.
        tint: from green to magenta, -100..100.
    """

    kind: ClassVar[str] = "colour-cast"

    warmth: float = 0.0
    tint: float = 0.0

    def __post_init__(self) -> None:
        for name in ("warmth", "tint"):
            if not -100 <= getattr(self, name) <= 100:
                raise SettingsError(f"colour-cast: {name} must lie in -100..100, got {getattr(self, name):g}")

    @property
    def gains(self) -> Tensor:
        """Of red, green and blue, (3,); a grey keeps its luma of linear light."""
        warm, tint = _STOPS * self.warmth / 100, _STOPS * self.tint / 100
        gains = torch.tensor([2**warm, 2**-tint, 2**-warm])
        return gains / (gains * torch.tensor(LUMA)).sum()

    @property
    def severity(self) -> float:
        """Five for each degree between the colour of a grey and grey, 100 at most."""
        return min(100.0, 5 * cast_angle(self.gains))

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1], C = 1 or 3, to degraded, same shape, in [0, 1]."""
        if clean.shape[-3] == 1:
            return clean.clone()
        return encoded(linear(clean) * self.gains.to(clean)[:, None, None]).clamp_(0, 1)


@dataclass(frozen=True)
class Fading:
    """An old print or slide: black has become grey, white is dim, and colours are pale.

    Args:
        amount: 0..100.
    """

    kind: ClassVar[str] = "fading"

    amount: float

    def __post_init__(self) -> None:
        if not 0 <= self.amount <= 100:
            raise SettingsError(f"fading: amount must lie in 0..100, got {self.amount:g}")

    @property
    def severity(self) -> float:
        """The amount."""
        return float(self.amount)

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1], C = 1 or 3, to degraded, same shape, in [0, 1]."""
        part = self.amount / 100
        image = clean
        if clean.shape[-3] == 3:
            luma = (clean * torch.tensor(LUMA).to(clean)[:, None, None]).sum(-3, keepdim=True)
            image = torch.lerp(clean, luma.expand_as(clean), _PALE * part)
        return image * (1 - (_BLACK + _WHITE) * part) + _BLACK * part
