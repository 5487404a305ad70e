"""The colour of the light that a photograph was taken in, where everything shows it."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.degradations.colours import cast_angle
from pellucid.degradations.linear_light import linear
from pellucid.scratch import block_means, everywhere, shrunk

__all__ = ["ColourCast", "find_colour_cast"]

SIDE = 256
"""Pixels of the longer side of what is looked at."""
LEAST, APART = 10.0, 12.0
"""Degrees from grey at which both estimates must be, and by which they may differ."""
SURE = 18.0, 26.0
"""Degrees between which a light is most likely the cause: one in twenty of the 185 clean photographs by which they were
chosen lies there. What is nearer to grey, or farther from it, is as often the colour of what was photographed."""
POWER = 6
"""Minkowski's p: between the mean of a photograph, 1, and its brightest place, without end."""
DARK, BRIGHT = 0.01, 0.97
"""Values of linear light, and encoded ones, beyond which colours tell nothing."""


@dataclass(frozen=True)
class ColourCast:
    """A light, (3,) in linear light, of mean 1."""

    light: Tensor

    @property
    def severity(self) -> float:
        """Five for each degree between it and grey, as of the degradation `colour-cast`; 100 at most."""
        return min(100.0, 5 * cast_angle(self.light))

    @property
    def sure(self) -> bool:
        """Whether it is worth telling somebody who has not asked."""
        return SURE[0] <= cast_angle(self.light) < SURE[1]

    @property
    def hue(self) -> str:
        """What it is called."""
        red, green, blue = self.light.tolist()
        middle = (red + blue) / 2
        if abs(green - middle) > abs(red - blue):
            return "green" if green > middle else "magenta"
        return "orange" if red > blue else "blue"


def find_colour_cast(image: Tensor) -> ColourCast | None:
    """The light's colour in an image (1, 3, H, W) or (3, H, W) in [0, 1], where it is far from grey; else None.

    Two estimates that err in different ways must agree: the Minkowski norm of the picture (shades of grey, Finlayson
    and Trezzi, CIC 2004), and that of its edges (grey edge, van de Weijer, Gevers and Gijsenij, IEEE TIP 2007, equation
    13). It is a guess: an autumn, a sunset or a brown cat passes for a cast, and many a cast is not seen.
    """
    planes = image.detach().reshape(1, 3, *image.shape[-2:]).float()
    factor = max(1, -(-max(planes.shape[2:]) // SIDE))
    if min(planes.shape[2:]) < 8 * factor or everywhere(lambda part: part == part[:, :1], planes):
        return None
    small = shrunk(block_means, planes, factor)
    light = linear(small)[0]
    told = (light.amax(0) > DARK) & (small[0].amax(0) < BRIGHT)
    if int(told.sum()) < 64:
        return None
    inside = light[:, told]
    smooth = F.avg_pool2d(light[None], 3, 1, 1, count_include_pad=False)[0]
    edges = torch.hypot(smooth[:, 1:, :-1] - smooth[:, :-1, :-1], smooth[:, :-1, 1:] - smooth[:, :-1, :-1])
    edges = edges[:, told[:-1, :-1] & told[1:, :-1] & told[:-1, 1:]]
    if edges.shape[1] < 64:
        return None
    lights = [_norm(inside), _norm(edges)]
    if float(lights[1].max()) < 1e-6 or min(map(cast_angle, lights)) < LEAST:
        return None
    units = torch.stack([one / one.norm() for one in lights])
    if float((units @ units.T).min().clamp(-1, 1).acos()) * 180 / torch.pi > APART:
        return None
    mean = units.mean(0)
    return ColourCast(mean / mean.mean())


def _norm(values: Tensor) -> Tensor:
    """Minkowski's norm of each row of (3, n)."""
    return values.pow(POWER).mean(1).pow(1 / POWER)
