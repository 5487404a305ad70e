"""What is repaired without a network, since it can be measured: before any network sees a picture.

Lost pixels are filled in wherever there are any. A cast, faded tones, coloured fringes and bands may be meant, so they
are undone only where people ask for it; what was too bright is lost, and only named.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.degradations import MEASURED, UNMEANT
from pellucid.degradations.aberration import magnified
from pellucid.degradations.linear_light import encoded, linear
from pellucid.diagnosis import (
    Measured,
    find_bands,
    find_colour_cast,
    find_fading,
    find_fringes,
    find_impulses,
    measure_with,
)
from pellucid.images.luma import LUMA
from pellucid.restoration.decision import Action, Decision, Found, Left, Wish
from pellucid.restoration.filling import REACH, filled
from pellucid.scratch import bands, mapped, zeros_beside

__all__ = ["Repairs", "repaired"]

ROUNDS = 30
"""Times that a banded picture is smoothed and brought back to what it may have been."""


class Repairs:
    """What was measured in a picture, and what was repaired of it.

    Attributes:
        found: what was measured.
        done: the kinds that were repaired, in order.
        left: what was not, and why.
    """

    def __init__(self, found: tuple[Measured, ...] = ()) -> None:
        self.found, self.done, self.left = found, list[str](), list[Left]()

    def added_to(self, decision: Decision, strength: float) -> Decision:
        """The record of a picture, with these before what networks did."""
        if not self.found and not self.left:
            return decision
        found = tuple(Found(one.kind, 1.0, one.severity, one.told) for one in self.found)
        done = tuple(Action((), ((kind,),), (1.0,), strength) for kind in self.done)
        # It would be no news that the networks find nothing.
        left = tuple(one for one in decision.left if one.kind or not self.found)
        return replace(
            decision,
            found=found + decision.found,
            done=done + decision.done,
            left=tuple(self.left) + left,
            unchanged=decision.unchanged and not done,
        )


def repaired(image: Tensor, wish: Wish, visible: tuple[slice, slice]) -> tuple[Tensor, Repairs]:
    """An image (1, 3, H, W) in [0, 1], repaired, and what was done to it.

    Args:
        image: the image.
        wish: what people want.
        visible: the rows and columns by which it is judged.
    """
    shown = image[..., *visible]
    impulses = find_impulses(image, visible)
    repairs = Repairs(measure_with(impulses and impulses.within(*visible), shown, asked=wish.only))
    for kind in (one.kind for one in repairs.found):
        why = _why_left(kind, wish)
        if why:
            repairs.left.append(Left(kind, why))
            continue
        before = image
        if impulses is not None and kind == "impulses":
            image = mapped(lambda part, lost: filled(part, lost[0]), image, impulses.mask[None], halo=REACH)
        else:
            image = _REPAIRS[kind](image, visible)
        part = wish.part((kind,))
        if part < 1:
            image = mapped(lambda one, other, part=part: torch.lerp(one, other, part), before, image)
        repairs.done.append(kind)
    named = {one.kind for one in repairs.found}
    repairs.left += [Left(kind, "there is none") for kind in wish.only if kind in MEASURED and kind not in named]
    return image, repairs


def _why_left(kind: str, wish: Wish) -> str:
    """Why what was found is not repaired; empty where it is."""
    if kind in wish.skip:
        return "it is to be skipped"
    if kind not in ("impulses", *_REPAIRS):
        return "what is lost there cannot be restored"
    if wish.only and kind not in wish.only:
        return f"only {', '.join(wish.only)} is to be restored"
    return "" if kind in wish.only or kind in UNMEANT else f"it may be meant; --only {kind} restores it"


def _balanced(image: Tensor, visible: tuple[slice, slice]) -> Tensor:
    """In the light that was measured, made grey: each colour of linear light times a number (von Kries)."""
    cast = find_colour_cast(image[..., *visible])
    if cast is None:
        return image
    gains = 1 / cast.light.clamp_min(1e-3)
    gains = gains / (gains * cast.light * torch.tensor(LUMA)).sum()
    gains = gains.to(image)[:, None, None]
    return mapped(lambda part: encoded(linear(part) * gains).clamp_(0, 1), image)


def _stretched(image: Tensor, visible: tuple[slice, slice]) -> Tensor:
    """Its black is black again and its white white, in all colours alike."""
    faded = find_fading(image[..., *visible])
    if faded is None:
        return image
    black, range_ = faded.black, faded.white - faded.black
    return mapped(lambda part: ((part - black) / range_ * 0.96 + 0.02).clamp_(0, 1), image)


def _aligned(image: Tensor, visible: tuple[slice, slice]) -> Tensor:
    """Red and blue as large as green."""
    fringes = find_fringes(image)
    if fringes is None:
        return image
    red, green, blue = image[0]
    aligned = zeros_beside(image, *image.shape)
    for rows in bands(aligned, image):
        drawn = (magnified(one, 1 / (1 + more), rows) for one, more in ((red, fringes.red), (blue, fringes.blue)))
        for plane, part in zip(aligned[0, ::2], drawn, strict=True):
            plane[rows] = part.clamp_(0, 1)
        aligned[0, 1, rows] = green[rows]
    return aligned


def _unbanded(image: Tensor, visible: tuple[slice, slice]) -> Tensor:
    """As smooth as it may be while every value would still be rounded to the level that it has.

    Alternating projections, as of Zakhor, "Iterative procedures for reduction of blocking effects in transform image
    coding" (IEEE TCSVT 1992), onto the levels' cells instead of those of a transform.
    """
    found = find_bands(image[..., *visible])
    if found is None:
        return image
    half = 0.5 / (found.levels - 1)
    return mapped(lambda part: _smoothest(part, half), image, halo=2 * (ROUNDS + 1))


def _smoothest(image: Tensor, half: float) -> Tensor:
    """The smoothest image whose values lie within half a level of these."""
    # Only where neighbours lie one level apart at most: elsewhere there is something to see.
    high, low = (sign * F.max_pool2d(sign * image, 5, 1, 2) for sign in (1, -1))
    even = (high - low).amax(1, keepdim=True) < 3 * half
    low, high, smooth = image - half * even, image + half * even, image
    for _ in range(ROUNDS):
        smooth = F.avg_pool2d(F.pad(smooth, (2, 2, 2, 2), mode="replicate"), 5, 1)
        smooth = torch.minimum(torch.maximum(smooth, low), high)
    return smooth.clamp(0, 1)


_REPAIRS: Mapping[str, Callable[[Tensor, tuple[slice, slice]], Tensor]] = {
    "colour-cast": _balanced,
    "fading": _stretched,
    "aberration": _aligned,
    "banding": _unbanded,
}
