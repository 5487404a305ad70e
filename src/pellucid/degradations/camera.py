"""Noise as a camera hands it over: made on a Bayer mosaic, then demosaicked, smoothed, sharpened and scaled with the picture.

A sensor measures one colour in each pixel. What demosaicking, the camera's own denoising, its sharpening and a later change
of size make of the noise is computed here, on the noise alone: the picture beneath stays as it is, so that a denoiser learns
to undo the noise and not the camera. `sensor-noise` draws the outcome instead, and is cheaper.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.degradations.batching import degrade_each
from pellucid.degradations.sensor import Camera
from pellucid.errors import SettingsError
from pellucid.images.luma import LUMA

__all__ = ["CameraNoise", "demosaicked", "photographed"]

Phase = tuple[int, int]
"""Row and column, 0 or 1 each, of the first red pixel; blue lies diagonally next to it, green in between."""

_SHOT_OF_ISO = 1e-6
"""Shot noise, as variance per unit of signal, for each unit of ISO: 1e-4 at ISO 100, as of the Darmstadt Noise Dataset's
cameras, whose range (Brooks et al., CVPR 2019: 1e-4 to 1.2e-2) ends at ISO 12000 then."""
_READ_SCATTER = 0.26
"""Deviation of the logarithm of read noise from the line 2.18 log shot + 1.20 (Brooks et al., section 3.1)."""
_SPREAD = 2.7
"""What a deviation of mid-grey's raw value becomes in encoded ones: a root of the mean square over colours and drawn cameras."""
_ROWS, _HOT = 5.0, 0.01
"""Of a sensor as bad as can be: the noise of rows in times of the read noise, and the part of hot pixels."""
_LEAST = 8
"""Sides, in pixels, below which a picture is repeated at its border for the mosaic to have neighbours."""
_EDGE = 0.08
"""Difference of the luma of neighbours at which a camera's denoising takes a detail for one and leaves it most of its noise."""
_AT_EDGES = 0.35
"""How much of the denoising there is at edges."""

_AXIS = [0.0, 0.5, 0.0, 0.5, 0.0]
_MIDDLE = [0.0, 0.0, 1.0, 0.0, 0.0]


def _taps(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows).reshape(5, 5)


_BILINEAR = torch.stack(
    [
        (
            torch.outer(torch.tensor(_AXIS), torch.tensor(_MIDDLE))
            + torch.outer(torch.tensor(_MIDDLE), torch.tensor(_AXIS))
        )
        / 2,
        torch.outer(torch.tensor(_MIDDLE), torch.tensor(_AXIS)),
        torch.outer(torch.tensor(_AXIS), torch.tensor(_MIDDLE)),
        torch.outer(torch.tensor(_AXIS), torch.tensor(_AXIS)),
    ]
)
"""(4, 5, 5): green from a cross, a colour from left and right, from above and below, from the corners."""

