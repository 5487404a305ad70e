"""Haze: light that was scattered out of the way to the camera, and other light scattered into it."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.degradations.batching import degrade_each
from pellucid.degradations.random_fields import smooth_fields
from pellucid.errors import SettingsError

__all__ = ["Haze"]

_STEP = 4
"""The distance is thought out on a grid this much coarser than the image."""

_REACH = 5
"""Half the window, on that grid, within which the distance follows the edges of the image."""

_SMOOTH = 0.02
"""The variance of brightness below which it is texture, not an edge between near and far."""


@dataclass(frozen=True)
class Haze:
    """The scattering model of Narasimhan and Nayar (IJCV 2002): I = J t + A (1 - t), with t = exp(-beta d).

    On encoded values, as RESIDE and the other data sets compose it. A photograph has no distance d, so a plausible one
    is drawn: it grows from the bottom of the image to the top, in layers that keep to regions of like colour and place,
    as things in a scene do, with slow changes as in drifting mist. beta follows from `amount`.

    Args:
        amount: how much of the light is haze, in percent of the mean over the image, 0..95: 100 (1 - mean of t). 25
            looks like mist, 50 like haze, 80 like fog.
        airlight: A, the grey of the haze, 0.5..1; 0 draws it for each photograph from 0.75 to 1, slightly warm or cold.
    """

    kind: ClassVar[str] = "haze"

    amount: float
    airlight: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.amount <= 95:
            raise SettingsError(f"haze: amount must lie in 0..95, got {self.amount:g}")
        if self.airlight != 0 and not 0.5 <= self.airlight <= 1:
            raise SettingsError(f"haze: airlight must lie in 0.5..1, or be 0 to be drawn, got {self.airlight:g}")

    @property
    def severity(self) -> float:
        """The amount."""
        return float(self.amount)

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1], C = 1 or 3, to degraded, same shape, in [0, 1]."""
        return degrade_each(clean, lambda image: self._hazy(image, generator))

    def _hazy(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        if not self.amount:
            return clean.clone()
        image = clean.cpu().clamp(0, 1)
        light = self._airlight(len(image), generator)[:, None, None]
        hazy = (image - light).mul_(self.transmission(image, generator)).add_(light)
        return hazy.clamp_(0, 1).to(clean.device)

    def transmission(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """t, (H, W) in [0, 1], for an image (C, H, W) in [0, 1]; its mean is 1 - amount / 100."""
        mean = 1 - self.amount / 100
        small = F.avg_pool2d(image[None], _STEP, ceil_mode=True)[0]
        distance = _distance(small, generator)
        coarse = torch.exp(-_density(distance, mean) * distance)
        transmission = _follow_edges(coarse, small.mean(dim=0), image.mean(dim=0)).clamp_(0, 1)
        # The edges move the mean a little. Scaling towards 0 or 1, whichever is right, keeps the range.
        now = float(transmission.mean())
        if now > mean:
            return transmission.mul_(mean / now)
        return transmission.sub_(1).mul_((1 - mean) / max(1 - now, 1e-6)).add_(1)

    def _airlight(self, channels: int, generator: torch.Generator) -> Tensor:
        if self.airlight:
            return torch.full((channels,), float(self.airlight))
        grey, cast = torch.rand(2, generator=generator).tolist()
        warm = 0.04 * (2 * cast - 1)
        colours = torch.tensor([warm, 0.0, -warm]) if channels == 3 else torch.zeros(channels)
        light: Tensor = 0.75 + 0.25 * grey + colours
        return light.clamp_(max=1)


def _distance(image: Tensor, generator: torch.Generator) -> Tensor:
    """d, (H, W), of mean 1: a plausible distance of what the image (C, H, W) shows."""
    _, height, width = image.shape
    spread, ground, things, mist, lean = torch.rand(5, generator=generator).tolist()
    down = torch.linspace(0.5 / height, 1 - 0.5 / height, height)[:, None].expand(height, width)
    across = torch.linspace(0.5 / width, 1 - 0.5 / width, width).expand(height, width)
    far = (1 - down) + (lean - 0.5) * (across - 0.5)
    drift = smooth_fields(1, height, width, max(height, width) / 5, generator)[0]
    logarithm = (1 + 2 * ground) * far + (0.3 + 0.5 * things) * _layers(image, far, generator) + 0.3 * mist * drift
    # The distances along a ground that reaches to the horizon differ by powers, hence the exponential.
    distance = torch.exp((0.5 + 0.5 * spread) * (logarithm - logarithm.mean()))
    return distance / distance.mean()


def _layers(image: Tensor, far: Tensor, generator: torch.Generator) -> Tensor:
    """(H, W): things of the image, each at its own random distance, about normal: regions of like colour and place."""
    _, height, width = image.shape
    place = torch.stack(
        [torch.arange(height)[:, None].expand(height, width), torch.arange(width).expand(height, width)]
    )
    # Averaged over windows first: a texture of light and dark is one thing, not two.
    features = torch.cat([place * (1.5 / max(height, width)), _window_means(image, 2) * 3]).flatten(1).mT
    seeds = torch.randint(height * width, (12,), generator=generator)
    own = torch.randn(12, generator=generator)
    away = torch.cdist(features, features[seeds]).square()
    share = torch.softmax(-away / 0.07, dim=1)
    return (share @ own).reshape(height, width)


def _density(distance: Tensor, mean: float) -> float:
    """beta, such that the mean of exp(-beta distance) is `mean`, by Newton's method on its logarithm."""
    # By Jensen this is at or below the root, and the logarithm is convex: the steps go up to the root and not beyond.
    density = -math.log(mean)
    for _ in range(12):
        transmission = torch.exp(-density * distance)
        now = float(transmission.mean())
        slope = -float((transmission * distance).mean()) / now
        density -= (math.log(now) - math.log(mean)) / slope
    return density


def _follow_edges(coarse: Tensor, guide: Tensor, brightness: Tensor) -> Tensor:
    """`coarse` (h, w) as fine as `brightness` (H, W), of which `guide` (h, w) is the coarse version.

    The fast guided filter of He and Sun (arXiv 1505.00996): locally a line in the brightness.
    """
    means = _window_means(torch.stack([guide, coarse, guide * guide, guide * coarse]), _REACH)
    slope = (means[3] - means[0] * means[1]) / ((means[2] - means[0] * means[0]).clamp(min=0) + _SMOOTH)
    line = _window_means(torch.stack([slope, means[1] - slope * means[0]]), _REACH)
    slope, offset = F.interpolate(line[None], brightness.shape, mode="bilinear", antialias=True)[0]
    return torch.addcmul(offset, slope, brightness)


def _window_means(planes: Tensor, reach: int) -> Tensor:
    """The mean of (K, H, W) over windows of 2 reach + 1 pixels a side, which are smaller at the borders."""
    length = 2 * reach + 1
    rows = F.avg_pool2d(planes[None], (length, 1), stride=1, padding=(reach, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, length), stride=1, padding=(0, reach), count_include_pad=False)[0]
