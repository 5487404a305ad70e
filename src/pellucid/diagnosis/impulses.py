"""Impulses: pixels that were lost, to black or to white, and pixels of a sensor that shine by themselves.

Such a pixel stands alone: its neighbours agree with each other and not with it. Photographs have such places too, as
stars and specks of light. So salt and pepper is found only where both are there and nearly all that stands alone is
quite black or quite white, and hot pixels only where next to nothing stands alone the other way, and a lens has not
spread them over their neighbours as it spreads stars.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.scratch import mapped, total

__all__ = ["Impulses", "find_impulses"]

ENOUGH = 1024
"""Pixels of a side of the part by which it is decided whether there are any."""
BLACK, WHITE = 4 / 255, 251 / 255
"""What counts as quite black and quite white."""
APART = 0.2
"""By how much a lonely value differs from the median around it."""
ALIKE = 0.15
"""Values that differ by less are no strangers."""
LEAST = 2e-4
"""Part of the pixels that must be salt, and that must be pepper."""
EXTREME = 0.8
"""Part of all lonely values that must be black or white."""
HOT, HOT_COUNT, HOT_PART = 0.25, 10, 1e-5
"""By how much a hot pixel exceeds all of its neighbours; how many there must be, and which part of the pixels."""
QUIET = 0.02
"""The usual step between neighbours, beyond which hot pixels cannot be told from noise."""
VISIBLE = 0.08
"""Lost values that differ by less from what is around them are left as they are: nobody sees them."""
AT_ONCE = 2**18
"""Values whose neighbours are looked at together."""
NEAR = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if down or across]
WIDE = [(down, across) for down in range(-2, 3) for across in range(-2, 3) if down or across]
REACH = 2
"""How far the neighbours are."""
RING = [(down, across) for down, across in WIDE if max(abs(down), abs(across)) == 2]


@dataclass(frozen=True)
class Impulses:
    """Lost values of a photograph.

    Attributes:
        form: `salt-and-pepper` or `hot-pixels`.
        mask: (3, H, W), whether a value is lost.
    """

    form: str
    mask: Tensor

    @property
    def part(self) -> float:
        """The part of the pixels of which a value is lost, 0 to 1."""
        pixels = self.mask.shape[-2] * self.mask.shape[-1]
        return float(total(lambda mask: mask.any(0).count_nonzero(), self.mask)) / pixels

    @property
    def severity(self) -> float:
        """200 times the part, 100 at most, as of `impulse-noise`; of hot pixels 5 at least."""
        return min(100.0, max(200 * self.part, 5.0 if self.form == "hot-pixels" else 0.0))

    def within(self, rows: slice, columns: slice) -> Self:
        """Those of a part."""
        return replace(self, mask=self.mask[:, rows, columns])


def find_impulses(image: Tensor, visible: tuple[slice, slice] = (slice(None), slice(None))) -> Impulses | None:
    """The lost values of an image (1, 3, H, W) or (3, H, W) in [0, 1]; None where there are none, or it is too small.

    The test for values that stand alone is a rank test as of the switching median filters (Sun and Neuvo,
    "Detail-preserving median based filters in image processing", Pattern Recognition Letters 1994).

    Args:
        image: the image.
        visible: the rows and columns by which it is decided whether there are any.
    """
    planes = image.detach().reshape(3, *image.shape[-2:]).float()
    shown = planes[:, *visible]
    if min(shown.shape[1:]) < 16:
        return None
    top, left = (max(0, length - ENOUGH) // 2 for length in shown.shape[1:])
    part = shown[:, top : top + ENOUGH, left : left + ENOUGH]
    density, whole = _salt_and_pepper(part)
    if density:
        lost = mapped(lambda some: _lost(some[0], density, whole=whole)[None], planes[None], halo=REACH)
        return Impulses("salt-and-pepper", lost[0])
    if _has_hot_pixels(part):
        hot = mapped(lambda some: _hot(some[0], 1).any(0)[None, None], planes[None], halo=REACH)
        return Impulses("hot-pixels", hot[0].expand(3, -1, -1))
    return None


def _salt_and_pepper(planes: Tensor) -> tuple[float, bool]:
    """About which part is lost, 0 for none, and whether whole pixels are lost and not channels of them."""
    ends = planes.amax(0) >= WHITE, planes.amin(0) <= BLACK
    if min(float(end.float().mean()) for end in ends) < LEAST:
        return 0.0, False  # as with most pictures; what stands alone need not be looked for
    strangers = [_strangers(plane) for plane in planes]
    extreme = (planes >= WHITE) | (planes <= BLACK)
    salt, pepper = (torch.zeros(planes.shape, dtype=torch.bool, device=planes.device) for _ in range(2))
    for channel, (plane, strange) in enumerate(zip(planes, strangers, strict=True)):
        row, column, apart = _alone(plane, strange & extreme[channel])
        bright = plane[row, column] >= WHITE
        white, black = bright & (apart > 0), ~bright & (apart < 0)
        salt[channel, row[white], column[white]] = True
        pepper[channel, row[black], column[black]] = True
    shares = [float(found.any(0).float().mean()) for found in (salt, pepper)]
    if min(shares) < LEAST or min(shares) < 0.2 * max(shares):
        return 0.0, False
    found, lonely = int(salt.sum() + pepper.sum()), 0
    for plane, strange in zip(planes, strangers, strict=True):
        lonely += len(_alone(plane, strange)[0])
        if found < EXTREME * lonely:
            return 0.0, False
    lost = salt | pepper
    whole = int(lost.all(0).sum()) > 0.5 * int(lost.any(0).sum())
    # Of those that are lost a part has no lost neighbour, and only they were counted: q (1 - q / 2)^8 of each.
    density = sum(shares)
    for _ in range(20):
        density = min(0.5, sum(shares) / (1 - density / 2) ** 8)
    return density, whole


def _alone(plane: Tensor, among: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and columns of those among some values of (H, W) that stand alone, and how far each is from the median
    around it."""
    row, column = among.nonzero(as_tuple=True)
    value, around = plane[row, column], _around(plane, row, column, NEAR)
    ordered = around.sort(1).values
    median = (ordered[:, 3] + ordered[:, 4]) / 2
    spread = (around - median[:, None]).abs().median(1).values
    apart = value - median
    alone = (apart.abs() > APART) & (spread < apart.abs() / 5)
    alone &= ((around - value[:, None]).abs() >= ALIKE).all(1)
    return row[alone], column[alone], apart[alone]


