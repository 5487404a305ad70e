"""A prior that tells what several layers of its network see, early ones of fine detail beside late ones of things."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import ModelError, SettingsError
from pellucid.layers import check_layer, watched
from pellucid.priors.classifier import ClassifierPrior
from pellucid.priors.contract import FrozenPrior, unit_rms
from pellucid.priors.features import ModuleFeatures

__all__ = ["SeveralLayers"]

SIDE = 28
"""Sides of the maps: an eighth of a classifier's view, so that the early ones are not the size of the photograph."""


class SeveralLayers(FrozenPrior):
    """What named layers of a prior's network give, one after the other.

    As a vector: each layer's mean over the picture, of unit root-mean-square. As maps: each layer's map, averaged down
    or interpolated up to 28 x 28 places and brought to unit root-mean-square for each picture, so that no layer drowns
    the others by the size of its numbers.

    Args:
        prior: a classifier, or the features of a network; frozen and kept, not copied. Its own head does not count.
        layers: dotted names of layers that give maps (B, C, h, w), one at least.

    Raises ModelError where there is no such layer, or it gives no map.
    """

    def __init__(self, prior: ClassifierPrior | ModuleFeatures, layers: Sequence[str]) -> None:
        if not layers:
            raise ModelError(f"{prior.name}: name one layer at least")
        super().__init__(f"layers({', '.join([prior.name, *layers])})", 1, prior.size)
        self.prior = prior
        self.layers = tuple(layers)
        for layer in layers:
            try:
                check_layer(prior.module, layer)
            except SettingsError as error:
                raise ModelError(str(error)) from None
        self.freeze()
        weight = next(prior.module.parameters(), torch.empty(0))
        grey = torch.full((1, prior.view_channels, *prior.size), 0.5, device=weight.device)
        self.width = sum(features.shape[1] for features in self._features(grey))

    def prepare(self, image: Tensor) -> Tensor:
        """The prior's own view of (B, 3, H, W)."""
        view: Tensor = self.prior.prepare(image)
        return view

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, 3, *size) in [0, 1] to vectors (B, width), float32, each layer's part of unit root-mean-square."""
        return torch.cat([unit_rms(features.mean((2, 3))) for features in self._features(view)], 1)

    @torch.no_grad()
    def maps(self, image: Tensor) -> Tensor:
        """The layers' maps of (B, 3, H, W) in [0, 1], one over the other: (B, width, 28, 28), float32."""
        return torch.cat([_even(features) for features in self._features(self.prepare(image))], 1)

    def _features(self, view: Tensor) -> list[Tensor]:
        """What each layer gives, (B, C, h, w), float32, in the order of their names here."""
        module: Any = self.prior.module
        parts: dict[str, nn.Module] = {layer: module.get_submodule(layer) for layer in self.layers}
        with watched(parts, copy=True) as seen:
            module(self.prior.normalise(view))
        given = {name: features for name, _, features in seen}
        for layer in self.layers:
            features = given.get(layer)
            if not isinstance(features, Tensor) or features.ndim != 4:
                raise ModelError(f"{self.name}: layer {layer!r} gives no map; name another")
        return [given[layer].float() for layer in self.layers]


def _even(features: Tensor) -> Tensor:
    """(B, C, h, w) with sides of 28, and of unit root-mean-square over each picture."""
    smaller = F.adaptive_avg_pool2d(features, (min(SIDE, features.shape[2]), min(SIDE, features.shape[3])))
    maps = F.interpolate(smaller, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return unit_rms(maps.flatten(1)).reshape(maps.shape)
