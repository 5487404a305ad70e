"""DRSformer: Restormer's skeleton with attention that keeps the largest logits alone, and mixtures of operations."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.injection import Inject, untouched
from pellucid.networks.published import Names, Published, Weights, count
from pellucid.networks.restormer import RESTORMER_NAMES, channel_norm, expansion_of, upsample

__all__ = ["DRSformer", "SparseBlock"]

KEPT = ((1, 2), (2, 3), (3, 4), (4, 5))
"""Shares of the logits that each of the four attentions keeps."""
STEPS, HIDDEN = 4, 64
SEPARABLE, DILATED = (1, 3, 5, 7), (3, 5, 7)
"""Sides of the operations of a mixture; the eighth is a mean of 3 x 3."""
OPERATIONS = len(SEPARABLE) + len(DILATED) + 1


class SparseBlock(nn.Module):
    """Attention between channels by their largest logits (TKSA), then a feed-forward network of two sizes (MSFN)."""

    def __init__(self, width: int, heads: int, expansion: float) -> None:
        super().__init__()
        hidden = int(width * expansion)
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.shares = nn.ParameterList(torch.full((1,), 0.2) for _ in KEPT)
        self.qkv = _convolution(width, 3 * width, 1)
        self.qkv_depthwise = _convolution(3 * width, 3 * width, 3, groups=3 * width)
        self.attention_out = _convolution(width, width, 1)
        self.gate_norm = nn.LayerNorm(width)
        self.gate_in = _convolution(width, 2 * hidden, 1)
        self.small = _convolution(2 * hidden, 2 * hidden, 3, groups=2 * hidden)
        self.large = _convolution(2 * hidden, 2 * hidden, 5, groups=2 * hidden)
        self.small_again = _convolution(2 * hidden, hidden, 3, groups=hidden)
        self.large_again = _convolution(2 * hidden, hidden, 5, groups=hidden)
        self.gate_out = _convolution(2 * hidden, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        features = features + self._attended(channel_norm(features, self.attention_norm))
        hidden = self.gate_in(channel_norm(features, self.gate_norm))
        small, large = self.small(hidden).relu().chunk(2, 1), self.large(hidden).relu().chunk(2, 1)
        small_again = self.small_again(torch.cat([small[0], large[0]], 1)).relu()
        large_again = self.large_again(torch.cat([small[1], large[1]], 1)).relu()
        result: Tensor = features + self.gate_out(torch.cat([small_again, large_again], 1))
        return result

    def _attended(self, features: Tensor) -> Tensor:
        batch, width, height, breadth = features.shape
        parts = self.qkv_depthwise(self.qkv(features)).reshape(batch, 3, self.heads, width // self.heads, -1)
        queries, keys, values = parts.unbind(1)
        with without_autocast(features):  # sums over all pixels
            logits = F.normalize(queries.float(), dim=-1) @ F.normalize(keys.float(), dim=-1).mT * self.temperature
            attention = self._sparse(logits)
        mixed = (attention.to(values.dtype) @ values).reshape(batch, width, height, breadth)
        result: Tensor = self.attention_out(mixed)
        return result

    def _sparse(self, logits: Tensor) -> Tensor:
        """The sum of four attentions, each of the largest logits of each row alone, times their shares.

        All four act on the same values, so their sum does; one order of the logits serves them all.
        """
        channels = logits.shape[-1]
        ordered, places = logits.sort(-1, descending=True)
        weights = torch.zeros_like(ordered)
        for share, (part, whole) in zip(self.shares, KEPT, strict=True):
            kept = channels * part // whole
            weights[..., :kept] += share * ordered[..., :kept].softmax(-1)
        return torch.zeros_like(weights).scatter(-1, places, weights)


class Operation(nn.Module):
    """A depthwise convolution and a 1 x 1 one; twice, with a ReLU between, or once and dilated."""

    def __init__(self, width: int, side: int, *, dilated: bool) -> None:
        super().__init__()
        self.dilated = dilated
        # Numbers as in the published weights, where activations count.
        if dilated:
            pairs = {
                "0": _convolution(width, width, side, groups=width, dilation=2),
                "1": _convolution(width, width, 1),
            }
        else:
            pairs = {
                "0": _convolution(width, width, side, groups=width),
                "1": _convolution(width, width, 1),
                "3": _convolution(width, width, side, groups=width),
                "4": _convolution(width, width, 1),
            }
        self.layers = nn.ModuleDict(pairs)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        for name, layer in self.layers.items():
            features = layer(features.relu() if name == "3" else features)
        return features


class MixtureStep(nn.Module):
    """Eight operations side by side, each weighed, joined to one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sides = [(side, False) for side in SEPARABLE] + [(side, True) for side in DILATED]
        self.operations = nn.ModuleList(Operation(width, side, dilated=dilated) for side, dilated in sides)
        self.join = _convolution(OPERATIONS * width, width, 1)

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        """(B, width, h, w), and weights (B, 8), to (B, width, h, w)."""
        found = [operation(features) for operation in self.operations]
        found.append(F.avg_pool2d(features, 3, stride=1, padding=1, count_include_pad=False))
        weighed = [one * weights[:, number, None, None, None] for number, one in enumerate(found)]
        result: Tensor = (self.join(torch.cat(weighed, 1)).relu() + features).relu()
        return result