def _lost(planes: Tensor, density: float, *, whole: bool) -> Tensor:
    """(3, H, W), what is lost, once it is known that about this part is."""
    extreme = (planes <= BLACK) | (planes >= WHITE)
    if whole:
        extreme &= ((planes <= BLACK).all(0) | (planes >= WHITE).all(0))[None]
    mask = torch.zeros_like(extreme)
    most = 2 + 24 * density / 2 * 3
    for channel, plane in enumerate(planes):
        row, column = (extreme[channel] & (_steps(plane) > VISIBLE / 4)).nonzero(as_tuple=True)
        for start in range(0, len(row), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            value, around = plane[row[some], column[some]], _around(plane, row[some], column[some], WIDE)
            kept = (around > BLACK) & (around < WHITE)
            known = torch.where(kept, around, float("nan")).nanmedian(1).values
            known = torch.where(kept.sum(1) >= 3, known, around.median(1).values)
            alike = torch.where(value[:, None] <= BLACK, around <= BLACK, around >= WHITE).sum(1)
            lost = ((value - known).abs() > VISIBLE) & (alike <= most)
            mask[channel, row[some][lost], column[some][lost]] = True
    return mask.any(0).expand(3, -1, -1).clone() if whole else mask


def _has_hot_pixels(planes: Tensor) -> bool:
    if any(2 * int((_steps(plane) <= QUIET).count_nonzero()) <= plane.numel() for plane in planes):
        return False
    hot, cold = _hot(planes, 1), _hot(planes, -1)
    count, other = int(hot.any(0).sum()), int(cold.any(0).sum())
    if count < max(HOT_COUNT, HOT_PART * planes[0].numel()) or count < 5 * other:
        return False
    # Stars are white, and lie on black.
    place = hot.any(0)
    coloured = int((hot.sum(0) == 1).sum())
    ground = F.avg_pool2d(F.pad(planes.mean(0)[None, None], (2, 2, 2, 2), mode="reflect"), 5, 1)[0, 0][place]
    return coloured >= 0.5 * count or float((ground > 0.15).float().mean()) > 0.5


def _hot(planes: Tensor, sign: int) -> Tensor:
    """(3, H, W): who shines (or, with sign -1, is dark) alone on quiet ground, without a glow around it."""
    found = torch.zeros(planes.shape, dtype=torch.bool, device=planes.device)
    for channel, plane in enumerate(sign * planes):
        row, column = (_steps(plane) > HOT / 2).nonzero(as_tuple=True)
        value, around = plane[row, column], _around(plane, row, column, NEAR)
        ring = _around(plane, row, column, RING)
        ground = ring.median(1).values
        spread = (ring - ground[:, None]).abs().median(1).values
        glow = around[:, [1, 3, 4, 6]].mean(1) - ground
        rise = value - ground
        shines = (value - around.amax(1) > HOT) & (glow < 0.1 * rise) & (spread < 0.05 * rise)
        found[channel, row[shines], column[shines]] = True
    return found


def _steps(plane: Tensor) -> Tensor:
    """How far each value of (H, W) is from the mean of its four neighbours."""
    above, below, left, right = _nearest(plane)
    return (plane - (above + below + left + right) / 4).abs()


def _strangers(plane: Tensor) -> Tensor:
    """Which values of (H, W) are like none of their four nearest neighbours."""
    first, *others = _nearest(plane)
    least = (first - plane).abs_()
    for one in others:
        least = torch.minimum(least, (one - plane).abs_())
    return least >= ALIKE


def _nearest(plane: Tensor) -> tuple[Tensor, ...]:
    """What is above, below, left and right of each value of (H, W); beyond the border lies the mirror image."""
    wide = F.pad(plane[None, None], (1, 1, 1, 1), mode="reflect")[0, 0]
    return wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]


def _around(plane: Tensor, row: Tensor, column: Tensor, places: list[tuple[int, int]]) -> Tensor:
    """The neighbours of places of (H, W), (n, len(places)); beyond the border lies the mirror image."""
    wide = F.pad(plane[None, None], (2, 2, 2, 2), mode="reflect")[0, 0]
    start = (row + 2) * wide.shape[1] + column + 2
    steps = torch.tensor([down * wide.shape[1] + across for down, across in places], device=plane.device)
    return wide.flatten()[start[:, None] + steps]
