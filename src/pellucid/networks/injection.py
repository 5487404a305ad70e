"""Where something may be put into a network's features on their way: into those that enter a scale's blocks.

A network that can be guided has `injected`, which is `restore` with one function more that every scale's features go
through. Scales are numbered from the finest, 0, on.
"""

from typing import Literal, Protocol

from torch import Tensor

from pellucid.guidance import Guidance

__all__ = ["Inject", "Injected", "Side", "untouched"]

Side = Literal["encoder", "middle", "decoder"]
"""On the way down, at the coarsest scale, or on the way up."""


class Inject(Protocol):
    """What is done to features before the blocks of their scale."""

    def __call__(self, side: Side, scale: int, features: Tensor) -> Tensor:
        """Features (B, C, h, w) in and out."""
        ...


class Injected(Protocol):
    """A network that can be guided."""

    def injected(self, tile: Tensor, guidance: Guidance, inject: Inject) -> Tensor:
        """As `Network.restore`, every scale's features through `inject`."""
        ...


def untouched(side: Side, scale: int, features: Tensor) -> Tensor:
    """The features as they are: so a network restores by itself."""
    return features