_GRADIENT_CORRECTED = (
    torch.stack(
        [
            _taps([[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]),
            _taps([[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]),
            _taps([[0, 0, -1, 0, 0], [0, -1, 4, -1, 0], [0.5, 0, 5, 0, 0.5], [0, -1, 4, -1, 0], [0, 0, -1, 0, 0]]),
            _taps([[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]]),
        ]
    )
    / 8
)
"""The same from 5 x 5 pixels, corrected by the second differences of the colour that the pixel has: Malvar, He and Cutler,
'High-quality linear interpolation for demosaicing of Bayer-patterned color images' (ICASSP 2004), figure 2."""

Way = Literal["bilinear", "gradient-corrected"]

_WAYS: tuple[Way, Way] = ("bilinear", "gradient-corrected")
_KERNELS: dict[Way, Tensor] = {"bilinear": _BILINEAR, "gradient-corrected": _GRADIENT_CORRECTED}


def demosaicked(mosaic: Tensor, phase: Phase, way: Way) -> Tensor:
    """The colours (3, H, W) of a Bayer mosaic (H, W), both sides of 3 pixels or more; a linear function of it.

    Beyond the border lies the mirror image, which keeps the order of the colours.
    """
    wide = F.pad(mosaic[None, None], (2, 2, 2, 2), mode="reflect")
    cross, across, down, corners = F.conv2d(wide, _KERNELS[way][:, None].to(mosaic))[0]
    red, green, blue = mosaic.clone(), mosaic.clone(), mosaic.clone()
    row, column = phase
    at_red = (slice(row, None, 2), slice(column, None, 2))
    at_blue = (slice(1 - row, None, 2), slice(1 - column, None, 2))
    beside_red = (slice(row, None, 2), slice(1 - column, None, 2))
    beside_blue = (slice(1 - row, None, 2), slice(column, None, 2))
    for place in (at_red, at_blue):
        green[place] = cross[place]
    for colour, own, beside, other in (
        (red, beside_red, beside_blue, at_blue),
        (blue, beside_blue, beside_red, at_red),
    ):
        colour[own], colour[beside], colour[other] = across[own], down[beside], corners[other]
    return torch.stack([red, green, blue])


def photographed(scene: Tensor, generator: torch.Generator) -> Tensor:
    """What a camera without noise makes of a picture (3, H, W) in [0, 1]: of the same shape, in range, fine detail altered.

    Demosaicked in one of two ways, half of the time with its colours smoothed, half of the time sharpened. A denoiser that has
    never seen what demosaicking does to fine detail takes it for noise.
    """
    camera, phase, way = _camera(generator), _phase(generator), _WAYS[_below(2, generator)]
    smoothing, radius, amount = torch.rand(3, generator=generator).tolist()
    wide = _widened(scene.cpu().float().clamp(0, 1))
    picture = camera.developed(demosaicked(_mosaic(camera.raw(wide), phase), phase, way))
    brightness = _luma(picture)
    colour = picture - brightness
    if smoothing > 0.5:
        colour = _blurred(colour, 4 * smoothing - 1.5)
    if amount > 0.5:
        brightness = torch.lerp(_blurred(brightness, 0.5 + radius), brightness, 3 * amount - 0.5)
    height, width = scene.shape[1:]
    return (colour + brightness)[:, :height, :width].clamp_(0, 1).to(scene)


@dataclass(frozen=True)
class CameraNoise:
    """Shot and read noise of a Bayer sensor by its ISO, demosaicked and processed as cameras do: wide, coloured, uneven.

    The camera is drawn for each photograph: gains from daylight to lamp light, its colours, its tone curve, its read noise,
    the widths of its smoothing. Of a grey photograph it is the luma of the noise of a colour camera.

    Args:
        iso: the sensitivity of a middling camera, 0..409600; shot noise is proportional to it, read noise follows as
            measured by Brooks et al. (CVPR 2019). Telephones reach at 1600 what large cameras have at 12800.
        demosaicking: `bilinear`, `gradient-corrected` (Malvar et al. 2004), or one of the two, `drawn`.
        denoising: how much of the noise the camera smooths away by itself, 0..1: colour over 1 to 4 pixels, brightness over
            0.4 to 1.4, less at edges. The rest stays as it was.
        sharpening: how much of the difference to a smoothed copy is added to the brightness afterwards, 0..3.
        scale: the picture's side in times of the sensor's, 0.25..4: below 1 it was made smaller, above 1 enlarged.
        defects: of the sensor, 0..1: noise that a whole row shares, of at most 5 times the read noise, and pixels that shine by
            themselves, at most one in 100.
    """

    kind: ClassVar[str] = "noise"

    iso: float = 1600.0
    demosaicking: Literal["drawn", "bilinear", "gradient-corrected"] = "drawn"
    denoising: float = 0.5
    sharpening: float = 0.0
    scale: float = 1.0
    defects: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("iso", 0, 409_600),
            ("denoising", 0, 1),
            ("sharpening", 0, 3),
            ("scale", 0.25, 4),
            ("defects", 0, 1),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"camera-noise: {name} must lie in {low:g}..{high:g}, got {value:g}")
        if self.demosaicking not in ("drawn", *_KERNELS):
            raise SettingsError(
                f"camera-noise: demosaicking must be one of drawn, {', '.join(_KERNELS)}, got {self.demosaicking!r}"
            )

    @property
    def severity(self) -> float:
        """Twice sigma of mid-grey, 100 at most: the mean over cameras, after their processing and the change of size."""
        shot, read = _variances(self.iso)
        grey = ((0.5 + 0.055) / 1.055) ** 2.4
        sigma: float = 255 * _SPREAD * math.sqrt(shot * grey + read)
        # How much is left, by the stages: measured, too.
        left: float = (1 + 0.18 * self.sharpening) * min(1.0, self.scale) ** 0.5 / (1 + 1.6 * self.denoising)
        return min(100.0, 2 * sigma * left)

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1], C = 1 or 3, to degraded, same shape, in [0, 1]."""
        return degrade_each(clean, lambda image: self._noisy(image, generator))

    def _noisy(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        if not self.iso:
            return clean.clone()
        scene = clean.detach().cpu().float().clamp(0, 1).expand(3, -1, -1)
        sizes = [max(1, round(length / self.scale)) for length in clean.shape[1:]]
        noise = self._added(_resized(scene, sizes), generator)
        noise = _resized(noise, list(clean.shape[1:]))
        if len(clean) == 1:
            noise = _luma(noise)
        return (clean + noise.to(clean)).clamp_(0, 1)

    def _added(self, scene: Tensor, generator: torch.Generator) -> Tensor:
        """What the camera adds to a photograph (3, H, W) of the sensor's size."""
        height, width = scene.shape[1:]
        scene = _widened(scene)
        camera, phase = _camera(generator), _phase(generator)
        drawn = _WAYS[_below(2, generator)] if self.demosaicking == "drawn" else self.demosaicking
        raw = camera.raw(scene)
        colours = demosaicked(self._measured(raw, phase, generator), phase, drawn)
        noise = camera.developed(raw + colours) - camera.developed(raw)
        return self._processed(noise, _luma(scene), generator)[:, :height, :width]

    def _measured(self, raw: Tensor, phase: Phase, generator: torch.Generator) -> Tensor:
        """The noise of the mosaic (H, W) over raw colours (3, H, W)."""
        signal = _mosaic(raw, phase)
        shot, read = _variances(self.iso, float(torch.randn((), generator=generator)))
        noise = torch.randn(signal.shape, generator=generator)
        noise.mul_(signal.clamp_(min=0).mul_(shot).add_(read).sqrt_())
        if self.defects:
            noise.add_(torch.randn(len(signal), 1, generator=generator), alpha=_ROWS * self.defects * read**0.5)
            shining = torch.rand(signal.shape, generator=generator) < _HOT * self.defects
            noise.add_(torch.rand(signal.shape, generator=generator).mul_(shining))
        return noise

    def _processed(self, noise: Tensor, luma: Tensor, generator: torch.Generator) -> Tensor:
        """Noise (3, H, W) after the camera's denoising and sharpening; the picture's luma (1, H, W) tells it where edges are."""
        wide, narrow, radius = torch.rand(3, generator=generator).tolist()
        brightness = _luma(noise)
        colour = noise - brightness
        if self.denoising:
            flat = self.denoising * _flatness(luma)
            colour = torch.lerp(colour, _blurred(colour, 4.0**wide), flat.sqrt())
            brightness = torch.lerp(brightness, _blurred(brightness, 0.4 + narrow), flat)
        if self.sharpening:
            # An extrapolation away from the blurred noise: what an unsharp mask does to it.
            brightness = torch.lerp(_blurred(brightness, 0.5 + radius), brightness, 1 + self.sharpening)
        return colour + brightness


