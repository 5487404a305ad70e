"""Boosting: any restoration network, refined from outside under the guidance of a frozen prior.

    restored = F(degraded)          the network, left as it is
    feature  = G(degraded)          the prior, over the whole degraded image
    refined  = R(restored, degraded, feature)

or, where R is a `FeatureRefinement`, refined = F(degraded) with the map of one of its layers refined on the way.

Source: "Boosting Image Restoration via Priors from Pre-trained Models" (CVPR 2024, arXiv 2403.06793), equation (1).
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError, one_line
from pellucid.images.padding import pad_to_multiple
from pellucid.networks import input_multiple, output_scale
from pellucid.priors import Prior
from pellucid.refinement.channels import as_rgb, restored_channels, with_channels
from pellucid.refinement.features import FeatureRefinement
from pellucid.refinement.guided import Guided
from pellucid.refinement.layers import check_layer, replaced, statistics_kept

__all__ = ["Boosted"]

PRECISIONS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
SMALL = 16
"""Sides of an image, in pixels, below which many networks fail that do not say so by their `multiple`."""


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
            degraded: (B, 3, H, W) in [0, 1], any size; padded by reflection where the network or R need it, and given to each in
                the precision of its weights.
            both: return (refined, restored) rather than refined alone; a network refined inside then runs twice.
            view: the whole images as the prior's `prepare` gives them, where `degraded` holds only crops of them.
            grid: where the crops lie, (B, 4): top, left, bottom, right as fractions of the whole image's sides.

        Returns:
            The refined images in the precision of the degraded ones, which R itself finds in that of its own weights, float32.

        Raises:
            ModelError: there are no images, or the network returns anything but an image of the size it was given.
        """
        feature = self.feature(degraded, view)
        restored = self.restore(degraded, feature, grid=grid)
        refined = self.refine(restored, degraded, feature, grid=grid)
        if not both or not self.inside:
            return (refined, restored) if both else refined
        # A step is one lesson to what learns statistics, and those of the refined maps are what it will see.
        with statistics_kept(self.network):
            return refined, self.restore(degraded)

    def feature(self, degraded: Tensor, view: Tensor | None = None) -> Tensor:
        """What R takes of the prior: its vector (B, width), or its maps (B, C, h, w), of the whole degraded images.

        Args:
            degraded: the whole images (B, C, H, W), of which the prior's view is made; not looked at where that is given.
            view: the whole images as the prior's `prepare` gives them.

        Raises:
            ModelError: there are no images, or they have other channels.
        """
        seen = as_rgb(degraded) if view is None else view
        if not len(seen):
            raise ModelError(f"a boosted network takes one image or more, got a batch of none: {tuple(degraded.shape)}")
        if self.refinement.takes_maps:
            # A view is an image of the prior's own size: preparing it once more changes nothing.
            maps: Tensor = self.prior.maps(seen)
            return maps
        vector: Tensor = self.prior(seen) if view is None else self.prior.encode(seen)
        return vector

    def restore(self, degraded: Tensor, feature: Tensor | None = None, *, grid: Tensor | None = None) -> Tensor:
        """F alone, on degraded images (B, C, H, W) of any size; with R at work inside it, given a feature, where R works there.

        A network that the same prior guides is guided by the feature.

        Raises:
            ModelError: the network returns anything but an image of the size it was given, or the layer anything but a map; or
                an image is too small for the network.
        """
        batch, channels, height, width = degraded.shape
        padded = pad_to_multiple(degraded.to(_precision(self.network, degraded.dtype)), self.network_multiple)
        expected = (batch, restored_channels(channels), *padded.shape[2:])
        inside, told = self._inside(feature, grid), self._told(feature)
        learning = torch.is_grad_enabled() and (not self.freeze_network or inside is not None)
        with torch.set_grad_enabled(learning), inside or nullcontext(), _explained(self.network, padded):
            restored: Any = self.network(padded.clone(), **told)  # a copy: a network may work in place
        if not isinstance(restored, Tensor) or restored.shape != expected:
            got = tuple(restored.shape) if isinstance(restored, Tensor) else type(restored).__name__
            raise ModelError(
                f"{type(self.network).__name__}: expected an image of shape {expected}, got {got}; "
                "pellucid.networks.External(network, ...) adapts networks of other outputs and ranges"
            )
        cropped = restored[:, :, :height, :width]
        return cropped if padded.dtype == degraded.dtype else cropped.to(degraded.dtype)

    def _inside(self, feature: Tensor | None, grid: Tensor | None) -> AbstractContextManager[None] | None:
        if feature is None or not self.inside:
            return None
        replace = partial(self.refinement, feature=self._as_refinement(feature), grid=grid)
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
            The shape of `restored`, in the precision of `degraded`.
        """
        if self.inside:
            return restored
        height, width = degraded.shape[2:]
        pair = [pad_to_multiple(as_rgb(image), self.refinement_multiple) for image in (restored, degraded)]
        given = [self._as_refinement(one) for one in (*pair, feature)]
        refined: Tensor = self.refinement(*given, grid=grid, memory=memory)[:, :, :height, :width]
        return with_channels(refined, restored.shape[1]).to(degraded.dtype)

    def _as_refinement(self, value: Tensor) -> Tensor:
        """A tensor in the precision of R's weights."""
        return value.to(_precision(self.refinement, value.dtype))


def _precision(module: nn.Module, otherwise: torch.dtype) -> torch.dtype:
    """That of a module's first weights, in which it takes images; `otherwise` where it has none, or such as no image has."""
    found = next((value.dtype for value in module.parameters()), otherwise)
    return found if found in PRECISIONS else otherwise


@contextmanager
def _explained(network: nn.Module, image: Tensor) -> Iterator[None]:
    """Around a network's run on what may be too small for its own padding, poolings or statistics: says so where it fails."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if min(image.shape[2:]) >= SMALL or isinstance(error, torch.OutOfMemoryError):
            raise
        raise ModelError(
            f"{type(network).__name__} fails on an image of {image.shape[2]} x {image.shape[3]} ({one_line(error)}); if that is "
            f"too small for it, pellucid.networks.External(network, multiple={SMALL}) pads its images"
        ) from error
