"""How networks that must be told how much noise there is come to know it."""

import torch
from torch import Tensor

from pellucid.guidance import Guidance
from pellucid.images.noise import noise_sigma
from pellucid.networks.autocast import without_autocast
from pellucid.scratch import excerpt

__all__ = ["sigma_of"]


def sigma_of(image: Tensor, known: Guidance, fixed: float | None) -> Tensor:
    """The noise's standard deviation on the scale 0..255, (B, 1): what the user says, what the network was made for, or
    else what the images (B, C, H, W) show.

    An image of fewer than 4 pixels a side shows none.

    Args:
        image: whole pictures.
        known: whose `told["sigma"]` counts before all else.
        fixed: of a network for one level of noise.
    """
    said = known.told.get("sigma", fixed)
    if said is not None:
        return image.new_full((len(image), 1), said, dtype=torch.float32)
    if min(image.shape[2:]) < 4:
        return image.new_zeros(len(image), 1, dtype=torch.float32)
    with without_autocast(image):
        return noise_sigma(excerpt(image)).float()[:, None]
