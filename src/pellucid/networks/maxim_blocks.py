"""The blocks of MAXIM: gated mixing of places near and far, and of two streams by each other.

Source: Tu et al., "MAXIM: Multi-Axis MLP for Image Processing" (CVPR 2022, arXiv 2201.02973), section 3.2 and figure 3
(multi-axis gated MLP), section 3.3 and figure 4 (cross gating), appendix (channel attention blocks).

Features are (B, H, W, C) between the blocks: nearly everything acts on the channels of one place, so that is how they
lie in memory. A convolution sees the same memory as (B, C, H, W) in channels-last layout.

A picture is cut for its places to mix in two ways: into blocks of `side` x `side` pixels, within each of which they mix
(near ones), and into a grid of `side` x `side` cells, where the places that lie alike in every cell mix (far ones).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "Axis",
    "BottleneckAttention",
    "CrossGating",
    "MultiAxisMixer",
    "ResidualAttention",
    "SupervisedAttention",
    "convolved",
    "gelu",
]

Axis = Literal["block", "grid"]
EPSILON = 1e-6
"""Of every normalisation; the authors' framework's."""


def gelu(features: Tensor) -> Tensor:
    """GELU in the form with a hyperbolic tangent: the authors' framework's."""
    return F.gelu(features, approximate="tanh")


def convolved(convolution: nn.Module, features: Tensor) -> Tensor:
    """What a convolution makes of (B, H, W, C), in the same layout."""
    result: Tensor = convolution(features.permute(0, 3, 1, 2))
    return result.permute(0, 2, 3, 1).contiguous()


def _norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=EPSILON)


class PlaceMixer(nn.Module):
    """One linear map over places, the same for every channel: of a block's pixels, or of a grid's cells.

    Args:
        side: places along each side of a block, or cells along each side of the grid; the features' sides divide by it.
        axis: which of the two.
    """

    def __init__(self, side: int, axis: Axis) -> None:
        super().__init__()
        self.side, self.axis = side, axis
        self.weight = nn.Parameter(torch.empty(side * side, side * side))
        self.bias = nn.Parameter(torch.ones(side * side))
        # The gates begin open, and each place with next to nothing of the others.
        nn.init.normal_(self.weight, std=0.02 / side)

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) in and out."""
        batch, height, width, channels = features.shape
        side, near = self.side, self.axis == "block"
        rows, columns = height // side, width // side
        inner = (rows, side, columns, side) if near else (side, rows, side, columns)
        order = (0, 1, 3, 2, 4, 5)
        gathered = features.reshape(batch, *inner, channels).permute(order)
        if near:  # (B, rows, columns, side, side, C): one small product for each block
            mixed = self.weight @ gathered.reshape(batch * rows * columns, side * side, channels)
        else:  # (B, side, side, rows, columns, C): one large product for each picture
            mixed = self.weight @ gathered.reshape(batch, side * side, rows * columns * channels)
        mixed = mixed + self.bias[:, None]
        return mixed.reshape(gathered.shape).permute(order).reshape(features.shape)