class Mixture(nn.Module):
    """Steps of weighed operations, the weights by what the map is on average (MEFC)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(width, HIDDEN)
        self.weights = nn.Linear(HIDDEN, STEPS * OPERATIONS)
        self.head = _convolution(width, width, 1)
        self.steps = nn.ModuleList(MixtureStep(width) for _ in range(STEPS))

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        asked = self.weights(self.squeeze(features.mean((2, 3))).relu())
        weights = asked.reshape(-1, STEPS, OPERATIONS).softmax(-1)
        features = self.head(features).relu()
        for number, step in enumerate(self.steps):
            features = step(features, weights[:, number])
        return features


class DRSformer(Network):
    """Rainy image in, clean image out: (B, 3, H, W); H and W divisible by `multiple`.

    Source: Chen et al., "Learning A Sparse Transformer Network for Effective Image Deraining" (CVPR 2023, arXiv
    2303.11950), section 3. Published: 33,655,424 parameters; 32,610,304 without mixtures, for Rain200L and SPA-Data.

    Args:
        width: channels at the finest scale; they double with each halving of the sides, and the last decoder has twice
            as many.
        blocks: at each scale, finest first, on the way down and again on the way up.
        heads: of the attention at each scale.
        expansion: of the feed-forward networks.
        mixtures: whether a mixture of operations comes before the first scale and another after the last.
    """

    def __init__(
        self,
        width: int = 48,
        blocks: Sequence[int] = (4, 6, 6, 8),
        heads: Sequence[int] = (1, 2, 4, 8),
        expansion: float = 2.66,
        mixtures: bool = True,
    ) -> None:
        super().__init__()
        if len(blocks) != 4 or len(heads) != 4 or width % 2 or min(width, *blocks, *heads) < 1:
            raise ValueError("blocks and heads need four entries, width must be even, and all be positive")
        if any(width * 2**scale // count < 2 for scale, count in enumerate(heads)):
            raise ValueError(f"each head needs two channels at least; got {list(heads)} heads for {width} channels")
        self.contract = Contract(multiple=8)
        self.settings = {
            "width": width,
            "blocks": list(blocks),
            "heads": list(heads),
            "expansion": expansion,
            "mixtures": mixtures,
        }

        def stage(channels: int, heads: int, count: int) -> nn.Sequential:
            return nn.Sequential(*(SparseBlock(channels, heads, expansion) for _ in range(count)))

        widths = [width * 2**scale for scale in range(4)]
        finer, upper = widths[:-1], list(zip(widths[:-1], heads[:-1], blocks[:-1], strict=True))
        self.embed = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.before = Mixture(width) if mixtures else nn.Identity()
        self.encoders = nn.ModuleList(stage(*each) for each in upper)
        self.downsamples = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, w // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2)) for w in finer
        )
        self.middle = stage(widths[-1], heads[-1], blocks[-1])
        self.upsamples = nn.ModuleList(upsample(2 * w) for w in reversed(finer))
        self.joins = nn.ModuleList(_convolution(2 * w, w, 1) for w in reversed(finer[1:]))
        self.decoders = nn.ModuleList(stage(*each) for each in reversed(upper[1:]))
        self.decoders.append(stage(2 * width, heads[0], blocks[0]))
        self.after = Mixture(2 * width) if mixtures else nn.Identity()
        self.tail = nn.Conv2d(2 * width, 3, 3, padding=1, bias=False)

    @classmethod
    def tiny(cls) -> "DRSformer":
        """The smallest useful instance, for tests."""
        return cls(width=4, blocks=(1, 1, 1, 1), heads=(1, 1, 2, 2))

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns degraded + the predicted correction."""
        return self.injected(tile, guidance, untouched)

    def injected(self, tile: Tensor, guidance: Guidance, inject: Inject) -> Tensor:
        """See `injection.Injected`; at the finest scale after the mixture."""
        features = self.before(self.embed(tile))
        skips: list[Tensor] = []
        for scale, (encode, downsample) in enumerate(zip(self.encoders, self.downsamples, strict=True)):
            features = encode(inject("encoder", scale, features))
            skips.append(features)
            features = downsample(features)
        features = self.middle(inject("middle", len(skips), features))
        for number, (grow, decode) in enumerate(zip(self.upsamples, self.decoders, strict=True)):
            features = torch.cat([grow(features), skips.pop()], 1)
            features = self.joins[number](features) if number < len(self.joins) else features
            features = decode(inject("decoder", len(skips), features))
        restored: Tensor = tile + self.tail(self.after(features))
        return restored


