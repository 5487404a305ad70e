"""The trials of one participant: their order and their sides, as a pure function of the seed and the participant.

Order and sides are drawn by hashing, so they stay the same for all time, on every machine, and nothing about them needs
to be stored: after a restart everyone goes on where they were.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

__all__ = ["System", "Trial", "schedule"]

System = Literal["a", "b"]
"""One of the two systems that are compared."""


@dataclass(frozen=True)
class Trial:
    """One question: two restorations of a photograph, side by side."""

    photograph: str
    repetition: int
    """0 when the photograph is shown for the first time."""
    left: System
    """Whose restoration is on the left; where the screen is narrow, on top."""

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from the participant's other trials."""
        return self.photograph, self.repetition


def schedule(photographs: Sequence[str], repeat: int, seed: int, participant: str) -> list[Trial]:
    """All trials of a participant, in the order they are shown.

    Every photograph is shown once before any is shown again, never twice in a row where there is more than one. Each
    system is on the left in half of the photographs (one more where their number is odd), and changes sides with each
    repetition: whoever prefers a side votes for both systems alike.
    """

    def draw(purpose: str, photograph: str) -> bytes:
        return hashlib.sha256("\n".join((str(seed), participant, purpose, photograph)).encode()).digest()

    first: tuple[System, System] = ("a", "b") if draw("first", "")[0] % 2 else ("b", "a")
    sides = {name: first[rank % 2] for rank, name in enumerate(sorted(photographs, key=partial(draw, "side")))}
    trials: list[Trial] = []
    for repetition in range(repeat):
        order = sorted(photographs, key=partial(draw, f"order {repetition}"))
        if trials and len(order) > 1 and order[0] == trials[-1].photograph:
            order[:2] = order[1::-1]
        trials += [Trial(name, repetition, _turned(sides[name], repetition)) for name in order]
    return trials


def _turned(side: System, repetition: int) -> System:
    """The system on the left in this repetition, where `side` is the one in the first."""
    if repetition % 2 == 0:
        return side
    return "b" if side == "a" else "a"
