"""Restormer: a U-Net of transformer blocks whose attention is between channels, so that its cost grows with the pixels.

Source: Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration" (CVPR 2022, arXiv
    2111.09881),
section 3 and figure 2: multi-Dconv head transposed attention (MDTA, equation 1) and the gated-Dconv feed-forward
network (GDFN, equation 2).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.injection import Inject, untouched
from pellucid.networks.published import Names, Published, Weights, count, numbered, upwards

__all__ = [
    "RESTORMER_NAMES",
    "Restormer",
    "TransposedAttentionBlock",
    "channel_norm",
    "expansion_of",
    "restormer_settings",
    "upsample",
]


class VarianceNorm(nn.Module):
    """Divides the values of each place by their standard deviation and leaves their mean: the published norm without
    biases."""

    def __init__(self, width: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, features: Tensor) -> Tensor:
        """(..., width) in and out, float32."""
        with without_autocast(features):
            wide = features.float()
            variance = wide.var(-1, keepdim=True, correction=0)
            return wide * torch.rsqrt(variance + self.epsilon) * self.weight


class TransposedAttentionBlock(nn.Module):
    """Restormer's block: attention between channels (MDTA), then a gated feed-forward network (GDFN).

    The attention matrix is a statistic of all places. Who cuts a map into windows sums `products` of `mix` over them,
    takes `attention` of the sum, and gives it to `finish` for each.

    Args:
        width: channels.
        heads: groups of channels that attend among themselves; they divide the width.
        expansion: channels of the feed-forward network's two branches, over the width.
        bias: whether the convolutions have biases.
        norm_bias: whether the normalisations subtract the mean and have offsets.
    """

    def __init__(self, width: int, heads: int, expansion: float, *, bias: bool = False, norm_bias: bool = True) -> None:
        super().__init__()
        if heads < 1 or width < 1 or width % heads:
            raise ValueError(f"heads must divide the channels; got {heads} heads for {width} channels")
        hidden = int(width * expansion)
        if hidden < 1:
            raise ValueError(f"expansion must leave one channel at least; got {expansion:g} times {width}")
        norm = nn.LayerNorm if norm_bias else VarianceNorm
        self.heads = heads
        self.attention_norm = norm(width)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=bias)
        self.qkv_depthwise = nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width, bias=bias)
        self.attention_out = nn.Conv2d(width, width, 1, bias=bias)
        self.gate_norm = norm(width)
        self.gate_in = nn.Conv2d(width, 2 * hidden, 1, bias=bias)
        self.gate_depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.gate_out = nn.Conv2d(hidden, width, 1, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        mixed = self.mix(features)
        return self.finish(features, mixed, self.attention(self.products(mixed)))

    def mix(self, features: Tensor) -> Tensor:
        """Queries, keys and values of each place, (B, 3 width, h, w); reach 1 place."""
        mixed: Tensor = self.qkv_depthwise(self.qkv(channel_norm(features, self.attention_norm)))
        return mixed

    def products(self, mixed: Tensor) -> Tensor:
        """Sums over the places: of query x key, of query squared, of key squared; (B, heads, d, d + 2), float32."""
        # Sums over millions of pixels would lose all digits in bfloat16.
        with without_autocast(mixed):
            queries, keys, _ = (part.float() for part in self._by_head(mixed))
            return torch.cat(
                [
                    queries @ keys.transpose(2, 3),
                    queries.square().sum(3, keepdim=True),
                    keys.square().sum(3, keepdim=True),
                ],
                dim=3,
            )

    def attention(self, products: Tensor) -> Tensor:
        """softmax(temperature * cosine(query, key)), (B, heads, d, d), float32."""
        cross, queries, keys = products[..., :-2], products[..., -2], products[..., -1]
        norms = queries.clamp_min(1e-24).sqrt()[..., :, None] * keys.clamp_min(1e-24).sqrt()[..., None, :]
        return torch.softmax(self.temperature * cross / norms, dim=-1)

    def finish(self, features: Tensor, mixed: Tensor, attention: Tensor) -> Tensor:
        """The block's result, (B, width, h, w), from its input, its `mix` and its attention; reach 1 place."""
        features = features + self._attend(mixed, attention)
        hidden = self.gate_depthwise(self.gate_in(channel_norm(features, self.gate_norm)))
        gate, value = hidden.chunk(2, dim=1)
        # Of channels that lie side by side a part has gaps, over which GELU takes twelve times as long.
        if hidden.is_contiguous(memory_format=torch.channels_last):
            gate = gate.contiguous(memory_format=torch.channels_last)
        result: Tensor = features + self.gate_out(F.gelu(gate) * value)
        return result

    def _attend(self, mixed: Tensor, attention: Tensor) -> Tensor:
        """The values, mixed between channels; (B, width, h, w)."""
        _, _, values = self._by_head(mixed)
        attended = (attention.to(values.dtype) @ values).reshape(len(mixed), -1, *mixed.shape[2:])
        result: Tensor = self.attention_out(attended)
        return result

    def _by_head(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3 width, h, w) to three of (B, heads, d, h w)."""
        batch, channels, height, width = mixed.shape
        heads = mixed.reshape(batch, 3, self.heads, channels // (3 * self.heads), height * width)
        queries, keys, values = heads.unbind(1)
        return queries, keys, values


class Restormer(Network):
    """Degraded image in, restored image out: (B, channels, H, W), any range; H and W divisible by `multiple`.

    A network for one channel (the published grey denoisers) restores each channel of a colour image on its own. One for
    six makes one image (B, 3, H, W) of the two views of a dual-pixel sensor; it gives the image itself, for which of
    the views would it add to? Published parameters: 26,126,644 for rain, motion and defocus, 26,132,548 for dual
    pixels; without biases of the norms, for noise, 26,111,668 in colour and 26,109,076 in grey.

    The attention of every block is a statistic of the whole input: on tiles it sees the tile only, so a tiled result is
    close to the untiled one rather than equal.

    Args:
        width: channels at the finest scale; they double with each halving of the sides, and the last decoder and the
            refinement have twice as many.
        blocks: blocks at each scale, finest first, on the way down and again on the way up (once at the coarsest).
        refinement_blocks: blocks after the decoder, at full resolution.
        heads: of the attention at each scale, finest first; the decoder's last blocks and the refinement take the
            first.
        expansion: of the feed-forward networks.
        bias: whether the blocks' convolutions, the 1x1 ones and the last have biases.
        norm_bias: whether normalisations subtract the mean and have offsets; the published Gaussian denoisers do
            without.
        channels: of the input: 3 colours, 1, or 6 of two views.
    """

    def __init__(
        self,
        width: int = 48,
        blocks: Sequence[int] = (4, 6, 6, 8),
        refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        expansion: float = 2.66,
        bias: bool = False,
        norm_bias: bool = True,
        channels: int = 3,
    ) -> None:
        super().__init__()
        if len(blocks) < 2 or len(blocks) != len(heads):
            raise ValueError(
                f"blocks and heads need one entry per scale, of two at least; got {list(blocks)}, {list(heads)}"
            )
        if min(width, channels) < 1 or min(*blocks, refinement_blocks) < 0:
            raise ValueError(
                "width and channels must be positive, and blocks and refinement_blocks not negative; "
                f"got {width}, {channels}, {list(blocks)} and {refinement_blocks}"
            )
        if width % 2:
            raise ValueError(f"width must be even; got {width}")
        self.settings = {
            "width": width,
            "blocks": list(blocks),
            "refinement_blocks": refinement_blocks,
            "heads": list(heads),
            "expansion": expansion,
            "bias": bias,
            "norm_bias": norm_bias,
            "channels": channels,
        }
        self.channels = channels
        self.contract = Contract(multiple=2 ** (len(blocks) - 1), channels=channels)

        def stage(channels: int, heads: int, count: int) -> nn.Sequential:
            return nn.Sequential(
                *(
                    TransposedAttentionBlock(channels, heads, expansion, bias=bias, norm_bias=norm_bias)
                    for _ in range(count)
                )
            )

        widths = [width * 2**level for level in range(len(blocks))]
        finer, upper = widths[:-1], list(zip(widths[:-1], heads[:-1], blocks[:-1], strict=True))
        self.embed = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.encoders = nn.ModuleList(stage(*each) for each in upper)
        self.downsamples = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, w // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2)) for w in finer
        )
        self.middle = stage(widths[-1], heads[-1], blocks[-1])
        self.upsamples = nn.ModuleList(upsample(2 * w) for w in reversed(finer))
        # At the finest scale nothing reduces the channels: decoder and refinement work on twice the width.
        self.joins = nn.ModuleList(nn.Conv2d(2 * w, w, 1, bias=bias) for w in reversed(finer[1:]))
        self.decoders = nn.ModuleList(stage(*each) for each in reversed(upper[1:]))
        self.decoders.append(stage(2 * width, heads[0], blocks[0]))
        self.refinement = stage(2 * width, heads[0], refinement_blocks)
        self.tail = nn.Conv2d(2 * width, 3 if channels == 6 else channels, 3, padding=1, bias=bias)
        self.views = nn.Conv2d(width, 2 * width, 1, bias=bias) if channels == 6 else None

    @classmethod
    def tiny(cls) -> "Restormer":
        """The smallest useful instance, for tests."""
        return cls(width=4, blocks=(1, 1, 1, 1), refinement_blocks=1, heads=(1, 1, 2, 2))

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns degraded + the predicted correction; of two views, one image."""
        return self.injected(tile, guidance, untouched)

    def injected(self, tile: Tensor, guidance: Guidance, inject: Inject) -> Tensor:
        """See `injection.Injected`; the finest scale of the decoder has twice as many channels as that of the
        encoder."""
        return self._restored(tile, lambda _scale, features: features, inject)

    def _restored(self, degraded: Tensor, between: Callable[[int, Tensor], Tensor], inject: Inject) -> Tensor:
        """The restored image, where what leaves each scale for the decoder's `n`-th, coarsest first, first goes through
        `between`, and what enters each scale's blocks through `inject`."""
        planes = self._planes(degraded)
        features, skips = self._encode(planes, inject)
        for scale in range(len(self.upsamples)):
            features = self._decode(scale, between(scale, features), skips, inject)
        if self.views is not None:
            image: Tensor = self.tail(self.refinement(features) + self.views(self.embed(planes)))
            return image
        restored: Tensor = degraded + self.tail(self.refinement(features)).reshape(degraded.shape)
        return restored

    def _planes(self, degraded: Tensor) -> Tensor:
        """What the network takes for images: each channel, where it knows one only."""
        return degraded.reshape(-1, self.channels, *degraded.shape[2:]) if self.channels == 1 else degraded

    def _encode(self, degraded: Tensor, inject: Inject = untouched) -> tuple[Tensor, list[Tensor]]:
        """The coarsest features, and those kept at each finer scale, coarsest first."""
        features = self.embed(degraded)
        skips: list[Tensor] = []
        for scale, (encode, downsample) in enumerate(zip(self.encoders, self.downsamples, strict=True)):
            features = encode(inject("encoder", scale, features))
            skips.insert(0, features)
            features = downsample(features)
        return self.middle(inject("middle", len(skips), features)), skips

    def _decode(self, scale: int, features: Tensor, skips: list[Tensor], inject: Inject = untouched) -> Tensor:
        """One scale up: what the decoder's `scale`-th scale, coarsest first, makes of the features below and those
        kept."""
        joined = torch.cat([self.upsamples[scale](features), skips[scale]], dim=1)
        joined = self.joins[scale](joined) if scale < len(self.joins) else joined
        decoded: Tensor = self.decoders[scale](inject("decoder", len(skips) - 1 - scale, joined))
        return decoded


