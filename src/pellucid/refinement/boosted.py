"""Boosting: any restoration network, refined from outside under the guidance of a frozen prior.

    guidance = look(degraded)                        the prior, and what the network must know, over the whole image
    restored = F(degraded, guidance)                 the network, left as it is
    refined  = R(restored, degraded, guidance)

or, where R is a `FeatureRefinement`, refined = F(degraded) with the map of one of its layers refined on the way.

Source: "Boosting Image Restoration via Priors from Pre-trained Models" (CVPR 2024, arXiv 2403.06793), equation (1).
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, NamedTuple, overload

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError, SettingsError, one_line
from pellucid.guidance import NOTHING, Guidance
from pellucid.images.padding import pad_to_multiple
from pellucid.layers import check_layer, replaced, statistics_kept
from pellucid.networks.contract import Contract, Network, Verbs, contract_of, verbs_of
from pellucid.priors import Prior
from pellucid.refinement.channels import as_rgb, restored_channels, with_channels
from pellucid.refinement.features import FeatureRefinement

__all__ = ["Boosted", "Refined", "network_of"]

PRECISIONS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
SMALL = 16
"""Sides of an image, in pixels, below which many networks fail that do not say so by their `multiple`."""


class Refined(NamedTuple):
    """What a boosted network gives in training, with what the network's own loss looks at beside each image."""

    refined: Tensor
    """(B, 3, H, W)."""
    restored: Tensor
    """By the network alone, (B, 3, H, W)."""
    refined_trace: Any
    """Of the run that gave the refined image."""
    restored_trace: Any
    """Of the run that gave the restored one."""


