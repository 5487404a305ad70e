"""Resampling: a photograph made small and large again, as it is when it was copied from a page or a message."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.degradations.batching import degrade_each
from pellucid.errors import SettingsError
from pellucid.images.resizing import bicubic

__all__ = ["Resample"]

_DOWN = ("area", "bilinear", "bicubic")
_UP = ("drawn", "nearest", "bilinear", "bicubic")
_DRAWN = ("bilinear", "bicubic")


@dataclass(frozen=True)
class Resample:
    """Made smaller with an antialiasing kernel, then as large as before: the detail between is gone.

    Args:
        factor: how many times smaller, 1..8; each side has round(side / factor) pixels in between, one at least.
        kernel: that makes smaller. `area` averages what each pixel covers; `bilinear` and `bicubic` are
            widened by the factor, `bicubic` being that of the tables of super-resolution (`images.resizing`).
        up: the kernel that makes larger; `drawn` is bilinear or bicubic, each half of the time.
    """

    kind: ClassVar[str] = "low-resolution"

    factor: float
    kernel: Literal["area", "bilinear", "bicubic"] = "bicubic"
    up: Literal["drawn", "nearest", "bilinear", "bicubic"] = "drawn"

    def __post_init__(self) -> None:
        if not 1 <= self.factor <= 8:
            raise SettingsError(f"resample: factor must lie in 1..8, got {self.factor:g}")
        if self.kernel not in _DOWN:
            raise SettingsError(f"resample: kernel must be one of {', '.join(_DOWN)}, got {self.kernel!r}")
        if self.up not in _UP:
            raise SettingsError(f"resample: up must be one of {', '.join(_UP)}, got {self.up!r}")

    @property
    def severity(self) -> float:
        """The percentage of each side's pixels that are lost: 100 (1 - 1 / factor)."""
        return 100 * (1 - 1 / self.factor)

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1] to degraded, same shape, in [0, 1]."""
        return degrade_each(clean, lambda image: self._resampled(image, generator))

    def _resampled(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        up = _DRAWN[int(torch.randint(2, (), generator=generator))] if self.up == "drawn" else self.up
        height, width = clean.shape[-2:]
        small = (max(1, round(height / self.factor)), max(1, round(width / self.factor)))
        if small == (height, width):
            return clean.clone()
        if self.kernel == "area":
            less = _coverage(height, small[0]).to(clean) @ clean @ _coverage(width, small[1]).to(clean).mT
        elif self.kernel == "bicubic":
            less = bicubic(clean, *small)
        else:
            less = F.interpolate(clean[None], small, mode=self.kernel, align_corners=False, antialias=True)[0]
        if up == "nearest":
            more = F.interpolate(less[None], (height, width), mode="nearest-exact")[0]
        else:
            more = F.interpolate(less[None], (height, width), mode=up, align_corners=False, antialias=True)[0]
        return more.clamp_(0, 1)


def _coverage(length: int, shorter: int) -> Tensor:
    """(shorter, length): which part of `length` pixels lies in each of `shorter` larger ones; rows sum to one."""
    ratio = length / shorter
    left = torch.arange(shorter, dtype=torch.float64)[:, None] * ratio
    place = torch.arange(length, dtype=torch.float64)
    shared = torch.minimum(left + ratio, place + 1) - torch.maximum(left, place)
    return (shared.clamp_(min=0) / ratio).float()