def upsample(width: int) -> nn.Sequential:
    """Twice the sides and half the channels: (B, width, h, w) to (B, width / 2, 2 h, 2 w)."""
    return nn.Sequential(nn.Conv2d(width, 2 * width, 3, padding=1, bias=False), nn.PixelShuffle(2))


def channel_norm(features: Tensor, norm: nn.Module) -> Tensor:
    """Layer normalisation over the channels of each pixel, (B, C, h, w) in and out."""
    normalised: Tensor = norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return normalised


def restormer_settings(weights: Weights) -> dict[str, Any]:
    """Of Restormer, and of the parts of PromptIR that are Restormer's."""
    stages = ["encoder_level1", "encoder_level2", "encoder_level3", "latent"]
    return {
        "width": weights["patch_embed.proj.weight"].shape[0],
        "blocks": [count(weights, rf"{stage}\.\d+\.attn\.temperature") for stage in stages],
        "refinement_blocks": count(weights, r"refinement\.\d+\.attn\.temperature"),
        "heads": [weights[f"{stage}.0.attn.temperature"].shape[0] for stage in stages],
        "expansion": expansion_of(weights),
        "bias": "output.bias" in weights,
        "norm_bias": "encoder_level1.0.norm1.body.bias" in weights,
        "channels": weights["patch_embed.proj.weight"].shape[1],
    }


