"""Boosting: any restoration network, refined from outside under the guidance of a frozen prior.

    restored = F(degraded)          the network, left as it is
    feature  = G(degraded)          the prior, over the whole degraded image
    refined  = R(restored, degraded, feature)

Source: "Boosting Image Restoration via Priors from Pre-trained Models" (CVPR 2024, arXiv 2403.06793), equation (1).
"""

import math
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError, SettingsError
from pellucid.networks import input_multiple, output_scale
from pellucid.padding import pad_to_multiple
from pellucid.priors import Prior, build_prior
from pellucid.refinement.ptgrm import PTGRM

__all__ = ["Boosted", "boost"]


class Boosted(nn.Module):
    """R(F(y), y, G(y)): a network F, refined by R under the guidance of a prior G.

    The network is only called, never changed: `boosted.network is network`.

    Args:
        network: any module, images (B, 3, H, W) to images of the same size.
        prior: an object of `pellucid.priors`.
        refinement: an object of `pellucid.refinement`, made for vectors of the prior's width.
        freeze_network: train R alone.
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
            both: return (refined, restored) rather than refined alone.
            view: the whole images as the prior's `prepare` gives them, where `degraded` holds only crops of them.
            grid: where the crops lie, (B, 4): top, left, bottom, right as fractions of the whole image's sides.

        Raises:
            ModelError: the network returns anything but an image of the size it was given.
        """
        height, width = degraded.shape[2:]
        feature = self.prior(degraded) if view is None else self.prior.encode(view)
        padded = pad_to_multiple(degraded, self.network_multiple)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_network):
            restored: Any = self.network(padded.clone())  # a copy: a network may work in place
        if not isinstance(restored, Tensor) or restored.shape != padded.shape:
            got = tuple(restored.shape) if isinstance(restored, Tensor) else type(restored).__name__
            raise ModelError(
                f"{type(self.network).__name__}: expected an image of shape {tuple(padded.shape)}, got {got}; "
                "pellucid.networks.External(network, ...) adapts networks of other outputs and ranges"
            )
        restored = restored[:, :, :height, :width]
        refined = self.refine(restored, degraded, feature, grid=grid)
        return (refined, restored) if both else refined

    def refine(
        self,
        restored: Tensor,
        degraded: Tensor,
        feature: Tensor,
        *,
        grid: Tensor | None = None,
        memory: int | None = None,
    ) -> Tensor:
        """R alone, on images (B, 3, H, W) of any size; `grid` and `memory` as the refinement takes them."""
        height, width = degraded.shape[2:]
        pair = [pad_to_multiple(image, self.refinement_multiple) for image in (restored, degraded)]
        refined: Tensor = self.refinement(*pair, feature, grid=grid, memory=memory)[:, :, :height, :width]
        return refined


def boost(
    network: nn.Module,
    prior: str | Prior = "clip",
    *,
    weights: str | Path | None = None,
    freeze_network: bool = False,
    **settings: Any,
) -> Boosted:
    """Puts a refinement guided by a prior on any restoration network.

    Untrained, the boosted network returns what the network returns; `pellucid train` or your own loop teaches it more.

    Args:
        network: any module, images (B, 3, H, W) to images of the same size; it is not touched.
        prior: a prior, or its name: `clip`, `clip:FOLDER`, `mobilenet_v2`, `torchvision:resnet50`, ...
        weights: the named prior's weights file, where it needs one.
        freeze_network: train R alone.
        settings: of `PTGRM`, such as `width` or `form`.

    Raises:
        SettingsError: an unknown prior, or weights for one that is built already.
        ModelError: its weights are missing or damaged, or the network changes the size.
        MissingExtraError: it needs a package that is not installed.
    """
    if weights is not None and not isinstance(prior, str):
        raise SettingsError("boost: weights are for a prior that is named; this one is built already")
    guide = build_prior(prior, weights=weights) if isinstance(prior, str) else prior
    boosted = Boosted(network, guide, PTGRM(guide.width, **settings), freeze_network=freeze_network)
    place = next(network.parameters(), torch.empty(0)).device
    boosted.prior.to(place)
    boosted.refinement.to(place)
    return boosted
