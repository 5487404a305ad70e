"""Noise: what a sensor adds to a photograph."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pellucid.errors import SettingsError
from pellucid.images import quantise

__all__ = ["GaussianNoise", "ImpulseNoise", "PoissonNoise"]


@dataclass(frozen=True)
class GaussianNoise:
    """Additive white Gaussian noise, the degradation of every Gaussian-denoising table.

    Args:
        sigma: standard deviation on the scale 0..255.
        bits: 0 leaves the result as it is, float and unclipped (the protocol of DnCNN, DRUNet and Restormer);
            8 or 16 clips it to [0, 1] and rounds it, as a stored file would be.
        rounding: of stored values: `nearest`, or `truncate` to the value below, as a cast to integers does. With
            `bits=8` the latter is the noise that PromptIR (Potlapalli et al., NeurIPS 2023) is trained and tested with.
    """

    kind: ClassVar[str] = "noise"

    sigma: float
    bits: int = 0
    rounding: Literal["nearest", "truncate"] = "nearest"

    def __post_init__(self) -> None:
        if not 0 <= self.sigma <= 255:
            raise SettingsError(f"noise: sigma must lie in 0..255, got {self.sigma:g}")
        if self.bits not in (0, 8, 16):
            raise SettingsError(f"noise: bits must be 0 (not stored), 8 or 16, got {self.bits}")
        if self.rounding not in ("nearest", "truncate"):
            raise SettingsError(f"noise: rounding must be nearest or truncate, got {self.rounding!r}")
        if self.rounding == "truncate" and not self.bits:
            raise SettingsError("noise: rounding=truncate needs bits=8 or bits=16; without bits nothing is rounded")

    @property
    def severity(self) -> float:
        """Twice sigma, 100 at most: sigma 50 is the hardest level of the tables."""
        return min(100.0, 2 * self.sigma)

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., H, W) in [0, 1] to degraded, same shape; draws from the generator, always on the CPU."""
        noise = torch.randn(clean.shape, generator=generator, dtype=clean.dtype).to(clean.device)
        if self.rounding == "truncate":
            # In levels, not in [0, 1]: k / 255 times 255 is k again, so what the noise leaves alone loses no level.
            steps = 2**self.bits - 1
            levels: Tensor = clean * steps + noise * (self.sigma * steps / 255)
            return levels.clamp_(0, steps).floor_().div_(steps)
        degraded: Tensor = clean + noise * (self.sigma / 255)
        return quantise(degraded, self.bits) if self.bits else degraded


@dataclass(frozen=True)
class PoissonNoise:
    """Photon noise: each encoded value x becomes Poisson(peak x) / peak, clipped to [0, 1].

    On the encoded values, as in the literature of Poisson denoising; `sensor-noise` counts in linear light.

    Args:
        peak: the mean count of photons where the image is 1, in 1..100000; the fewer the noisier.
    """

    kind: ClassVar[str] = "noise"

    peak: float

    def __post_init__(self) -> None:
        if not 1 <= self.peak <= 100_000:
            raise SettingsError(f"poisson-noise: peak must lie in 1..100000, got {self.peak:g}")

    @property
    def severity(self) -> float:
        """That of the Gaussian noise that is as strong at mid-grey: twice 255 sqrt(0.5 / peak), 100 at most."""
        sigma: float = 255 * (0.5 / self.peak) ** 0.5
        return min(100.0, 2 * sigma)

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., H, W) in [0, 1] to degraded, same shape, in [0, 1]."""
        counts = torch.poisson(clean.cpu().clamp(min=0).mul_(self.peak), generator=generator)
        return counts.div_(self.peak).clamp_(max=1).to(clean.device)


@dataclass(frozen=True)
class ImpulseNoise:
    """Salt and pepper: values that are lost altogether, half of them 0 and half of them 1.

    Args:
        part: the part that is lost, 0..1.
        unit: what is lost at once: a `pixel` with all its channels, or a `channel` of it alone.
    """

    kind: ClassVar[str] = "noise"

    part: float
    unit: Literal["pixel", "channel"] = "pixel"

    def __post_init__(self) -> None:
        if not 0 <= self.part <= 1:
            raise SettingsError(f"impulse-noise: part must lie in 0..1, got {self.part:g}")
        if self.unit not in ("pixel", "channel"):
            raise SettingsError(f"impulse-noise: unit must be pixel or channel, got {self.unit!r}")

    @property
    def severity(self) -> float:
        """200 times the part, 100 at most: of a photograph half of which is lost."""
        return min(100.0, 200 * self.part)

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1] to degraded, same shape; what is not lost is untouched."""
        shape = clean.shape if self.unit == "channel" else (*clean.shape[:-3], 1, *clean.shape[-2:])
        draw = torch.rand(shape, generator=generator).to(clean.device)
        salted = torch.where(draw < self.part / 2, torch.ones_like(clean), clean)
        return torch.where(draw > 1 - self.part / 2, torch.zeros_like(clean), salted)