class Boosted(Network):
    """R(F(y), y, g): a network F, told of by a prior G and refined by R.

    The network is only called, never changed: `boosted.network is network`.

    Args:
        network: any module, images (B, 3, H, W) in [0, 1] to images of the same size; `networks.External` adapts those
            that return several or work on another range. Also grey to grey, (B, 1, H, W), which the prior and R see
            repeated, and the two views of a dual-pixel sensor, (B, 6, H, W), to one image (B, 3, H, W): the prior and R
            see their mean.
        prior: an object of `pellucid.priors`; a network that must be told a vector is told that of this prior, too.
        refinement: an object of `pellucid.refinement`, made for the prior's width and, inside a network, for one of its
            layers; None where the prior is for the network alone.
        freeze_network: train R alone.

    Raises:
        ModelError: the network changes the size, or is boosted itself.
        SettingsError: it has no such layer as the refinement was made for, or takes vectors of another width.
    """

    def __init__(
        self, network: nn.Module, prior: Prior, refinement: nn.Module | None, *, freeze_network: bool = False
    ) -> None:
        super().__init__()
        if isinstance(network, Boosted):
            raise ModelError("the network is boosted already; boost the network within it instead: boosted.network")
        self.network, self.refinement = network, refinement
        self.prior: Any = prior
        self.freeze_network = freeze_network
        own = contract_of(network)
        if own.vector not in (None, prior.width):
            raise SettingsError(
                f"{type(network).__name__} takes a prior's vector of width {own.vector}, and the prior {prior.name!r} "
                f"gives {prior.width}; set network.settings.prior_width={prior.width}"
            )
        if refinement is not None and own.scale != 1:
            raise ModelError(f"the refinement works at the network's input size; this network scales by {own.scale}")
        self.refinement_multiple: int = 1 if refinement is None else refinement.multiple  # type: ignore[assignment]
        self.contract = Contract(
            multiple=math.lcm(own.multiple, self.refinement_multiple),
            scale=own.scale,
            channels=own.channels,
            words=own.words,
            numbers=own.numbers,
            reference=own.reference,
            looks=True,
            samples=own.samples,
            experts=own.experts,
        )
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

    def unrefined(self) -> nn.Module:
        """The network alone; still told what the prior sees, where it must be."""
        needed = contract_of(self.network).vector is not None
        return Boosted(self.network, self.prior, None) if needed else self.network

    def for_network_alone(self, guidance: Guidance) -> Guidance:
        """The guidance with which `restore` gives what the network does without R at work inside it."""
        return guidance.knowing(vector=None, maps=None) if self.inside else guidance

    @property
    def takes_maps(self) -> bool:
        """Whether R takes the prior's maps instead of its vector."""
        return bool(self.refinement is not None and self.refinement.takes_maps)

    @overload  # type: ignore[override]
    def forward(self, degraded: Tensor, guidance: Guidance = ..., *, both: Literal[False] = ...) -> Tensor: ...

    @overload
    def forward(self, degraded: Tensor, guidance: Guidance = ..., *, both: Literal[True]) -> tuple[Tensor, Tensor]: ...

    @overload
    def forward(self, degraded: Tensor, guidance: Guidance = ..., *, trace: Literal[True]) -> Refined: ...

    def forward(
        self, degraded: Tensor, guidance: Guidance = NOTHING, *, both: bool = False, trace: bool = False
    ) -> Tensor | tuple[Tensor, Tensor] | Refined:
        """Refines what the network restores.

        Args:
            degraded: (B, 3, H, W) in [0, 1], any size; padded by reflection where the network or R need it, and given
                to each in the precision of its weights.
            guidance: what is known of the whole images, where `degraded` holds only crops of them: the prior's view, or
                its vector or maps, and the grid. The prior looks at the images themselves where it says nothing.
            both: return (refined, restored) rather than refined alone; a network refined inside then runs twice.
            trace: return both, and what the network's own loss looks at.

        Returns:
            The refined images in the precision of the degraded ones, which R itself finds in that of its own weights,
            float32.

        Raises:
            ModelError: there are no images, or the network returns anything but an image of the size it was given.
        """
        guidance = self.told(degraded, guidance)
        known = guidance.restored
        if known is not None and self.inside:
            raise ModelError("R works inside the network, which must run: its results cannot be known before")
        restored, refined_trace = (
            self._restored(degraded, guidance, trace=trace) if known is None else (known.to(degraded.dtype), None)
        )
        refined = self.refine(restored, degraded, guidance)
        if not both and not trace:
            return refined
        restored_trace = refined_trace
        if self.inside:
            # A step is one lesson to what learns statistics, and those of the refined maps are what it will see.
            with statistics_kept(self.network):
                alone = self.for_network_alone(guidance)
                restored, restored_trace = self._restored(degraded, alone, trace=trace)
        return Refined(refined, restored, refined_trace, restored_trace) if trace else (refined, restored)

    @torch.no_grad()
    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Adds the prior's vector or maps, with the view of it that the prior was shown, and what the network finds
        out.

        Args:
            image: the whole images, (B, C, H, W) in [0, 1], any size.
            known: what is known already; a view, a vector or maps that it has are taken as they are.
            cut: see `Network.look`.

        Raises:
            ModelError: there are no images, or they have other channels than the prior can be shown.
        """
        return self._verbs().look(image, self.told(image, known), cut=cut)

    @torch.no_grad()
    def told(self, image: Tensor, known: Guidance = NOTHING) -> Guidance:
        """What is known, with what the prior says of the whole images, where it is not known already."""
        vector, maps, view = known.vector, known.maps, known.view
        wanted = maps if self.takes_maps else vector
        if wanted is not None and (vector is not None or contract_of(self.network).vector is None):
            return known
        if view is None:
            seen = as_rgb(image)
            if not len(seen):
                raise ModelError(
                    f"a boosted network takes one image or more, got a batch of none: {tuple(image.shape)}"
                )
        else:
            seen = view
        device = next((value.device for value in self.prior.parameters()), seen.device)
        if self.takes_maps and maps is None:
            # A view is an image of the prior's own size: preparing it once more changes nothing.
            maps = self.prior.maps(seen.to(device))
        if vector is None and (not self.takes_maps or contract_of(self.network).vector is not None):
            # A picture that is too large for the device is not on it; its view is small.
            view = self.prior.prepare(seen).to(device) if view is None else view
            vector = self.prior.encode(view)
        return known.knowing(vector=vector, maps=maps, view=view)

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """F alone, on degraded images (B, C, H, W) of any size; with R at work inside it, where R works there.

        R inside a network works where the guidance has what the prior says.

        Raises:
            ModelError: the network returns anything but an image of the size it was given, or the layer anything but a
                map; or an image is too small for the network.
        """
        # The same as `_restored` without a trace: no frame more stands between a picture and its network.
        padded, inside, learning = self._prepared(tile, guidance)
        with torch.set_grad_enabled(learning), inside or nullcontext(), _explained(self.network, padded):
            restored = self._verbs()(padded.clone(), guidance)  # a copy: a network may work in place
        return self._fitted(restored, tile, padded)

    def _restored(self, tile: Tensor, guidance: Guidance, *, trace: bool) -> tuple[Tensor, Any]:
        """What `restore` gives, and with `trace` what the network computed on its way."""
        if not trace or not isinstance(self.network, Network):
            return self.restore(tile, guidance), None
        padded, inside, learning = self._prepared(tile, guidance)
        with torch.set_grad_enabled(learning), inside or nullcontext(), _explained(self.network, padded):
            restored, traced = self.network.traced(padded.clone(), guidance)
        return self._fitted(restored, tile, padded), traced

    def _prepared(self, tile: Tensor, guidance: Guidance) -> tuple[Tensor, AbstractContextManager[None] | None, bool]:
        """The tile as the network takes it, R at work inside it, if anywhere, and whether gradients are needed."""
        padded = pad_to_multiple(tile.to(_precision(self.network, tile.dtype)), contract_of(self.network).multiple)
        inside = self._inside(guidance)
        learning = torch.is_grad_enabled() and (not self.freeze_network or inside is not None)
        return padded, inside, learning

    def _fitted(self, restored: Any, tile: Tensor, padded: Tensor) -> Tensor:
        """What a network gave, cut to the tile's size and in its precision."""
        (height, width), scale = tile.shape[2:], self.contract.scale
        expected = (
            len(padded), restored_channels(padded.shape[1]), padded.shape[2] * scale, padded.shape[3] * scale
        )  # fmt: skip
        if not isinstance(restored, Tensor) or restored.shape != expected:
            got = tuple(restored.shape) if isinstance(restored, Tensor) else type(restored).__name__
            raise ModelError(
                f"{type(self.network).__name__}: expected an image of shape {expected}, got {got}; "
                "pellucid.networks.External(network, ...) adapts networks of other outputs and ranges"
            )
        cropped = restored[:, :, : height * scale, : width * scale]
        return cropped if padded.dtype == tile.dtype else cropped.to(tile.dtype)

    def _inside(self, guidance: Guidance) -> AbstractContextManager[None] | None:
        feature = self._feature(guidance)
        if feature is None or self.refinement is None or not self.inside:
            return None
        replace = partial(self.refinement, feature=self._as_refinement(feature), grid=guidance.grid)
        return replaced(self.network, str(self.refinement.layer), replace)

    def _feature(self, guidance: Guidance) -> Tensor | None:
        """What R takes of the prior."""
        return guidance.maps if self.takes_maps else guidance.vector

    def refine(self, restored: Tensor, degraded: Tensor, guidance: Guidance, *, memory: int | None = None) -> Tensor:
        """R alone, on images of any size; where R works inside the network, or there is none, nothing is left to do.

        Args:
            restored: (B, 3, H, W), or grey (B, 1, H, W).
            degraded: what the network restored it from, (B, C, H, W).
            guidance: what `look` gives; its grid says where the images lie in the whole ones.
            memory: bytes that intermediate maps may take.

        Returns:
            The shape of `restored`, in the precision of `degraded`.
        """
        if self.refinement is None or self.inside:
            return restored
        height, width = degraded.shape[2:]
        pair = [pad_to_multiple(as_rgb(image), self.refinement_multiple) for image in (restored, degraded)]
        feature = self._feature(guidance)
        assert feature is not None, "look says what the prior sees"
        given = [self._as_refinement(one) for one in (*pair, feature)]
        refined: Tensor = self.refinement(*given, grid=guidance.grid, memory=memory)[:, :, :height, :width]
        return with_channels(refined, restored.shape[1]).to(degraded.dtype)

    def _as_refinement(self, value: Tensor) -> Tensor:
        """A tensor in the precision of R's weights."""
        assert self.refinement is not None
        return value.to(_precision(self.refinement, value.dtype))

    def _verbs(self) -> Verbs:
        """The network under its two verbs, which a module of somebody else's is given here."""
        return verbs_of(self.network)


def network_of(model: nn.Module) -> nn.Module:
    """F of a model: the network of a boosted one, and else the model itself."""
    return model.network if isinstance(model, Boosted) else model


def _precision(module: nn.Module, otherwise: torch.dtype) -> torch.dtype:
    """That of a module's first weights, in which it takes images; `otherwise` where it has none, or such as no image
    has."""
    found = next((value.dtype for value in module.parameters()), otherwise)
    return found if found in PRECISIONS else otherwise


@contextmanager
def _explained(network: nn.Module, image: Tensor) -> Iterator[None]:
    """Around a network's run on what may be too small for its own padding, poolings or statistics: says so where it
    fails."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if min(image.shape[2:]) >= SMALL or isinstance(error, torch.OutOfMemoryError):
            raise
        raise ModelError(
            f"{type(network).__name__} fails on an image of {image.shape[2]} x {image.shape[3]} ({one_line(error)}); "
            f"if that is "
            f"too small for it, pellucid.networks.External(network, multiple={SMALL}) pads its images"
        ) from error
