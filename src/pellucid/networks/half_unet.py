"""A U-Net that works at half the size and coarser, with gates, and with features that a vector can steer.

Shared by the two networks that edit pictures, `Inpainter` and `Colorizer`. Wide layers at the half size cost a
processor less than narrow ones at the whole.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["HalfUNet"]


class _GatedBlock(nn.Module):
    """x + g * conv(silu(s * conv(x) + t)): one gate for all channels of a place, and s and t from what is told.

    The gate is that of gated convolutions (Yu et al., "Free-Form Image Inpainting with Gated Convolution", ICCV 2019,
    arXiv 1806.03589, section 3.1) in the form with a single channel (Yi et al., "Contextual Residual Aggregation", CVPR
    2020, arXiv 2005.09704, section 3.2); s and t are FiLM's (Perez et al., AAAI 2018, arXiv 1709.07871).
    """

    def __init__(self, width: int, told: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.gate = nn.Conv2d(width, 1, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.steer = nn.Linear(told, 2 * width) if told else None
        if not self.second.weight.is_meta:
            nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
            nn.init.kaiming_normal_(self.second.weight, nonlinearity="relu")
            with torch.no_grad():
                self.second.weight.mul_(0.1)
            for bias in (self.first.bias, self.second.bias, self.gate.bias):
                assert bias is not None
                nn.init.zeros_(bias)
            if self.steer is not None:
                nn.init.zeros_(self.steer.bias)

    def forward(self, features: Tensor, told: Tensor | None) -> Tensor:
        inner = self.first(features)
        if self.steer is not None:
            assert told is not None
            scale, shift = self.steer(told)[:, :, None, None].chunk(2, 1)
            inner = inner * (1 + scale) + shift
        mixed: Tensor = features + self.second(F.silu(inner)) * torch.sigmoid(self.gate(features))
        return mixed


class _Stage(nn.Module):
    def __init__(self, width: int, blocks: int, told: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_GatedBlock(width, told) for _ in range(blocks))

    def forward(self, features: Tensor, told: Tensor | None) -> Tensor:
        for block in self.blocks:
            features = block(features, told)
        return features


class _Attention(nn.Module):
    """x + what every place takes from all others, by the products of their features (Vaswani et al., 2017)."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(1, width)
        self.mix = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)
        if not self.out.weight.is_meta:
            nn.init.zeros_(self.out.weight)

    def forward(self, features: Tensor) -> Tensor:
        rows, columns = features.shape[2:]
        query, key, value = (
            part.reshape(len(part), self.heads, -1, rows * columns).mT
            for part in self.mix(self.norm(features)).chunk(3, 1)
        )
        seen = F.scaled_dot_product_attention(query.contiguous(), key.contiguous(), value.contiguous())
        mixed: Tensor = features + self.out(seen.mT.reshape(features.shape))
        return mixed


class HalfUNet(nn.Module):
    """(B, channels, H, W), sides divisible by `multiple`, to (B, out, H / 2, W / 2).

    Args:
        channels: of the input; it is laid out as four times as many at half the size.
        out: channels of the result.
        widths: channels at 1/2, 1/4, ... of the size.
        blocks: at each, on the way down and again on the way up (once at the coarsest).
        told: length of the vector that steers all blocks; 0 for none.
        attention: whether the places of the coarsest scale see all others. The whole picture must then be given.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        *,
        told: int = 0,
        attention: bool = False,
    ) -> None:
        super().__init__()
        if not widths or len(widths) != len(blocks) or min(*widths, *blocks) < 1 or told < 0:
            raise ValueError(f"widths and blocks need one number for each scale; got {list(widths)} and {list(blocks)}")
        self.multiple = 2 ** len(widths)
        self.head = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        self.encoders = nn.ModuleList(_Stage(a, count, told) for a, count in zip(widths, blocks, strict=True))
        self.downsamples = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.middle = _Attention(widths[-1]) if attention else None
        self.upsamples = nn.ModuleList(
            nn.Sequential(nn.Conv2d(b, a, 1), nn.Upsample(scale_factor=2, mode="bilinear")) for a, b in pairwise(widths)
        )
        self.decoders = nn.ModuleList(_Stage(a, count, told) for a, count in zip(widths[:-1], blocks[:-1], strict=True))
        self.tail = nn.Conv2d(widths[0], out, 3, padding=1)
        if not self.tail.weight.is_meta:
            with torch.no_grad():
                self.tail.weight.mul_(0.1)
            assert self.tail.bias is not None
            nn.init.zeros_(self.tail.bias)

    def forward(self, image: Tensor, told: Tensor | None = None) -> Tensor:
        """Images and, where it is told anything, vectors (B, told)."""
        features = self.head(F.pixel_unshuffle(image, 2))
        skips: list[Tensor] = []
        for encode, downsample in zip(self.encoders, self.downsamples, strict=False):
            features = encode(features, told)
            skips.append(features)
            features = downsample(features)
        features = self.encoders[-1](features, told)
        if self.middle is not None:
            features = self.middle(features)
        for upsample, decode in zip(reversed(self.upsamples), reversed(self.decoders), strict=True):
            features = decode(upsample(features) + skips.pop(), told)
        result: Tensor = self.tail(F.silu(features))
        return result
