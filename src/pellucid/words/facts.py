"""What can be said of a photograph truthfully, because it is measured: colours by name and place, light, texture.

Nothing here knows objects. That a blue above may be called a sky is a way to speak (`words.sentences`), no finding.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.images.lab import lab_of

__all__ = ["COLOURS", "PLACES", "TONES", "Facts", "colour_shares", "measured", "named"]

COLOURS = (
    "black",
    "grey",
    "white",
    "red",
    "orange",
    "yellow",
    "green",
    "turquoise",
    "blue",
    "purple",
    "pink",
    "brown",
    "beige",
)
ACHROMATIC = 3
"""The first of the colours have no hue."""
PLACES = ("whole", "above", "below", "left", "right", "middle")
TONES = (
    "dark",
    "bright",
    "low contrast",
    "high contrast",
    "vivid",
    "muted",
    "colourless",
    "warm",
    "cool",
    "smooth",
    "detailed",
    "night",
    "sunset",
    "day",
)
SIDE = 48
"""Pixels of the longer side that colours are named in."""
FINE = 256
"""And that texture is measured in."""


@dataclass(frozen=True)
class Facts:
    """What is true of one photograph.

    Attributes:
        shares: which part of each place has which colour, (places, colours), rows of sum 1.
        tones: of TONES, those that hold.
        kinds: what is wrong with it, severities 0 to 100 by kind of degradation; None where nobody has looked.
    """

    shares: Tensor
    tones: frozenset[str] = frozenset()
    kinds: Mapping[str, float] | None = field(default=None)

    def share(self, place: str, colour: str) -> float:
        """Which part of a place has a colour."""
        return float(self.shares[PLACES.index(place), COLOURS.index(colour)])


def named(lab: Tensor) -> Tensor:
    """The colour of each pixel of (B, 3, H, W), by its number in COLOURS, int64 (B, H, W).

    By lightness, chroma and hue angle. The borders are ours, set by the hues of sRGB's own colours, of foliage, sky,
    earth and skin; people draw them elsewhere by ten degrees.
    """
    light, a, b = lab.unbind(1)
    chroma, hue = torch.hypot(a, b), torch.rad2deg(torch.atan2(b, a)) % 360
    names = torch.full_like(hue, COLOURS.index("red"), dtype=torch.long)
    for name, low, high in (
        ("orange", 48, 75),
        ("yellow", 75, 103),
        ("green", 103, 168),
        ("turquoise", 168, 222),
        ("blue", 222, 305),
        ("purple", 305, 338),
        ("pink", 338, 365),
    ):
        names[(hue >= low) & (hue < high)] = COLOURS.index(name)
    names[hue < 5] = COLOURS.index("pink")
    names[(hue < 40) & (hue >= 5) & (light > 65) & (chroma > 12)] = COLOURS.index("pink")
    earth = (hue >= 25) & (hue < 92)
    names[earth & (light < 58) & (chroma < 46)] = COLOURS.index("brown")
    names[(hue >= 40) & (hue < 100) & (light >= 58) & (chroma < 34)] = COLOURS.index("beige")
    names[(hue >= 92) & (hue < 103) & (light < 62)] = COLOURS.index("green")
    pale = chroma < 8.5
    names[pale] = COLOURS.index("grey")
    names[pale & (light > 82)] = COLOURS.index("white")
    names[(light > 93) & (chroma < 12)] = COLOURS.index("white")
    names[(pale & (light < 22)) | (light < 9)] = COLOURS.index("black")
    return names


def colour_shares(lab: Tensor) -> Tensor:
    """Which part of each place of a picture (1, 3, h, w) in CIELAB has which colour: (places, colours)."""
    height, width = lab.shape[2:]
    one = F.one_hot(named(lab)[0], len(COLOURS)).float()

    def part(low: float, high: float, length: int) -> slice:
        begin = min(math.floor(low * length), length - 1)
        return slice(begin, max(begin + 1, math.ceil(high * length)))

    boxes = {
        "whole": (0, 1, 0, 1),
        "above": (0, 0.35, 0, 1),
        "below": (0.65, 1, 0, 1),
        "left": (0, 1, 0, 0.33),
        "right": (0, 1, 0.67, 1),
        "middle": (0.3, 0.7, 0.3, 0.7),
    }
    return torch.stack(
        [
            one[part(top, bottom, height), part(left, right, width)].mean((0, 1))
            for top, bottom, left, right in (boxes[place] for place in PLACES)
        ]
    )


def measured(image: Tensor, kinds: Mapping[str, float] | None = None) -> Facts:
    """The facts of a picture (1, 3, H, W) in [0, 1], any size. Raises ValueError where it is none."""
    if image.ndim != 4 or image.shape[:2] != (1, 3) or 0 in image.shape:
        raise ValueError(f"expected a picture (1, 3, H, W), got {tuple(image.shape)}")
    fine = _small(image, FINE)
    small = lab_of(_small(fine, SIDE))
    shares = colour_shares(small)
    light, chroma = small[0, 0], small[0, 1:].norm(dim=0)
    mean, spread = float(light.mean()), float(light.std(correction=0))
    colour = small[0, 1:].mean((1, 2))
    luma = lab_of(fine)[:, :1]
    slope = 0.5 * float(
        _mean((luma[..., 1:] - luma[..., :-1]).abs()) + _mean((luma[..., 1:, :] - luma[..., :-1, :]).abs())
    )
    warm_above = float(
        shares[PLACES.index("above"), [COLOURS.index(c) for c in ("red", "orange", "yellow", "pink")]].sum()
    )
    sky = float(shares[PLACES.index("above"), COLOURS.index("blue")])
    vivid = float(chroma.mean())
    tones = {
        "dark": mean < 33,
        "bright": mean > 66,
        "low contrast": spread < 13,
        "high contrast": spread > 27,
        "vivid": vivid > 26,
        "muted": 2 < vivid < 9,
        "colourless": vivid <= 2,
        "warm": float(colour[1]) > 11,
        "cool": float(colour[1]) < -5,
        "smooth": slope < 2.2,
        "detailed": slope > 6.0,
        "night": mean < 22,
        "sunset": warm_above > 0.35 and mean < 62,
        "day": mean > 42 and sky > 0.35,
    }
    return Facts(shares, frozenset(name for name, holds in tones.items() if holds), kinds)


def _small(image: Tensor, side: int) -> Tensor:
    longer = max(image.shape[2:])
    if longer <= side:
        return image.float().clamp(0, 1)
    size = [max(1, round(length * side / longer)) for length in image.shape[2:]]
    return F.interpolate(image.float().clamp(0, 1), size, mode="bilinear", antialias=True)


def _mean(values: Tensor) -> Tensor:
    return values.mean() if values.numel() else values.new_zeros(())