class GatedMixer(nn.Module):
    """The gated MLP of one axis: one half of the channels, mixed over places, gates the other; (B, H, W, C) in and
    out."""

    def __init__(self, width: int, side: int, axis: Axis) -> None:
        super().__init__()
        self.norm = _norm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.gate_norm = _norm(width)
        self.places = PlaceMixer(side, axis)
        self.join = nn.Linear(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) in and out."""
        value, gate = gelu(self.expand(self.norm(features))).chunk(2, dim=-1)
        joined: Tensor = features + self.join(value * (self.places(self.gate_norm(gate)) + 1))
        return joined


class MultiAxisMixer(nn.Module):
    """Half of the channels mixed within blocks, half across the grid (the paper's multi-axis gated MLP)."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.norm = _norm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.grid = GatedMixer(width, side, "grid")
        self.block = GatedMixer(width, side, "block")
        self.join = nn.Linear(2 * width, width)

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) in and out."""
        far, near = gelu(self.expand(self.norm(features))).chunk(2, dim=-1)
        joined: Tensor = features + self.join(torch.cat([self.grid(far), self.block(near)], dim=-1))
        return joined


class Gates(nn.Module):
    """The gates that one stream holds for the other: as `MultiAxisMixer`, but every channel is mixed as it is."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.norm = _norm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.grid = PlaceMixer(side, "grid")
        self.block = PlaceMixer(side, "block")
        self.join = nn.Linear(2 * width, width)

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) in and out."""
        far, near = gelu(self.expand(self.norm(features))).chunk(2, dim=-1)
        gates: Tensor = self.join(torch.cat([self.grid(far), self.block(near)], dim=-1))
        return gates


class CrossGating(nn.Module):
    """Two streams of features, each gated by the other.

    Args:
        width: channels of what comes out.
        side: of blocks and grid.
        first_width: channels of the first stream.
        second_width: channels of the second.
        upsample: whether the second stream comes at half the sides.
    """

    def __init__(self, width: int, side: int, first_width: int, second_width: int, *, upsample: bool = False) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(second_width, width, 2, stride=2) if upsample else None
        self.first_in = nn.Conv2d(first_width, width, 1)
        self.second_in = nn.Conv2d(width if upsample else second_width, width, 1)
        self.first_norm, self.second_norm = _norm(width), _norm(width)
        self.first_expand, self.second_expand = nn.Linear(width, width), nn.Linear(width, width)
        self.first_gates, self.second_gates = Gates(width, side), Gates(width, side)
        self.first_join, self.second_join = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Two of (B, H, W, C), the second perhaps (B, H/2, W/2, C), to two of (B, H, W, width): the first holds
        both."""
        if self.upsample is not None:
            second = convolved(self.upsample, second)
        first, second = convolved(self.first_in, first), convolved(self.second_in, second)
        one = gelu(self.first_expand(self.first_norm(first)))
        other = gelu(self.second_expand(self.second_norm(second)))
        second = second + self.second_join(other * self.first_gates(one))
        first = first + self.first_join(one * self.second_gates(other)) + second
        return first, second


class ChannelAttention(nn.Module):
    """Channels weighed by what the means of all say; (B, H, W, C) in and out."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, width // reduction, 1)
        self.excite = nn.Conv2d(width // reduction, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) in and out."""
        means = F.relu(convolved(self.squeeze, features.mean((1, 2), keepdim=True)))
        return features * torch.sigmoid(convolved(self.excite, means))


class ResidualAttention(nn.Module):
    """Two convolutions and channel attention, beside the input; (B, H, W, C) in and out."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.norm = _norm(width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.attention = ChannelAttention(width, reduction)

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) in and out."""
        changed = F.leaky_relu(convolved(self.first, self.norm(features)), 0.2)
        result: Tensor = features + self.attention(convolved(self.second, changed))
        return result


class BottleneckAttention(nn.Module):
    """A small MLP over channels and channel attention, beside the input; (B, H, W, C) in and out."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.norm = _norm(width)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.attention = ChannelAttention(width, reduction)

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) in and out."""
        result: Tensor = features + self.attention(self.second(gelu(self.first(self.norm(features)))))
        return result


class SupervisedAttention(nn.Module):
    """An image is made of features, and tells by its own features which of them go on to the next stage (Zamir et al.,
    "Multi-Stage Progressive Image Restoration", CVPR 2021, figure 4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(width, width, 3, padding=1)
        self.image = nn.Conv2d(width, 3, 3, padding=1)
        self.attention = nn.Conv2d(3, width, 3, padding=1)

    def forward(self, features: Tensor, degraded: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, H, W, C) and the degraded image (B, H, W, 3) to the features that go on and the image."""
        image = convolved(self.image, features) + degraded
        attended = convolved(self.features, features) * torch.sigmoid(convolved(self.attention, image))
        return features + attended, image
