"""The upscaler: residual convolutions at the small size, and a head for each scale that lays pixels out."""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.errors import ModelError
from pellucid.guidance import Guidance
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network

__all__ = ["Upscaler", "enlarged"]

HEAD_START = 0.1
"""Weights of the last convolution of each block and of the heads, over what is usual: all begins near the bicubic."""


class Upscaler(Network):
    """A small picture in, (B, 3, H, W) in [0, 1], any size; a large one out, (B, 3, H * scale, W * scale), unclipped.

    All is computed at the small size, on which even a processor is quick: blocks of two 3 x 3 convolutions with a ReLU
    between, without normalisation, as in EDSR (Lim et al., "Enhanced Deep Residual Networks for Single Image
    Super-Resolution", CVPRW 2017, arXiv 1707.02921, section 3.1). Each scale has one more convolution, whose channels
    are laid out as pixels (Shi et al., ESPCN, CVPR 2016, arXiv 1609.05158, equation 4); the blocks serve all scales, as
    in MDSR (section 3.3 there). What is learnt is added to the bicubic enlargement, as in VDSR (Kim et al., CVPR 2016,
    arXiv 1511.04587).

    Args:
        width: channels of the blocks.
        blocks: how many.
        scales: by which the sides can grow; without being told, by the last.
    """

    def __init__(self, width: int = 64, blocks: int = 6, scales: Sequence[int] = (2, 3, 4)) -> None:
        super().__init__()
        if width < 1 or blocks < 1 or not scales or sorted(set(scales)) != list(scales) or scales[0] < 2:
            raise ValueError(
                "width and blocks must be 1 at least, and scales whole numbers from 2 on that rise; got "
                f"{width}, {blocks} and {list(scales)}"
            )
        self.contract = Contract(scale=scales[-1], scales=tuple(scales))
        self.settings = {"width": width, "blocks": blocks, "scales": list(scales)}
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(blocks)))
        self.heads = nn.ModuleDict({str(scale): nn.Conv2d(width, 3 * scale**2, 3, padding=1) for scale in scales})
        for head in self.heads.values():
            _lessen(head)

    @classmethod
    def tiny(cls) -> "Upscaler":
        """The smallest useful instance, for tests."""
        return cls(width=8, blocks=1, scales=(2, 3))

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """The tile enlarged by the guidance's scale, or by the largest.

        Raises:
            ModelError: a scale that it has not.
        """
        scale = guidance.scale or self.contract.scale
        if scale not in self.contract.scales:
            known = ", ".join(map(str, self.contract.scales))
            raise ModelError(f"this network enlarges by {known}, not by {scale}")
        features = self.first(tile - 0.5)
        features = features + self.blocks(features)
        detail = F.pixel_shuffle(self.heads[str(scale)](features), scale)
        return enlarged(tile, scale) + detail.float()


class _Block(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.outer = nn.Conv2d(width, width, 3, padding=1)
        _lessen(self.outer)

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = features + self.outer(F.relu(self.inner(features)))
        return result


def enlarged(image: Tensor, scale: int) -> Tensor:
    """(B, C, H, W) by the bicubic kernel of a = -0.5 to (B, C, H * scale, W * scale), float32."""
    with without_autocast(image):
        size = [length * scale for length in image.shape[2:]]
        # Of torch's two bicubic kernels only the antialiasing one has this a; enlarging, it does nothing else.
        return F.interpolate(image.float(), size, mode="bicubic", antialias=True)


def _lessen(convolution: nn.Module) -> None:
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    nn.init.kaiming_uniform_(convolution.weight, a=math.sqrt(5))
    convolution.weight.data.mul_(HEAD_START)
    nn.init.zeros_(convolution.bias)
