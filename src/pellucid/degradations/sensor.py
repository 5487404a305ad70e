"""Noise as it comes out of a camera: made by the sensor, then coloured and smeared by what the camera does next.

The way back from a photograph to the sensor and forth again is that of Brooks et al., 'Unprocessing images for learned
raw denoising' (CVPR 2019), less the mosaic. What demosaicking and the camera's own denoising do to the noise is not
computed; its outcome is drawn: grain a little wider than a pixel, and blobs of colour.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.degradations.batching import degrade_each
from pellucid.degradations.linear_light import encoded, linear
from pellucid.degradations.random_fields import smooth_fields
from pellucid.errors import SettingsError

__all__ = ["Camera", "SensorNoise"]

_TO_XYZ = torch.tensor(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""From linear sRGB."""

_CAMERAS = torch.tensor(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
    ]
)
"""From XYZ to the colours of the four cameras of the Darmstadt Noise Dataset, as their raw files give it."""

_MID_GREY = 0.5
_CHROMA = torch.tensor([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]) / torch.tensor([[2.0], [6.0]]).sqrt()
"""Two directions without brightness, orthonormal."""

_BLOBS = 0.25
"""The standard deviation of the blobs of colour, where all colour noise is blobs: smoothing took most of it away."""


@dataclass(frozen=True)
class Camera:
    """What one camera makes of light: gains against its colour cast, a matrix from its colours to sRGB's, a tone curve.

    Args:
        gains: (C,): what its channels are multiplied by, the inverse of the exposure included.
        matrix: (C, C): from its colours to linear sRGB; rows sum to one, so that grey stays grey.
        tone: how much of the tone curve 3 x² - 2 x³ is mixed into encoded values x, 0..1.
    """

    gains: Tensor
    matrix: Tensor
    tone: float = 1.0

    @staticmethod
    def draw(channels: int, generator: torch.Generator) -> "Camera":
        """A camera in the ranges of Brooks et al.: red 1.9 to 2.4, blue 1.5 to 1.9, exposure 0.8 with deviation 0.1."""
        mix, red, blue = torch.rand(4, generator=generator), *torch.rand(2, generator=generator).tolist()
        exposure = 0.8 + 0.1 * max(-2.0, min(2.0, float(torch.randn((), generator=generator))))
        if channels == 1:
            return Camera(torch.tensor([1 / exposure]), torch.ones(1, 1))
        to_camera = torch.tensordot(mix / mix.sum(), _CAMERAS, dims=1) @ _TO_XYZ
        gains = torch.tensor([1.9 + 0.5 * red, 1.0, 1.5 + 0.4 * blue]) / exposure
        return Camera(gains, torch.linalg.inv(to_camera / to_camera.sum(dim=1, keepdim=True)))

    def raw(self, image: Tensor) -> Tensor:
        """A photograph (C, H, W) in [0, 1] as the sensor saw it; saturated colours may lie below 0."""
        back = torch.linalg.inv(self.matrix) / self.gains[:, None]
        return _mixed(linear(self._untoned(image.clamp(0, 1))), back)

    def developed(self, raw: Tensor) -> Tensor:
        """The inverse of `raw`, clipped to [0, 1]."""
        toned = encoded(_mixed(raw, self.matrix * self.gains).clamp_(0, 1))
        curve = (3 - 2 * toned).mul_(toned).mul_(toned)
        return curve if self.tone == 1 else torch.lerp(toned, curve, self.tone)

    def _untoned(self, image: Tensor) -> Tensor:
        """The inverse of the tone curve, of values in [0, 1]; a mixed one by Newton's method from its ends' inverses."""
        full = image.mul(-2).add_(1).asin_().div_(3).sin_().neg_().add_(0.5)
        if self.tone == 1:
            return full
        found = torch.lerp(image, full, self.tone)
        for _ in range(4):
            excess = found * (1 - self.tone + self.tone * found * (3 - 2 * found)) - image
            found = found - excess / (1 - self.tone + 6 * self.tone * found * (1 - found)).clamp(min=1e-3)
        return found.clamp_(0, 1)

    def noise(self, sigma: float, read: float, alike: Tensor) -> tuple[float, float]:
        """The variance per unit of signal and the constant variance, in raw values, for `sigma` (0..1) of mid-grey.

        Over the channels, as a root of the mean square. The second hangs on the first by `read` times the line that
        Brooks et al. fitted to real cameras: log read = 2.18 log shot + 1.20. `alike` (C, C) is the covariance of noise
        of unit shot.
        """
        grey = float(linear(torch.tensor(_MID_GREY, dtype=torch.float64)))
        slope = (1 + 0.5 * self.tone) * 1.055 / 2.4 * grey ** (1 / 2.4 - 1)
        forth = (self.matrix * self.gains).double() * slope
        shares = (forth.mT @ forth * alike / len(forth)).tolist()
        signals = (grey / self.gains.double()).tolist()

        def variance(shot: float) -> float:
            deviations = [math.sqrt(shot * signal + _read(shot, read)) for signal in signals]
            return math.fsum(
                share * one * other
                for row, one in zip(shares, deviations, strict=True)
                for share, other in zip(row, deviations, strict=True)
            )

        high = 1.0
        while variance(high) < sigma**2:
            high *= 2
        low = 0.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if variance(middle) < sigma**2 else (low, middle)
        return high, _read(high, read)


