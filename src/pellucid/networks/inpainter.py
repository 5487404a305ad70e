"""The inpainter: what is missing in a picture is first filled smoothly, then given what a U-Net has learnt to add."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.guidance import Guidance
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.half_unet import HalfUNet

__all__ = ["Inpainter", "smooth_fill"]

SWEEPS = 6
"""Relaxations at each scale of the smooth filling."""


class Inpainter(Network):
    """Pictures (B, 3, H, W) in [0, 1] in which what is missing is NaN, to whole ones; what is known stays, to the bit.

    The filling begins as the solution of Laplace's equation in the hole, as in Bertalmio et al. ("Image Inpainting",
    SIGGRAPH 2000) diffusion does without its transport; a gated U-Net, told where the hole is, adds the rest. So it
    begins as a classical method and learns what that one cannot know: edges that go on, texture.

    Args:
        widths, blocks: see `HalfUNet`.
    """

    def __init__(self, widths: Sequence[int] = (64, 96, 128, 192), blocks: Sequence[int] = (1, 2, 2, 2)) -> None:
        super().__init__()
        self.unet = HalfUNet(4, 12, widths, blocks)
        self.contract = Contract(multiple=self.unet.multiple)
        self.settings = {"widths": list(widths), "blocks": list(blocks)}

    @classmethod
    def tiny(cls) -> "Inpainter":
        """The smallest useful instance, for tests."""
        return cls(widths=(8, 16), blocks=(1, 1))

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """The tile with its NaN filled; without any it comes back as it is."""
        missing = tile.isnan().any(1, keepdim=True)
        if not bool(missing.any()):
            return tile
        filled = self.filled(tile, missing)
        return torch.where(missing, filled, tile)

    def filled(self, tile: Tensor, missing: Tensor) -> Tensor:
        """What the network would put everywhere, (B, 3, H, W); `missing` is (B, 1, H, W) bool."""
        begun = smooth_fill(tile, missing)
        seen = torch.cat([begun - 0.5, missing.to(begun.dtype)], 1)
        return begun + F.pixel_shuffle(self.unet(seen), 2).float()


def smooth_fill(image: Tensor, missing: Tensor) -> Tensor:
    """A picture whose missing places are filled with a function as smooth as can be: near the solution of Laplace's
    equation with the known pixels around it, found from coarse to fine.

    Args:
        image: (B, C, H, W); what it holds where it is missing does not matter.
        missing: (B, 1, H, W) bool.

    Returns:
        float32, same shape; where all of a picture is missing, 0.5.
    """
    with without_autocast(image):
        known = (~missing).float()
        return _filled(torch.where(missing, 0, image.float()), known)


def _filled(image: Tensor, known: Tensor) -> Tensor:
    """`image` is 0 where `known`, in [0, 1], is."""
    height, width = image.shape[2:]
    if max(height, width) <= 2:
        weight = known.sum((2, 3), keepdim=True)
        mean = (image * known).sum((2, 3), keepdim=True) / weight.clamp_min(1e-6)
        mean = torch.where(weight > 0, mean, 0.5)
        return torch.where(known > 0, image, mean)
    # Ceiling, so that no pixel is left out: a side of 5 becomes one of 3.
    padded = (0, width % 2, 0, height % 2)
    weights = F.avg_pool2d(F.pad(known, padded), 2)
    coarse = F.avg_pool2d(F.pad(image * known, padded), 2) / weights.clamp_min(1e-6)
    begun = _filled(torch.where(weights > 0, coarse, 0), (weights > 0).float())
    begun = F.interpolate(begun, scale_factor=2, mode="bilinear")[:, :, :height, :width]
    filled = torch.where(known > 0, image, begun)
    for _ in range(SWEEPS):
        around = F.pad(filled, (1, 1, 1, 1), mode="replicate")
        mean = (around[:, :, :-2, 1:-1] + around[:, :, 2:, 1:-1] + around[:, :, 1:-1, :-2] + around[:, :, 1:-1, 2:]) / 4
        filled = torch.where(known > 0, image, mean)
    return filled
