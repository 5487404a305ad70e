"""Noise: what a sensor adds to a photograph."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.errors import SettingsError
from pellucid.images import quantise

__all__ = ["GaussianNoise"]


@dataclass(frozen=True)
class GaussianNoise:
    """Additive white Gaussian noise, the degradation of every Gaussian-denoising table.

    Args:
        sigma: standard deviation on the scale 0..255.
        bits: 0 leaves the result as it is, float and unclipped (the protocol of DnCNN, DRUNet and Restormer);
            8 or 16 clips it to [0, 1] and rounds it, as a stored file would be.
    """

    sigma: float
    bits: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.sigma <= 255:
            raise SettingsError(f"noise: sigma must lie in 0..255, got {self.sigma:g}")
        if self.bits not in (0, 8, 16):
            raise SettingsError(f"noise: bits must be 0 (not stored), 8 or 16, got {self.bits}")

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., H, W) in [0, 1] to degraded, same shape; draws from the generator (on the CPU, whatever the device)."""
        noise = torch.randn(clean.shape, generator=generator, dtype=clean.dtype).to(clean.device)
        degraded: Tensor = clean + noise * (self.sigma / 255)
        return quantise(degraded, self.bits) if self.bits else degraded