@dataclass(frozen=True)
class SensorNoise:
    """Shot and read noise of a camera's sensor, as the camera shows it: more in red and blue, hardly any in white.

    The camera is drawn for each photograph.

    Args:
        sigma: the standard deviation of mid-grey on the scale 0..255, 0..100, whatever the camera. Brooks et al. train
            with what is 4 to 50 here.
        read: how much read noise there is, 0..10, in times of what is usual with as much shot noise; it shows in
            shadows.
        correlation: how far the noise of neighbours is alike, 0..1. 0 is white noise, independent in every raw value. 1
            is what a camera leaves that smooths much: the coloured noise of single pixels is gone, and a quarter of its
            strength is left as blobs, whose size is drawn from 2 to 6 pixels; the grain is wider than a pixel.
    """

    kind: ClassVar[str] = "noise"

    sigma: float = 20.0
    read: float = 1.0
    correlation: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.sigma <= 100:
            raise SettingsError(f"sensor-noise: sigma must lie in 0..100, got {self.sigma:g}")
        if not 0 <= self.read <= 10:
            raise SettingsError(f"sensor-noise: read must lie in 0..10, got {self.read:g}")
        if not 0 <= self.correlation <= 1:
            raise SettingsError(f"sensor-noise: correlation must lie in 0..1, got {self.correlation:g}")

    @property
    def severity(self) -> float:
        """Twice sigma, 100 at most, as of Gaussian noise."""
        return min(100.0, 2 * self.sigma)

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1], C = 1 or 3, to degraded, same shape, in [0, 1]."""
        return degrade_each(clean, lambda image: self._noisy(image, generator))

    def _noisy(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        if not self.sigma:
            return clean.clone()
        camera = Camera.draw(len(clean), generator)
        shot, read = camera.noise(self.sigma / 255, self.read, self.covariance(len(clean)))
        field = self.field(clean.shape, generator)
        raw = camera.raw(clean.cpu())
        raw.addcmul_(field, raw.clamp(min=0).mul_(shot).add_(read).sqrt_())
        return camera.developed(raw).to(clean.device)

    def covariance(self, channels: int) -> Tensor:
        """(C, C): of the noise of the channels of one pixel, relative to white noise; alike where colour is less."""
        brightness = torch.full((channels, channels), 1 / channels, dtype=torch.float64)
        colour = torch.eye(channels, dtype=torch.float64) - brightness
        return brightness + (1 - self.correlation + self.correlation * _BLOBS**2) * colour

    def field(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """Noise (C, H, W) of mean 0 and of this covariance."""
        white = torch.randn(shape, generator=generator)
        if not self.correlation:
            return white
        channels, height, width = shape
        if channels == 1:
            return _grain(white, self.correlation)
        brightness = white.mean(dim=0, keepdim=True)
        size = 2 * 3 ** float(torch.rand((), generator=generator))
        blobs = _mixed(smooth_fields(2, height, width, size, generator), _CHROMA.mT)
        colour = (
            (white - brightness).mul_((1 - self.correlation) ** 0.5).add_(blobs, alpha=_BLOBS * self.correlation**0.5)
        )
        return colour.add_(_grain(brightness, self.correlation))


def _grain(field: Tensor, correlation: float) -> Tensor:
    """White noise (1, H, W) smoothed over 3 x 3 pixels, of the same variance."""
    taps = torch.tensor([correlation / 2, 1.0, correlation / 2])
    taps = taps / taps.square().sum().sqrt()
    # The noise beyond the border is the noise of the other end: independent of this one, so the variance stays.
    wrapped = F.pad(field[None], (1, 1, 1, 1), mode="circular")
    return F.conv2d(F.conv2d(wrapped, taps.reshape(1, 1, 3, 1)), taps.reshape(1, 1, 1, 3))[0]


def _mixed(image: Tensor, matrix: Tensor) -> Tensor:
    """The channels of (C, H, W) through a matrix (D, C)."""
    return (matrix @ image.flatten(1)).reshape(-1, *image.shape[1:])


def _read(shot: float, read: float) -> float:
    return read * math.exp(1.20 + 2.18 * math.log(shot)) if shot else 0.0