def expansion_of(weights: Weights, branches: int = 1) -> float:
    """The roundest number by which every block's channels, times it and rounded down, are its hidden ones.

    Args:
        weights: by the authors' keys.
        branches: of so many hidden channels that the last layer of a feed-forward network joins.
    """
    shapes = [value.shape for key, value in weights.items() if key.endswith("ffn.project_out.weight")]
    sizes = [(width, hidden // branches) for width, hidden, *_ in shapes]
    low, high = max(hidden / width for width, hidden in sizes), min((h + 1) / w for w, h in sizes)
    candidates = (math.ceil(low * 10.0**digits) / 10.0**digits for digits in range(8))
    return next(number for number in candidates if low <= number < high)


RESTORMER_NAMES: Names = (
    (r"^patch_embed\.proj", "embed"),
    (r"^encoder_level(\d)", numbered("encoders.{}", 1)),
    (r"^down(\d)_\d\.body", numbered("downsamples.{}", 1)),
    (r"^latent", "middle"),
    (r"^up(\d)_\d\.body", upwards("upsamples.{}", 4)),
    (r"^reduce_chan_level(\d)", upwards("joins.{}", 3)),
    (r"^decoder_level(\d)", upwards("decoders.{}", 3)),
    (r"^output", "tail"),
    (r"^skip_conv", "views"),
    (r"norm1\.body", "attention_norm"),
    (r"norm2\.body", "gate_norm"),
    (r"attn\.temperature", "temperature"),
    (r"attn\.qkv_dwconv", "qkv_depthwise"),
    (r"attn\.qkv", "qkv"),
    (r"attn\.project_out", "attention_out"),
    (r"ffn\.project_in", "gate_in"),
    (r"ffn\.dwconv", "gate_depthwise"),
    (r"ffn\.project_out", "gate_out"),
)

PUBLISHED = Published(
    task="",  # one set of weights for each of several
    marks=("patch_embed.proj.weight", "reduce_chan_level3.weight"),
    settings=restormer_settings,
    names=RESTORMER_NAMES,
)
