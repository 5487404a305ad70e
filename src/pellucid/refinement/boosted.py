"""Boosting: any restoration network, refined from outside under the guidance of a frozen prior.

    restored = F(degraded)          the network, left as it is
    feature  = G(degraded)          the prior, over the whole degraded image
    refined  = R(restored, degraded, feature)

or, where R is a `FeatureRefinement`, refined = F(degraded) with the map of one of its layers refined on the way.

Source: "Boosting Image Restoration via Priors from Pre-trained Models" (CVPR 2024, arXiv 2403.06793), equation (1).
"""

import math
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError, SettingsError
from pellucid.networks import input_multiple, output_scale
from pellucid.padding import pad_to_multiple
from pellucid.priors import Prior, build_prior
from pellucid.refinement.build import refinement_for
from pellucid.refinement.channels import as_rgb, restored_channels, with_channels
from pellucid.refinement.features import FeatureRefinement
from pellucid.refinement.guided import Guided
from pellucid.refinement.layers import check_layer, replaced

__all__ = ["Boosted", "boost"]


class Boosted(nn.Module):
    """R(F(y), y, G(y)): a network F, refined by R under the guidance of a prior G.

    The network is only called, never changed: `boosted.network is network`.

    Args:
        network: any module, images (B, 3, H, W) in [0, 1] to images of the same size; `networks.External` adapts those that
            return several or work on another range. Also grey to grey, (B, 1, H, W), which the prior and R see repeated, and
            the two views of a dual-pixel sensor, (B, 6, H, W), to one image (B, 3, H, W): the prior and R see their mean.
        prior: an object of `pellucid.priors`.
        refinement: an object of `pellucid.refinement`, made for the prior's width and, inside a network, for one of its layers.
        freeze_network: train R alone.

    Raises:
        ModelError: the network changes the size.
        SettingsError: it has no such layer as the refinement was made for.
    """

    def __init__(
        self, network: nn.Module, prior: Prior, refinement: nn.Module, *, freeze_network: bool = False
    ) -> None:
        super().__init__()
        self.network, self.refinement = network, refinement
        self.prior: Any = prior
        self.freeze_network = freeze_network
        self.network_multiple = input_multiple(network)
        self.refinement_multiple = input_multiple(refinement)
        self.multiple = math.lcm(self.network_multiple, self.refinement_multiple)
        self.scale = output_scale(network)
        if self.scale != 1:
            raise ModelError(f"the refinement works at the network's input size; this network scales by {self.scale}")
        self.inside = isinstance(refinement, FeatureRefinement)
        """Whether R works inside the network rather than on its result."""
        if isinstance(refinement, FeatureRefinement):
            check_layer(network, refinement.layer)
        if freeze_network:
            network.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Boosted":
        """Sets the mode; a frozen network stays in evaluation mode."""
        super().train(mode)
        if self.freeze_network:
            self.network.eval()
        return self

    @overload
    def forward(
        self, degraded: Tensor, *, both: Literal[False] = ..., view: Tensor | None = ..., grid: Tensor | None = ...
    ) -> Tensor: ...

    @overload
    def forward(
        self, degraded: Tensor, *, both: Literal[True], view: Tensor | None = ..., grid: Tensor | None = ...
    ) -> tuple[Tensor, Tensor]: ...

    def forward(
        self, degraded: Tensor, *, both: bool = False, view: Tensor | None = None, grid: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Refines what the network restores.

        Args:
            degraded: (B, 3, H, W) in [0, 1], any size; padded by reflection where the network or R need it.
            both: return (refined, restored) rather than refined alone; a network refined inside then runs twice.
            view: the whole images as the prior's `prepare` gives them, where `degraded` holds only crops of them.
            grid: where the crops lie, (B, 4): top, left, bottom, right as fractions of the whole image's sides.

        Raises:
            ModelError: the network returns anything but an image of the size it was given.
        """
        feature = self.feature(degraded, view)
        restored = self.restore(degraded, feature, grid=grid)
        refined = self.refine(restored, degraded, feature, grid=grid)
        if not both:
            return refined
        return refined, self.restore(degraded) if self.inside else restored

    def feature(self, degraded: Tensor, view: Tensor | None = None) -> Tensor:
        """What R takes of the prior: its vector (B, width), or its maps (B, C, h, w), of the whole degraded images.

        Args:
            degraded: the whole images (B, C, H, W), of which the prior's view is made; not looked at where that is given.
            view: the whole images as the prior's `prepare` gives them.
        """
        if self.refinement.takes_maps:
            # A view is an image of the prior's own size: preparing it once more changes nothing.
            maps: Tensor = self.prior.maps(as_rgb(degraded) if view is None else view)
            return maps
        vector: Tensor = self.prior(as_rgb(degraded)) if view is None else self.prior.encode(view)
        return vector

    def restore(self, degraded: Tensor, feature: Tensor | None = None, *, grid: Tensor | None = None) -> Tensor:
        """F alone, on degraded images (B, C, H, W) of any size; with R at work inside it, given a feature, where R works there.

        A network that the same prior guides is guided by the feature.

        Raises:
            ModelError: the network returns anything but an image of the size it was given, or the layer anything but a map.
        """
        batch, channels, height, width = degraded.shape
        padded = pad_to_multiple(degraded, self.network_multiple)
        expected = (batch, restored_channels(channels), *padded.shape[2:])
        inside, told = self._inside(feature, grid), self._told(feature)
        learning = torch.is_grad_enabled() and (not self.freeze_network or inside is not None)
        with torch.set_grad_enabled(learning), inside or nullcontext():
            restored: Any = self.network(padded.clone(), **told)  # a copy: a network may work in place
        if not isinstance(restored, Tensor) or restored.shape != expected:
            got = tuple(restored.shape) if isinstance(restored, Tensor) else type(restored).__name__
            raise ModelError(
                f"{type(self.network).__name__}: expected an image of shape {expected}, got {got}; "
                "pellucid.networks.External(network, ...) adapts networks of other outputs and ranges"
            )
        return restored[:, :, :height, :width]

    def _inside(self, feature: Tensor | None, grid: Tensor | None) -> AbstractContextManager[None] | None:
        if feature is None or not self.inside:
            return None
        replace = partial(self.refinement, feature=feature, grid=grid)
        return replaced(self.network, str(self.refinement.layer), replace)

    def _told(self, feature: Tensor | None) -> dict[str, Tensor]:
        """What the network is told of the whole images: the vector of its prior, where that is R's prior, too."""
        if feature is None or feature.ndim != 2 or not isinstance(self.network, Guided):
            return {}
        return {"whole": feature} if self.network.prior is self.prior else {}

    def refine(
        self,
        restored: Tensor,
        degraded: Tensor,
        feature: Tensor,
        *,
        grid: Tensor | None = None,
        memory: int | None = None,
    ) -> Tensor:
        """R alone, on images of any size; where R works inside the network nothing is left to do.

        Args:
            restored: (B, 3, H, W), or grey (B, 1, H, W).
            degraded: what the network restored it from, (B, C, H, W).
            feature: what `feature` gives.
            grid: where the images lie in the whole ones.
            memory: bytes that intermediate maps may take.

        Returns:
            As `restored`.
        """
        if self.inside:
            return restored
        height, width = degraded.shape[2:]
        pair = [pad_to_multiple(as_rgb(image), self.refinement_multiple) for image in (restored, degraded)]
        refined: Tensor = self.refinement(*pair, feature, grid=grid, memory=memory)[:, :, :height, :width]
        return with_channels(refined, restored.shape[1])


def boost(
    network: nn.Module,
    prior: str | Prior = "clip",
    *,
    weights: str | Path | None = None,
    freeze_network: bool = False,
    refinement: str = "ptgrm",
    **settings: Any,
) -> Boosted:
    """Puts a refinement guided by a prior on any restoration network.

    Untrained, the boosted network returns what the network returns; `pellucid train` or your own loop teaches it more.

    Args:
        network: any module, images (B, 3, H, W) to images of the same size, as `Boosted` takes it. It is only called; frozen, its
            parameters need no gradients any more, and it stays in evaluation mode.
        prior: a prior, or its name: `clip`, `clip:FOLDER`, `mobilenet_v2`, `torchvision:resnet50`, ...
        weights: the named prior's weights file, where it needs one.
        freeze_network: train R alone.
        refinement: "ptgrm" for the network's result; "ptgrm-features" for the map of its layer `layer`, or of its deepest.
        settings: of `PTGRM` or `FeatureRefinement`, such as `width`, or one of `ABLATIONS`.

    Raises:
        SettingsError: an unknown prior, refinement, setting or layer, or weights for a prior that is built already.
        ModelError: its weights are missing or damaged, or the network changes the size or cannot be run.
        MissingExtraError: it needs a package that is not installed.
    """
    if weights is not None and not isinstance(prior, str):
        raise SettingsError("boost: weights are for a prior that is named; this one is built already")
    guide = build_prior(prior, weights=weights) if isinstance(prior, str) else prior
    made = refinement_for(network, guide, refinement, settings)
    boosted = Boosted(network, guide, made, freeze_network=freeze_network)
    place = next(network.parameters(), torch.empty(0)).device
    boosted.prior.to(place)
    boosted.refinement.to(place)
    return boosted