def _variances(iso: float, scatter: float = 0.0) -> tuple[float, float]:
    """The variance per unit of signal and the constant one, in raw values; `scatter` in standard deviations of the second."""
    shot = iso * _SHOT_OF_ISO
    return shot, math.exp(2.18 * math.log(shot) + 1.20 + _READ_SCATTER * scatter) if shot else 0.0


def _camera(generator: torch.Generator) -> Camera:
    """One of Brooks et al., but for any light from lamps to a clear sky, and with a tone curve of any strength."""
    camera = Camera.draw(3, generator)
    cold, tone = torch.rand(2, generator=generator).tolist()
    exposure = 1 / float(camera.gains[1])
    gains = torch.tensor([1.3 + 1.1 * cold, 1.0, 2.9 - 1.4 * cold]) / exposure
    return replace(camera, gains=gains, tone=tone)


def _phase(generator: torch.Generator) -> Phase:
    return _below(2, generator), _below(2, generator)


def _mosaic(raw: Tensor, phase: Phase) -> Tensor:
    """(H, W): of raw colours (3, H, W) the one that each pixel has."""
    row, column = phase
    mosaic = raw[1].clone()
    mosaic[row::2, column::2] = raw[0, row::2, column::2]
    mosaic[1 - row :: 2, 1 - column :: 2] = raw[2, 1 - row :: 2, 1 - column :: 2]
    return mosaic


def _widened(scene: Tensor) -> Tensor:
    """A picture (C, H, W) repeated at its border to right and bottom, where it is smaller than a mosaic must be."""
    height, width = scene.shape[1:]
    return F.pad(scene[None], (0, max(0, _LEAST - width), 0, max(0, _LEAST - height)), mode="replicate")[0]


def _flatness(luma: Tensor) -> Tensor:
    """(1, H, W), how much of the denoising there is: all of it where the picture is flat, less at edges."""
    around = F.pad(luma[None], (1, 1, 1, 1), mode="replicate")[0]
    steps = (around[:, 1:-1, 2:] - around[:, 1:-1, :-2]).square() + (
        around[:, 2:, 1:-1] - around[:, :-2, 1:-1]
    ).square()
    return steps.mul_(-1 / (2 * _EDGE) ** 2).exp_().mul_(1 - _AT_EDGES).add_(_AT_EDGES)


def _blurred(planes: Tensor, sigma: float) -> Tensor:
    """(C, H, W) under a Gaussian of standard deviation `sigma` pixels, mirrored at the border."""
    reach = min(math.ceil(3 * sigma), *(length - 1 for length in planes.shape[1:]))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma).square())
    taps = (taps / taps.sum()).reshape(1, 1, -1, 1)
    wide = F.pad(planes[:, None], (reach, reach, reach, reach), mode="reflect")
    return F.conv2d(F.conv2d(wide, taps), taps.mT)[:, 0]


def _resized(image: Tensor, size: list[int]) -> Tensor:
    if list(image.shape[1:]) == size:
        return image
    return F.interpolate(image[None], size, mode="bicubic", align_corners=False, antialias=True)[0]


def _luma(image: Tensor) -> Tensor:
    """(1, H, W) of (3, H, W)."""
    return (image * torch.tensor(LUMA).reshape(3, 1, 1)).sum(0, keepdim=True)


def _below(bound: int, generator: torch.Generator) -> int:
    """A whole number from 0 to bound - 1."""
    return int(torch.randint(bound, (), generator=generator))
