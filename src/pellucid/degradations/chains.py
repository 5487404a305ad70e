"""Several degradations, one after the other, as a photograph meets them between the scene and the file."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from pellucid.errors import SettingsError
from pellucid.images import quantise

__all__ = ["KINDS", "MEASURED", "UNMEANT", "Chain", "Clean", "Degradation", "severities"]

KINDS = ("noise", "blur", "rain", "snow", "haze", "low-light", "jpeg", "low-resolution", "ringing")
"""What can be wrong with a photograph; every degradation is of one kind."""

MEASURED = ("impulses", "colour-cast", "fading", "clipping", "aberration", "banding")
"""What can be wrong besides, and is measured and not learnt: no network is for it."""
UNMEANT = ("impulses",)
"""Of these, what nobody means. A cast may be an autumn, and fading a mist: they are named, and no fault alone."""


class Degradation(Protocol):
    """y = D(x): clean (..., C, H, W) in [0, 1] to degraded of the same shape, drawing from the generator alone.

    Degradations of one kind (of `KINDS`) have that `kind`, and a `severity` from 0, nothing happens, to 100, as bad as
    pellucid trains for: a fixed function of their parameters. A `Chain` has neither; `severities` tells what it holds.
    """

    def __call__(self, clean: Tensor, generator: torch.Generator, /) -> Tensor:
        """Apply the degradation."""
        ...


@dataclass(frozen=True)
class Clean:
    """No degradation at all: what a restorer must leave alone."""

    severity: ClassVar[float] = 0.0

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """The image itself."""
        return clean


@dataclass(frozen=True)
class Chain:
    """Degradations in order; after each the image is stored, clipped and rounded to 8 bits, as between real devices.

    Args:
        steps: two or more degradations, none of them `Clean`, and none a chain itself.
    """

    steps: tuple[Degradation, ...]

    def __post_init__(self) -> None:
        if len(self.steps) < 2:
            raise SettingsError(f"a chain has two degradations or more, got {len(self.steps)}")
        if any(isinstance(step, Clean) for step in self.steps):
            raise SettingsError("'clean' stands alone: nothing may come before or after it")
        if any(isinstance(step, Chain) for step in self.steps):
            raise SettingsError("a chain cannot hold another chain; write its degradations one after the other")

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1] to degraded, same shape, of 8 bits."""
        image = clean
        for step in self.steps:
            image = quantise(step(image, generator), 8)
        return image


def severities(degradation: Degradation) -> dict[str, float]:
    """How strong each kind of degradation is, 0 to 100; kinds that are absent are left out.

    Where a chain has several of one kind, the strongest counts.
    """
    found: dict[str, float] = {}
    steps: tuple[Any, ...] = degradation.steps if isinstance(degradation, Chain) else (degradation,)
    for step in steps:
        if step.severity > 0:
            found[step.kind] = max(found.get(step.kind, 0.0), float(step.severity))
    return found
