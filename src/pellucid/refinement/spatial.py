"""PTG-SVE, spatial-varying enhancement: near and far context, mixed at every pixel as the prior says (equations 2 and
3).

Source: "Boosting Image Restoration via Priors from Pre-trained Models" (CVPR 2024, arXiv 2403.06793). The far branch is
made of Restormer's blocks (`networks.restormer`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.networks.restormer import TransposedAttentionBlock
from pellucid.refinement.guidance import SLOPE, GuidedConvolution, even
from pellucid.refinement.windows import Windows

__all__ = ["LongRange", "RangeMap", "ShortRange"]


class RangeMap(nn.Module):
    """R_m of equation (2): where near context is to be trusted (1) and where far context (0).

    `prior` and `position` say whether T_m(g) and S_m have a say in it. `bounded` scales the hidden channels of each
    place to one size, so that the logits do not grow with the features.
    """

    def __init__(self, width: int, *, prior: bool = True, position: bool = True, bounded: bool = False) -> None:
        super().__init__()
        self.bounded = bounded
        self.guided = GuidedConvolution(width, width, prior=prior, position=position)
        self.out = nn.Conv2d(width, 1, 3, padding=1, bias=False)

    def forward(self, features: Tensor, prior: Tensor | None, position: Tensor | None) -> Tensor:
        """Features (B, width, h, w), T_m(g) (B, 4 width), S_m (B, width, h, w) to M (B, 1, h, w) in (0, 1); reach 2
        places."""
        hidden = F.leaky_relu(self.guided(features, prior, position), SLOPE)
        return torch.sigmoid(self.out(even(hidden) if self.bounded else hidden))


class ShortRange(nn.Module):
    """R_s of equation (3): one residual block of two 3x3 convolutions, without normalisation; reach 2 places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        result: Tensor = features + self.second(F.relu(self.first(features)))
        return result


class LongRange(nn.ModuleList):
    """R_l of equation (3): a chain of Restormer's blocks, each of which sees the whole image."""

    def __init__(self, width: int, blocks: int, heads: int = 1, expansion: float = 2.66) -> None:
        super().__init__(TransposedAttentionBlock(width, heads, expansion) for _ in range(blocks))

    def forward(self, features: Tensor, windows: Windows) -> Tensor:
        """(B, width, h, w) in and out."""
        for block in self:
            assert isinstance(block, TransposedAttentionBlock)
            features = _over_windows(block, features, windows)
        return features


def _over_windows(block: TransposedAttentionBlock, features: Tensor, windows: Windows) -> Tensor:
    """What the block makes of the whole map, (B, width, h, w) in and out."""
    if windows.whole:
        result: Tensor = block(features)
        return result
    attention = block.attention(windows.total(block.mix, block.products, features, halo=1))
    return windows.map(lambda part: block.finish(part, block.mix(part), attention), features, halo=2)
