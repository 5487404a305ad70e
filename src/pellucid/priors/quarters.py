"""A prior that looks twice as closely: its vectors of a picture's four quarters, averaged."""

from typing import Any

import torch
from torch import Tensor

from pellucid.priors.contract import FrozenPrior, Prior, check_image, unit_rms

__all__ = ["Quarters"]


class Quarters(FrozenPrior):
    """The mean of another prior's vectors of the four quarters of a picture.

    A prior of a fixed size sees a large photograph shrunk, and fine noise or blur are gone. Of a quarter it sees twice
    as much, and with `joined(PRIOR, quarters(PRIOR))` both scales.

    Args:
        prior: frozen and kept, not copied.
    """

    def __init__(self, prior: Prior) -> None:
        super().__init__(f"quarters({prior.name})", prior.width, (1, 1))
        self.prior: Any = prior
        self._shape = (prior.view_channels, *prior.size)
        self.view_channels = 4 * prior.view_channels * prior.size[0] * prior.size[1]
        self.freeze()

    def prepare(self, image: Tensor) -> Tensor:
        """The views of the quarters of (B, 3, H, W), one after the other: (B, view_channels, 1, 1) in [0, 1].

        A side of one pixel is not halved.
        """
        check_image(image)
        halves = [half for rows in _halves(image, 2) for half in _halves(rows, 3)]
        return torch.cat([self.prior.prepare(half).flatten(1) for half in halves], 1)[:, :, None, None]

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, view_channels, 1, 1) to vectors (B, width), float32, of unit root-mean-square."""
        quarters = view.reshape(len(view), 4, *self._shape)
        vectors: Tensor = self.prior.encode(quarters.flatten(0, 1)).reshape(len(view), 4, -1)
        return unit_rms(vectors.mean(1))


def _halves(image: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The first and the second half along an axis; the one in the middle belongs to both."""
    length = image.shape[axis]
    side = (length + 1) // 2
    return image.narrow(axis, 0, side), image.narrow(axis, length - side, side)
