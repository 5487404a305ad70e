"""Several priors as one: their vectors end to end."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import ModelError
from pellucid.priors.contract import FrozenPrior, Prior, feature_maps

__all__ = ["Joined"]

MAX_SIDE = 64
"""Largest side of joined maps: a map of every pixel would make the thousand channels of another as large."""


class Joined(FrozenPrior):
    """The vectors of several priors end to end, in the order given.

    Each member prepares its own view, of its own size and channels. The joined view holds them all, flattened one after
    the other, as the channels of a single pixel: (B, n, 1, 1), so that it is batched and cached like any other view,
    and `encode` takes it apart again without loss.

    The members' vectors are not scaled again: every part is what its member gives alone, of unit root-mean-square, and
    so is the whole unless a member is `zeros`.

    Args:
        priors: the members, two at least; frozen and kept, not copied.

    Raises ValueError for fewer than two.
    """

    def __init__(self, *priors: Prior) -> None:
        if len(priors) < 2:
            raise ValueError(f"joining takes two priors at least, got {len(priors)}")
        name = f"joined({', '.join(prior.name for prior in priors)})"
        super().__init__(name, sum(prior.width for prior in priors), (1, 1))
        members: list[Any] = list(priors)
        self.priors = nn.ModuleList(members)
        self._shapes = [(prior.view_channels, *prior.size) for prior in priors]
        self._sizes = [channels * height * width for channels, height, width in self._shapes]
        self.view_channels = sum(self._sizes)
        self.freeze()

    def prepare(self, image: Tensor) -> Tensor:
        """The members' views of (B, 3, H, W), flattened one after the other: (B, view_channels, 1, 1) in [0, 1]."""
        views: list[Tensor] = [prior.prepare(image) for prior in self._members()]
        return torch.cat([view.flatten(1) for view in views], 1)[:, :, None, None]

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Joined views (B, view_channels, 1, 1) to the members' vectors end to end, (B, width), float32."""
        views = torch.split(view.flatten(1), self._sizes, 1)
        triples = zip(self._members(), views, self._shapes, strict=True)
        return torch.cat([prior.encode(part.reshape(-1, *shape)) for prior, part, shape in triples], 1)

    @torch.no_grad()
    def maps(self, image: Tensor) -> Tensor:
        """The feature maps of the members that have them, one over the other: (B, 3, H, W) in [0, 1] to (B, C, h, w).

        All are brought to the largest one's sides, of at most 64: up by bilinear interpolation, down by averaging.
        Raises ModelError when no member has feature maps.
        """
        having = [prior for prior in self._members() if hasattr(prior, "maps")]
        if not having:
            raise ModelError(f"{self.name}: none of these priors has a feature map, only vectors")
        maps = [feature_maps(prior, image) for prior in having]
        sides = tuple(min(MAX_SIDE, max(features.shape[axis] for features in maps)) for axis in (2, 3))
        return torch.cat([_resized(features, sides) for features in maps], 1)

    def _members(self) -> list[Any]:
        return list(self.priors)


def _resized(features: Tensor, sides: tuple[int, ...]) -> Tensor:
    """(B, C, h, w) with other sides."""
    height, width = sides
    smaller = F.adaptive_avg_pool2d(features, (min(height, features.shape[2]), min(width, features.shape[3])))
    return F.interpolate(smaller, (height, width), mode="bilinear", align_corners=False)