def _convolution(inputs: int, outputs: int, side: int, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    padding = side // 2 * dilation
    return nn.Conv2d(inputs, outputs, side, padding=padding, groups=groups, dilation=dilation, bias=False)


def _settings(weights: Weights) -> dict[str, Any]:
    stages = ["encoder_level1", "encoder_level2", "encoder_level3", "latent"]
    return {
        "width": weights["patch_embed.proj.weight"].shape[0],
        "blocks": [count(weights, rf"{stage}\.\d+\.attn\.temperature") for stage in stages],
        "heads": [weights[f"{stage}.0.attn.temperature"].shape[0] for stage in stages],
        "expansion": expansion_of(weights, branches=2),
        "mixtures": "encoder_level0.layers.0.ca_fc.0.weight" in weights,
    }


_NAMES: Names = (
    (r"^encoder_level0", "before"),
    (r"^refinement", "after"),
    (r"layers\.0\.ca_fc\.0", "squeeze"),
    (r"layers\.0\.ca_fc\.2", "weights"),
    (r"layers\.1\.preprocess\.op\.0", "head"),
    (r"layers\.1\._ops\.(\d)\._ops\.(\d)\.op", r"steps.\1.operations.\2.layers"),
    (r"layers\.1\._ops\.(\d)\._out\.0", r"steps.\1.join"),
    (r"attn\.attn(\d)", lambda found: f"shares.{int(found[1]) - 1}"),
    (r"ffn\.dwconv3x3\.", "small."),
    (r"ffn\.dwconv5x5\.", "large."),
    (r"ffn\.dwconv3x3_1\.", "small_again."),
    (r"ffn\.dwconv5x5_1\.", "large_again."),
)

PUBLISHED = Published(
    task="deraining",
    marks=("patch_embed.proj.weight", "reduce_chan_level3.weight", "encoder_level1.0.attn.attn1"),
    settings=_settings,
    names=_NAMES + RESTORMER_NAMES,
)
