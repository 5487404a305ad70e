"""By how much a picture grows: the whole scales of a network, one after the other, and then made a little smaller."""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from math import prod

from pellucid.errors import SettingsError

__all__ = ["sides_of", "steps_to"]

MOST_STEPS = 2
"""Scales that are taken one after the other, at most."""


def steps_to(scale: float, scales: Sequence[int]) -> tuple[int, ...]:
    """The scales of a network, the larger first, whose product is the smallest that is no less than `scale`.

    Where one scale does it none is taken twice, as 4 is not 2 times 2.

    Raises:
        SettingsError: not even the largest ones reach it.
    """
    ways = [way for count in range(1, MOST_STEPS + 1) for way in combinations_with_replacement(sorted(scales), count)]
    enough = [way for way in ways if prod(way) >= scale]
    if not enough:
        raise SettingsError(f"scale {scale:g}: the network enlarges by {max(map(prod, ways))} at most")
    best = min(enough, key=lambda way: (prod(way), len(way)))
    return tuple(reversed(best))


def sides_of(height: int, width: int, scale: float) -> tuple[int, int]:
    """Rows and columns of a picture whose sides have grown by a scale, rounded, halves up; 1 at least."""
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
