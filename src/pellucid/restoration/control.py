"""What becomes of a restored picture beside the picture that it was made from: how much of which change is kept.

Pure functions of the two pictures, in memory or on the disk. But for `faithful`, which asks about all of a picture,
each looks no farther than `Controls.halo` pixels, so that a part of a picture with so many pixels around it comes out
as in the whole. Nothing here runs a network: a picture is restored once, and may then be mixed in any number of ways.

Sources: the finest band is the first one of the starlet transform, with its B3 spline (Starck, Murtagh and Fadili,
"Sparse Image and Signal Processing", 2010, chapter 3); luma is that of ITU-R BT.601 in full range. That low frequencies
are kept within a bound is a projection onto a convex set, approached by corrections of what lies outside (Landweber,
"An iteration formula for Fredholm integral equations of the first kind", 1951).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import SettingsError
from pellucid.images.luma import LUMA
from pellucid.images.padding import pad_around, pad_to_multiple
from pellucid.restoration.options import RestoreOptions, check_part, is_number
from pellucid.scratch import bands, mapped

__all__ = ["FAITHFUL_SIGMA", "Controls", "controlled", "feathered", "fine_band", "low_frequencies"]

_SPLINE = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
FAITHFUL_SIGMA = 8.0
"""Of the Gaussian, in pixels, whose mean counts as the low frequencies of a picture."""
_AIMS = (0.95, 0.88, 0.81, 0.74, 0.67, 0.6, 0.53, 0.46)
"""Parts of the bound that the rounds aim at. Most pictures need two."""
_COARSE, _STEPS = 4, 4
_BELL_REACH = round(3 * FAITHFUL_SIGMA)
_STEP_REACH = (_STEPS + 1) * _BELL_REACH
"""How far a correction of the low frequencies looks, a multiple of _COARSE."""


@dataclass(frozen=True)
class Controls:
    """How much of a restoration is kept.

    Attributes:
        strength: 0 gives the degraded picture back, 1 the restored one.
        luminance: part of what the restoration did to the luma that is kept, 0 to 1.
        chroma: part of what it did to the colours that is kept, 0 to 1.
        detail: how much of the finest band of the degraded picture, its grain, comes back, 0 to 1.
        faithful: how far the low frequencies of the result may be from those of the degraded picture, in steps of 255;
            None for as far as they are.

    Raises:
        SettingsError: one out of its range.
    """

    strength: float = 1.0
    luminance: float = 1.0
    chroma: float = 1.0
    detail: float = 0.0
    faithful: float | None = None

    def __post_init__(self) -> None:
        for name in ("strength", "luminance", "chroma", "detail"):
            check_part(name, getattr(self, name))
        if self.faithful is not None and (not is_number(self.faithful) or not 0 < self.faithful <= 255):
            raise SettingsError(f"faithful must be a number of steps of 255, above 0, got {self.faithful!r}")

    @classmethod
    def of(cls, options: RestoreOptions, **instead: Any) -> Self:
        """Those of the options of a restoration, but for what is given here."""
        return cls(**{one.name: getattr(options, one.name) for one in fields(cls)} | instead)

    @property
    def neutral(self) -> bool:
        """Whether the restored picture stays as it is."""
        return self == Controls()

    @property
    def halo(self) -> int:
        """How many pixels around a part of a picture have a say in it, but for `faithful`."""
        return len(_SPLINE) // 2 if self.detail else 0


def controlled(degraded: Tensor, restored: Tensor, controls: Controls, weight: Tensor | None = None) -> Tensor:
    """The restored picture with as much of what was done to it as is wanted.

    Args:
        degraded: (1, 3, H, W) in [0, 1].
        restored: of the same shape; returned as it is where nothing else is wanted.
        controls: what is wanted.
        weight: (1, 1, H, W) in [0, 1], where it is wanted: at 0 the degraded picture stays, to the bit. As `feathered`
            gives it.
    """
    if controls.neutral and weight is None:
        return restored
    given = (degraded, restored) if weight is None else (degraded, restored, weight)
    result = mapped(lambda *parts: _mixed(controls, *parts), *given, halo=controls.halo)
    if controls.faithful is not None:
        result = _near(degraded, result, controls.faithful / 255, *given[2:])
    return result


def _mixed(controls: Controls, degraded: Tensor, restored: Tensor, weight: Tensor | None = None) -> Tensor:
    """What is wanted of each place by itself."""
    result = restored
    strength, luminance, chroma = controls.strength, controls.luminance, controls.chroma
    if luminance == chroma:
        if strength * luminance < 1:
            result = torch.lerp(degraded, restored, strength * luminance)
    else:
        change = restored - degraded
        luma = _luma(change)
        change = luma * (strength * luminance) + (change - luma) * (strength * chroma)
        result = _into_gamut(degraded + change)
    if controls.detail:
        result = (result + controls.detail * (fine_band(degraded) - fine_band(result))).clamp(0, 1)
    if weight is not None:
        result = torch.where(weight > 0, torch.lerp(degraded, result, weight), degraded)
    return result


def fine_band(image: Tensor) -> Tensor:
    """The finest band of a picture (B, C, H, W): the picture less its smooth, by a B3 spline over 5 pixels."""
    return image - _smoothed(image, _SPLINE)


def low_frequencies(image: Tensor) -> Tensor:
    """The means of a picture (B, C, H, W) around each pixel, by a Gaussian of sigma `FAITHFUL_SIGMA`."""
    return _smoothed(image, _bell(FAITHFUL_SIGMA))


def feathered(mask: Tensor, feather: int) -> Tensor:
    """A mask (1, 1, H, W) in [0, 1] whose weights rise within it, over so many pixels from where it is 0.

    What is 0 stays 0: nothing is changed outside of a mask. At the border of the picture nothing falls.
    """
    return mapped(lambda part: _risen(part, feather), mask, halo=feather)


def _risen(mask: Tensor, feather: int) -> Tensor:
    inside = (mask > 0).to(mask.dtype)
    total, shrunk = inside.clone(), inside
    for step in range(1, feather):
        # A square and a cross by turns make an octagon, near enough to a circle.
        if step % 2:
            shrunk = -F.max_pool2d(-shrunk, 3, 1, 1)
        else:
            across, along = (-F.max_pool2d(-shrunk, size, 1, pad) for size, pad in (((1, 3), (0, 1)), ((3, 1), (1, 0))))
            shrunk = torch.minimum(across, along)
        total += shrunk
    ramp = total / max(feather, 1)
    return mask * (ramp if feather < 2 else ramp * ramp * (3 - 2 * ramp))


def _luma(image: Tensor) -> Tensor:
    """Luma (B, 1, H, W) of pictures or of their differences, which are not clipped."""
    weights = torch.tensor(LUMA, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True)


def _into_gamut(image: Tensor) -> Tensor:
    """Colours that no screen has, paler until it has them; luma stays."""
    luma = _luma(image).clamp(0, 1)
    colour = image - _luma(image)
    room = torch.where(colour > 0, 1 - luma, luma) / colour.abs().clamp_min(1e-6)
    return (luma + colour * room.amin(1, keepdim=True).clamp_max(1)).clamp(0, 1)


def _near(degraded: Tensor, result: Tensor, most: float, *weight: Tensor) -> Tensor:
    """The result with low frequencies within `most` of those of the degraded picture.

    Each round takes off what is too much, and aims a little lower than the one before; what is too much after the last
    is scaled away.
    """
    for aim in _AIMS:
        low, worst = _low(degraded, result)
        if worst <= most:
            return result

        def nearer(result: Tensor, low: Tensor, *weight: Tensor, bound: float = most * aim) -> Tensor:
            excess = _sharpened(low - low.clamp(-bound, bound))
            return (result - (excess * weight[0] if weight else excess)).clamp(0, 1)

        result = mapped(nearer, result, low, *weight, halo=_STEP_REACH, multiple=_COARSE)
    worst = _low(degraded, result)[1]
    part = most / worst * (1 - 1e-6) if worst > most else 1.0
    return result if part == 1 else mapped(lambda one, other: one + (other - one) * part, degraded, result)


def _low(degraded: Tensor, result: Tensor) -> tuple[Tensor, float]:
    """The low frequencies of what was done to a picture, and the largest of them."""
    low = mapped(lambda one, other: low_frequencies(other - one), degraded, result, halo=_BELL_REACH)
    return low, max(float(low[..., rows, :].abs().amax()) for rows in bands(low))


def _sharpened(excess: Tensor) -> Tensor:
    """What must be taken off so that about this much is gone of the low frequencies: their Gaussian undone by a few
    steps of Landweber's iteration, at a quarter of the size, which is enough for anything so smooth."""
    height, width = excess.shape[2:]
    small = F.avg_pool2d(pad_to_multiple(excess, _COARSE), _COARSE)
    found = small
    for _ in range(_STEPS):
        found = small + found - _smoothed(found, _bell(FAITHFUL_SIGMA / _COARSE))
    more = F.interpolate(found - small, scale_factor=_COARSE, mode="bilinear", align_corners=False)
    return excess + more[:, :, :height, :width]


def _bell(sigma: float) -> list[float]:
    """The weights of a Gaussian over three of its sigmas."""
    reach = round(3 * sigma)
    places = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    total: list[float] = (weights / weights.sum()).tolist()
    return total


def _smoothed(image: Tensor, weights: Sequence[float]) -> Tensor:
    """Means along rows and columns with these weights."""
    result = pad_around(image, len(weights) // 2)
    for axis in (2, 3):  # added up shift by shift: a convolution of single channels takes ten times as long
        length = result.shape[axis] - len(weights) + 1
        shifts = [result.narrow(axis, at, length) for at in range(len(weights))]
        result = shifts[0] * weights[0]
        for shift, weight in zip(shifts[1:], weights[1:], strict=True):
            result.add_(shift, alpha=weight)
    return result
