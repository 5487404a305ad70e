"""What became of the tones of a picture: its mean luminance, and whether its light and dark have changed places.

A curve of tones, global or smooth over the picture, keeps what was brighter brighter. A halo does not: beside an edge
it turns the order of neighbouring places around. So the picture and its result are compared at a size at which neither
noise nor fine detail is left.
"""

import math

import torch
from torch import Tensor

from pellucid.images.luma import LUMA
from pellucid.images.noise import noise_sigma
from pellucid.priors.statistics import luma_of
from pellucid.scratch import excerpt, pooled, total

__all__ = [
    "mean_luminance",
    "room_for_noise",
    "shift_by_clipped_noise",
    "strength_for_luminance",
    "strength_without_halo",
    "turned",
]

SIDE = 64
"""Pixels of the longer side at which tones are compared."""

REACHES = (1, 4)
"""How far apart the places are that are compared, in pixels of that size."""

MOST_TURNED = 0.1
"""Part of all differences in a result that may point another way than in the picture."""

HEAVY = 10.0
"""Noise of this deviation, on the scale of 255, is heavy."""

STRENGTHS = (1.0, 0.75, 0.5, 0.25)
"""That are tried, one after the other, until a result has no halo; then it is 0."""


def mean_luminance(image: Tensor) -> float:
    """The mean luma of (1, 3, H, W) in [0, 1], on the scale of 255."""
    places = image.shape[-2] * image.shape[-1]
    return 255 * float(total(lambda part: part.float().sum(2).sum((0, 2)), image).cpu() @ torch.tensor(LUMA)) / places


def strength_for_luminance(before: Tensor, after: Tensor, reference: float, most: float) -> float:
    """The largest strength, 0 to 1, at which a result's mean luminance is within `most` of a reference, as it is
    before.

    Args:
        before: what the result was made from, (1, 3, H, W) in [0, 1].
        after: the result, of the same shape.
        reference: a mean luminance on the scale of 255, within `most` of that of `before`.
        most: on the same scale.
    """
    start = mean_luminance(before)
    moved = mean_luminance(after) - start
    room = most - (start - reference) if moved > 0 else most + (start - reference)
    return 1.0 if abs(moved) <= room else max(room, 0.0) / abs(moved)


def shift_by_clipped_noise(before: Tensor, after: Tensor) -> float:
    """How far noise that was cut off at black and white has moved the mean luminance of a picture, on the scale of 255.

    Noise cannot make black darker, so it makes shadows brighter, and lights darker. Who takes it away moves the mean
    back, and has changed no tones. White noise is assumed, as strong as what the result has less of than the picture:
    a value v then has the mean of v + n, cut off at 0 and 1, for a Gaussian n.

    Args:
        before: a noisy picture, (1, 3, H, W) in [0, 1].
        after: the picture without its noise, of the same shape.
    """
    sigmas = [float(noise_sigma(excerpt(image))) if min(image.shape[2:]) >= 4 else 0.0 for image in (before, after)]
    sigma = math.sqrt(max(0.0, sigmas[0] ** 2 - sigmas[1] ** 2)) / 255
    if sigma == 0:
        return 0.0
    places = after.shape[-2] * after.shape[-1]
    return 255 * float(total(lambda part: luma_of(_mean_when_noisy(part, sigma)).sum(), after)) / places - (
        mean_luminance(after)
    )


def room_for_noise(before: Tensor, after: Tensor) -> float:
    """How much further than otherwise the mean luminance may move where heavy noise was taken away, on the scale of
    255: a quarter of the deviation of what is gone, beyond HEAVY.

    Noise of dark photographs was cut off before they were made brighter, and colours were mixed after that: it has
    moved values of every brightness, by as much as a third of its own deviation (seen on LOL's scenes), and who takes
    it away moves them back. Of a photograph without noise so much is never taken.

    Args:
        before: (1, 3, H, W) in [0, 1].
        after: the result, of the same shape.
    """
    places = before.shape[-2] * before.shape[-1]
    mean, square = (total(_moments, before, after) / places).unbind(1)
    deviation = math.sqrt(max(0.0, float((square - mean.square()).mean())))
    return 0.25 * max(0.0, 255 * deviation - HEAVY)


def _moments(before: Tensor, after: Tensor) -> Tensor:
    """The sums of what is gone in each channel, and of its squares, (3, 2)."""
    gone = (before - after)[0].float().flatten(1)
    return torch.stack([gone.sum(1), gone.square().sum(1)], 1).double()


def _mean_when_noisy(image: Tensor, sigma: float) -> Tensor:
    """The mean of each value of an image after noise was added and the sum cut off at 0 and 1."""
    above_black, below_white = image / sigma, (1 - image) / sigma
    inside = torch.special.ndtr(below_white) - torch.special.ndtr(-above_black)
    ends = torch.exp(-above_black.square() / 2) - torch.exp(-below_white.square() / 2)
    expected: Tensor = image * inside + sigma / math.sqrt(2 * math.pi) * ends + torch.special.ndtr(-below_white)
    return expected


def turned(before: Tensor, after: Tensor) -> float:
    """The part, 0 to 1, of the differences in a result that point another way than in what it was made from.

    Args:
        before: (1, 3, H, W) in [0, 1].
        after: of the same shape.
    """
    return _turned(_small(before), _small(after))


def _turned(first: Tensor, second: Tensor) -> float:
    against, total = 0.0, 0.0
    for axis in (2, 3):
        for reach in REACHES:
            if first.shape[axis] <= reach:
                continue
            length = first.shape[axis] - reach
            one, other = (
                image.narrow(axis, reach, length) - image.narrow(axis, 0, length) for image in (first, second)
            )
            against += float((-one.sign() * other).clamp_min(0).sum())
            total += float(other.abs().sum())
    return against / total if total > 0 else 0.0


def strength_without_halo(before: Tensor, after: Tensor) -> float:
    """The largest of a few strengths, 0 to 1, at which a result turns no more around than a change of tones does."""
    first, second = _small(before), _small(after)  # a mean of mixtures is the mixture of means
    return next((part for part in STRENGTHS if _turned(first, torch.lerp(first, second, part)) <= MOST_TURNED), 0.0)


def _small(image: Tensor) -> Tensor:
    """The luma (1, 1, h, w) of (1, 3, H, W) at the size at which tones are compared, or smaller."""
    longest = max(image.shape[2:])
    height, width = (max(1, round(length * min(SIDE / longest, 1))) for length in image.shape[2:])
    return pooled(image, (height, width), luma_of)
