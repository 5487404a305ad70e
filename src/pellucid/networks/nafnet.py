"""NAFNet: a U-Net without activation functions.

Source: Chen et al., "Simple Baselines for Image Restoration" (ECCV 2022, arXiv 2204.04676), section 3 and figure 3:
LayerNorm, a gate that multiplies the two halves of the channels (SimpleGate), channel attention without a nonlinearity
(SCA), and learned, zero-initialised scales on both residual branches.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.contract import Contract, Network
from pellucid.networks.injection import Inject, untouched
from pellucid.networks.local_mean import local_mean
from pellucid.networks.published import Published, Weights, count

__all__ = ["NAFBlock", "NAFNet"]


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel, with scale and offset."""

    def __init__(self, width: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.epsilon = epsilon

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        # With channels last, as networks run, this moves nothing; torch's own norm is one pass over the map.
        by_place = features.permute(0, 2, 3, 1)
        normalised = F.layer_norm(by_place, self.weight.shape, self.weight, self.bias, self.epsilon)
        return normalised.permute(0, 3, 1, 2)


def _gate(features: Tensor) -> Tensor:
    """SimpleGate (equation 4): the product of the two halves of the channels."""
    one, other = features.chunk(2, dim=1)
    return one * other


class NAFBlock(nn.Module):
    """Spatial mixing by a gated depthwise convolution with channel attention, then a gated pointwise network.

    Args:
        width: channels.
        window: side, in places, of the window around each place that the channel attention pools, where the map is
            larger; None pools the whole map.
    """

    def __init__(self, width: int, window: int | None = None) -> None:
        super().__init__()
        self.window = window
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
        mixed = mixed * self.attention(self._pooled(mixed))
        features = features + self.project_space(mixed) * self.scale_space
        mixed = self.project_channels(_gate(self.expand_channels(self.norm_channels(features))))
        result: Tensor = features + mixed * self.scale_channels
        return result

    def _pooled(self, features: Tensor) -> Tensor:
        """Means of the map, or of windows of it; in training of the map, which then is a crop of that size."""
        window = self.window
        if window is None or self.training or window >= max(features.shape[2:]):
            return features.mean((2, 3), keepdim=True)
        return local_mean(features, window, window)


class NAFNet(Network):
    """Degraded image in, restored image out: (B, 3, H, W); H and W divisible by `multiple`.

    The channel attention pools the whole input: on tiles it sees the tile only, so a tiled result is close to the
    untiled one rather than equal. With `window` it pools, in evaluation, windows about as large as the crops that it
    has learnt from (Chu et al., arXiv 2112.04491), as the published networks for GoPro and REDS do.

    Published parameters: SIDD 29,159,715 (width 32) and 115,982,915 (64); GoPro 17,111,907 and 67,888,835.

    Args:
        width: channels at the finest scale; they double with each halving of the sides.
        encoder_blocks: blocks at each scale on the way down.
        middle_blocks: blocks at the coarsest scale.
        decoder_blocks: blocks at each scale on the way up, coarsest first.
        channels: colour channels of the image.
        window: side in pixels of what the channel attention pools; None is the whole. The authors take 384 for networks
            that have learnt from crops of 256.
    """

    def __init__(
        self,
        width: int = 32,
        encoder_blocks: Sequence[int] = (2, 2, 4, 8),
        middle_blocks: int = 12,
        decoder_blocks: Sequence[int] = (2, 2, 2, 2),
        channels: int = 3,
        window: int | None = None,
    ) -> None:
        super().__init__()
        scales = len(encoder_blocks)
        if scales != len(decoder_blocks):
            raise ValueError("encoder_blocks and decoder_blocks need one entry per scale each")
        if window is not None and window < 2**scales:
            raise ValueError(f"window must be {2**scales} pixels at least, one place at the coarsest; got {window}")
        self.settings = {
            "width": width,
            "encoder_blocks": list(encoder_blocks),
            "middle_blocks": middle_blocks,
            "decoder_blocks": list(decoder_blocks),
            "channels": channels,
        }
        if window is not None:
            self.settings["window"] = window
        self.contract = Contract(multiple=2**scales, channels=channels)
        widths = [width * 2**level for level in range(scales)]

        def stage(level: int, count: int) -> nn.Sequential:
            places = None if window is None else window // 2**level
            return nn.Sequential(*(NAFBlock(width * 2**level, places) for _ in range(count)))

        self.intro = nn.Conv2d(channels, width, 3, padding=1)
        self.encoders = nn.ModuleList(stage(level, count) for level, count in enumerate(encoder_blocks))
        self.downsamples = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, stride=2) for w in widths)
        self.middle = stage(scales, middle_blocks)
        self.upsamples = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * w, 4 * w, 1, bias=False), nn.PixelShuffle(2)) for w in reversed(widths)
        )
        self.decoders = nn.ModuleList(stage(scales - 1 - number, count) for number, count in enumerate(decoder_blocks))
        self.ending = nn.Conv2d(width, channels, 3, padding=1)

    @classmethod
    def tiny(cls) -> "NAFNet":
        """The smallest useful instance, for tests."""
        return cls(width=8, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1))

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns degraded + the predicted correction."""
        return self.injected(tile, guidance, untouched)

    def injected(self, tile: Tensor, guidance: Guidance, inject: Inject) -> Tensor:
        """See `injection.Injected`."""
        features = self.intro(tile)
        skips: list[Tensor] = []
        for scale, (encode, downsample) in enumerate(zip(self.encoders, self.downsamples, strict=True)):
            features = encode(inject("encoder", scale, features))
            skips.append(features)
            features = downsample(features)
        features = self.middle(inject("middle", len(skips), features))
        for upsample, decode in zip(self.upsamples, self.decoders, strict=True):
            features = upsample(features) + skips.pop()
            features = decode(inject("decoder", len(skips), features))
        restored: Tensor = tile + self.ending(features)
        return restored


def _settings(weights: Weights) -> dict[str, Any]:
    def blocks(part: str) -> list[int]:
        stages = count(weights, rf"{part}\.\d+\.0\.beta")
        return [count(weights, rf"{part}\.{number}\.\d+\.beta") for number in range(stages)]

    found: dict[str, Any] = {
        "width": weights["intro.weight"].shape[0],
        "encoder_blocks": blocks("encoders"),
        "middle_blocks": count(weights, r"middle_blks\.\d+\.beta"),
        "decoder_blocks": blocks("decoders"),
        "channels": weights["intro.weight"].shape[1],
    }
    # Those of 1, 1, 1, 28 blocks, for motion blur, are published with windows; those for noise, of 2, 2, 4, 8, without.
    return found | ({"window": 384} if found["encoder_blocks"] == [1, 1, 1, 28] else {})


PUBLISHED = Published(
    task="",  # one set of weights for each of several
    marks=("intro.weight", "ending.weight", "middle_blks.0.beta"),
    settings=_settings,
    names=(
        (r"^downs\.", "downsamples."),
        (r"^ups\.", "upsamples."),
        (r"^middle_blks", "middle"),
        (r"\.norm1\.", ".norm_space."),
        (r"\.conv1\.", ".expand_space."),
        (r"\.conv2\.", ".depthwise."),
        (r"\.sca\.1\.", ".attention."),
        (r"\.conv3\.", ".project_space."),
        (r"\.beta$", ".scale_space"),
        (r"\.norm2\.", ".norm_channels."),
        (r"\.conv4\.", ".expand_channels."),
        (r"\.conv5\.", ".project_channels."),
        (r"\.gamma$", ".scale_channels"),
    ),
    single=r".*\.(?:beta|gamma)$",
)
