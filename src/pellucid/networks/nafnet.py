"""NAFNet: a U-Net without activation functions.

Source: Chen et al., "Simple Baselines for Image Restoration" (ECCV 2022, arXiv 2204.04676), section 3 and figure 3:
LayerNorm, a gate that multiplies the two halves of the channels (SimpleGate), channel attention without a nonlinearity
(SCA), and learned, zero-initialised scales on both residual branches.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.contract import Contract, Network

__all__ = ["NAFNet"]


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel, with scale and offset."""

    def __init__(self, width: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.epsilon = epsilon

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        variance, mean = torch.var_mean(features, dim=1, keepdim=True, correction=0)
        normalised = (features - mean) * torch.rsqrt(variance + self.epsilon)
        return normalised * self.weight[:, None, None] + self.bias[:, None, None]


def _gate(features: Tensor) -> Tensor:
    """SimpleGate (equation 4): the product of the two halves of the channels."""
    one, other = features.chunk(2, dim=1)
    return one * other


class NAFBlock(nn.Module):
    """Spatial mixing by a gated depthwise convolution with channel attention, then a gated pointwise network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_space = ChannelNorm(width)
        self.expand_space = nn.Conv2d(width, 2 * width, 1)
        self.depthwise = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.attention = nn.Conv2d(width, width, 1)
        self.project_space = nn.Conv2d(width, width, 1)
        self.norm_channels = ChannelNorm(width)
        self.expand_channels = nn.Conv2d(width, 2 * width, 1)
        self.project_channels = nn.Conv2d(width, width, 1)
        # Zero: at the start each block is the identity.
        self.scale_space = nn.Parameter(torch.zeros(width, 1, 1))
        self.scale_channels = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        mixed = _gate(self.depthwise(self.expand_space(self.norm_space(features))))
        mixed = mixed * self.attention(mixed.mean((2, 3), keepdim=True))
        features = features + self.project_space(mixed) * self.scale_space
        mixed = self.project_channels(_gate(self.expand_channels(self.norm_channels(features))))
        result: Tensor = features + mixed * self.scale_channels
        return result


class NAFNet(Network):
    """Degraded image in, restored image out: (B, 3, H, W); H and W divisible by `multiple`.

    The channel attention pools the whole input: on tiles it sees the tile only, so a tiled result is close to the
    untiled one rather than equal (Chu et al., arXiv 2112.04491, measure that gap).

    Args:
        width: channels at the finest scale; they double with each halving of the sides.
        encoder_blocks: blocks at each scale on the way down.
        middle_blocks: blocks at the coarsest scale.
        decoder_blocks: blocks at each scale on the way up, coarsest first.
        channels: colour channels of the image.
    """

    def __init__(
        self,
        width: int = 32,
        encoder_blocks: Sequence[int] = (2, 2, 4, 8),
        middle_blocks: int = 12,
        decoder_blocks: Sequence[int] = (2, 2, 2, 2),
        channels: int = 3,
    ) -> None:
        super().__init__()
        if len(encoder_blocks) != len(decoder_blocks):
            raise ValueError("encoder_blocks and decoder_blocks need one entry per scale each")
        self.settings = {
            "width": width,
            "encoder_blocks": list(encoder_blocks),
            "middle_blocks": middle_blocks,
            "decoder_blocks": list(decoder_blocks),
            "channels": channels,
        }
        self.contract = Contract(multiple=2 ** len(encoder_blocks), channels=channels)
        widths = [width * 2**level for level in range(len(encoder_blocks))]
        self.intro = nn.Conv2d(channels, width, 3, padding=1)
        self.encoders = nn.ModuleList(_stage(w, n) for w, n in zip(widths, encoder_blocks, strict=True))
        self.downsamples = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, stride=2) for w in widths)
        self.middle = _stage(widths[-1] * 2 if widths else width, middle_blocks)
        self.upsamples = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * w, 4 * w, 1, bias=False), nn.PixelShuffle(2)) for w in reversed(widths)
        )
        self.decoders = nn.ModuleList(_stage(w, n) for w, n in zip(reversed(widths), decoder_blocks, strict=True))
        self.ending = nn.Conv2d(width, channels, 3, padding=1)

    @classmethod
    def tiny(cls) -> "NAFNet":
        """The smallest useful instance, for tests."""
        return cls(width=8, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1))

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns degraded + the predicted correction."""
        features = self.intro(tile)
        skips: list[Tensor] = []
        for encode, downsample in zip(self.encoders, self.downsamples, strict=True):
            features = encode(features)
            skips.append(features)
            features = downsample(features)
        features = self.middle(features)
        for upsample, decode in zip(self.upsamples, self.decoders, strict=True):
            features = decode(upsample(features) + skips.pop())
        restored: Tensor = tile + self.ending(features)
        return restored


def _stage(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(NAFBlock(width) for _ in range(count)))
