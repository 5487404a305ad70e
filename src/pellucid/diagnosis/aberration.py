"""Lateral chromatic aberration, measured: by how much red and blue are drawn larger than green."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.degradations.aberration import magnified
from pellucid.diagnosis.traces import box
from pellucid.scratch import block_means, everywhere, shrunk

__all__ = ["Fringes", "find_fringes"]

SIDES = (256, 1024)
"""Pixels of the longer side at which it is measured, coarse and then fine."""
ROUNDS = 2
HINT = 0.3
"""Pixels that a colour must be off in the corners when it was looked at coarsely, for it to be looked at finely: where
it was off by SHIFT at the end, it was by more than this here (80 photographs, half of them with fringes made)."""
SMALLEST = 128
"""Pixels of a side of pictures that show too little of it."""
SHIFT = 0.6
"""Pixels that a colour must be off in the corners of the picture."""
MOST = 0.012
"""Larger differences are no lens's."""
EXPLAINED = 0.15
"""Part of the squared differences between a colour and green that must go when the colour is drawn back."""


@dataclass(frozen=True)
class Fringes:
    """By which part of itself red and blue are larger than green; and by how many pixels at most, in the corners."""

    red: float
    blue: float
    pixels: float

    @property
    def severity(self) -> float:
        """As of the degradation `aberration`: twenty for each thousandth, 100 at most."""
        return min(100.0, 20_000 * float(torch.tensor([self.red, self.blue]).norm()))


def find_fringes(image: Tensor) -> Fringes | None:
    """The magnification of red and blue in an image (1, 3, H, W) or (3, H, W) in [0, 1]; None where there is none.

    Where a colour c is drawn larger by f than green g, c(r) = g(r - f r), so that c - g = -f r . grad g: f is found by
    least squares, after the colours were made equally strong in each place, and c drawn back; twice at each size (Lucas
    and Kanade, IJCAI 1981, with one unknown). It counts where then less of the difference is left.
    """
    planes = image.detach().reshape(3, *image.shape[-2:]).float()
    if min(planes.shape[1:]) < SMALLEST or everywhere(lambda part: part == part[:1], planes):
        return None
    corner = float(torch.tensor(planes.shape[1:], dtype=torch.float32).norm()) / 2
    fine = shrunk(block_means, planes, max(1, round(max(planes.shape[1:]) / SIDES[1])))
    coarse = block_means(fine, max(1, round(max(fine.shape[1:]) / SIDES[0])))
    found = [_factor([(size[channel], size[1]) for size in (coarse, fine)], corner) for channel in (0, 2)]
    return Fringes(found[0], found[1], max(map(abs, found)) * corner) if any(found) else None


def _factor(sizes: list[tuple[Tensor, Tensor]], corner: float) -> float:
    """By which part of itself a colour is larger than green; 0 where that explains too little.

    Args:
        sizes: a colour and green, (h, w), coarse and fine.
        corner: pixels from the middle of the picture to its corners.
    """
    factor = 0.0
    for colour, green in sizes:
        for _ in range(ROUNDS):
            factor += _step(magnified(colour, 1 / (1 + factor)), green)[0]
            if abs(factor) > MOST:
                return 0.0
        if abs(factor) * corner < HINT:
            return 0.0
    colour, green = sizes[-1]
    before, after = (_step(magnified(colour, 1 / (1 + one)), green)[1] for one in (0.0, factor))
    return factor if abs(factor) * corner > SHIFT and after < (1 - EXPLAINED) * before else 0.0


def _step(colour: Tensor, green: Tensor) -> tuple[float, float]:
    """By how much a colour (H, W) still is larger than green, and the mean square of their difference."""
    colour, green = _detail(colour), _detail(green)
    shared, own, other = _box(colour * green), _box(green * green), _box(colour * colour)
    weight = shared / own.clamp_min(1e-6)
    alike = shared.square() / (own * other).clamp_min(1e-12)
    height, width = green.shape
    rows = (torch.arange(height, device=green.device)[:, None] - (height - 1) / 2)[1:-1]
    columns = (torch.arange(width, device=green.device) - (width - 1) / 2)[1:-1]
    inside = (slice(1, -1), slice(1, -1))
    trusted = (alike[inside] > 0.5) & (weight[inside] > 0.2)
    down, across = (green[2:, 1:-1] - green[:-2, 1:-1]) / 2, (green[1:-1, 2:] - green[1:-1, :-2]) / 2
    radial = -(rows * down + columns * across) * trusted
    difference = ((colour / weight.clamp_min(0.2))[inside] - green[inside]) * trusted
    count = max(1, int(trusted.sum()))
    power = float(radial.square().sum())
    return float((difference * radial).sum()) / power if power else 0.0, float(difference.square().sum()) / count


def _detail(plane: Tensor) -> Tensor:
    return plane - _box(plane, 9)


def _box(plane: Tensor, side: int = 17) -> Tensor:
    return box(plane[None, None], side)[0, 0]
