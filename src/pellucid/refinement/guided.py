"""A network that a prior guides from inside, made one that takes images alone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import SettingsError
from pellucid.networks import input_multiple, output_scale
from pellucid.priors import Prior
from pellucid.refinement.channels import as_rgb

__all__ = ["Guided"]


class Guided(nn.Module):
    """F(y, G(y)): a network that takes a prior's vector beside the image, such as `networks.Experts`, and that prior.

    The vector is that of the whole photograph: whoever gives tiles or crops gives it as `whole` (`networks.seeing_whole`).

    Args:
        network: images (B, 3, H, W) and vectors (B, guide_width) to images.
        prior: an object of `pellucid.priors` of that width.

    Raises:
        SettingsError: the widths differ.
    """

    minds_padding = True
    """The prior has learnt from photographs, not from padded ones: reflections at the margin are a trace of their own."""

    def __init__(self, network: nn.Module, prior: Prior) -> None:
        super().__init__()
        wanted = getattr(network, "guide_width", None)
        if wanted != prior.width:
            raise SettingsError(
                f"{type(network).__name__} takes a guide of width {wanted}, and the prior {prior.name!r} gives {prior.width}; "
                f"set network.settings.guide_width={prior.width}"
            )
        self.network = network
        self.prior: Any = prior
        self.multiple, self.scale = input_multiple(network), output_scale(network)

    @property
    def alternatives(self) -> Sequence[nn.Module]:
        """Networks of which it asks some for each picture; itself, where it is one that asks no others."""
        return list(getattr(self.network, "experts", (self,)))

    @torch.no_grad()
    def whole(self, image: Tensor) -> Tensor:
        """The prior's vectors (B, width) of whole photographs (B, 3, H, W) in [0, 1]."""
        vector: Tensor = self.prior(as_rgb(image))
        return vector

    def forward(self, degraded: Tensor, whole: Tensor | None = None) -> Tensor:
        """Degraded (B, 3, H, W) to restored; `whole` gives the vectors where the images are but parts of photographs."""
        restored: Tensor = self.network(degraded, self.whole(degraded) if whole is None else whole)
        return restored
