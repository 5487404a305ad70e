"""LLFormer: attention along the rows and along the columns, cheap enough for very large dark photographs."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, Weights, count, numbered, upwards
from pellucid.networks.restormer import channel_norm, expansion_of, upsample

__all__ = ["LLFormer"]


class RowAttention(nn.Module):
    """Each place attends to those of its row."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(1))
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.depthwise = nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width)
        self.depthwise_again = nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width)
        self.project = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        batch, width, height, breadth = features.shape
        mixed = self.depthwise_again(self.depthwise(self.qkv(features)))
        rows = mixed.reshape(batch, 3, self.heads, width // self.heads, height, breadth).permute(1, 0, 4, 2, 5, 3)
        queries, keys, values = rows.flatten(1, 2).unbind(0)
        queries = F.normalize(queries, dim=-1) * self.temperature
        answers = F.scaled_dot_product_attention(
            queries.to(values.dtype), F.normalize(keys, dim=-1).to(values.dtype), values, scale=1.0
        )
        answers = answers.reshape(batch, height, self.heads, breadth, -1).permute(0, 2, 4, 1, 3)
        result: Tensor = self.project(answers.reshape(batch, width, height, breadth))
        return result


class AxisBlock(nn.Module):
    """Attention along the rows, then along the columns; then a feed-forward network of two gates."""

    def __init__(self, width: int, heads: int, expansion: float) -> None:
        super().__init__()
        hidden = int(width * expansion)
        self.attention_norm = nn.LayerNorm(width)
        self.rows = RowAttention(width, heads)
        self.columns = RowAttention(width, heads)
        self.gate_norm = nn.LayerNorm(width)
        self.gate_in = nn.Conv2d(width, 2 * hidden, 1, bias=False)
        self.gate_depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.gate_out = nn.Conv2d(hidden, width, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        mixed = self.rows(channel_norm(features, self.attention_norm))
        features = features + self.columns(mixed.transpose(2, 3)).transpose(2, 3)
        one, other = self.gate_depthwise(self.gate_in(channel_norm(features, self.gate_norm))).chunk(2, 1)
        result: Tensor = features + self.gate_out(F.gelu(other) * one + F.gelu(one) * other)
        return result


class LayerFusion(nn.Module):
    """Several maps, each mixed with the others as their likeness says, then joined to one."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        both = layers * width
        self.layers = layers
        self.temperature = nn.Parameter(torch.ones(1))
        self.qkv = nn.Conv2d(both, 3 * both, 1)
        self.depthwise = nn.Conv2d(3 * both, 3 * both, 3, padding=1, groups=3 * both)
        self.project = nn.Conv2d(both, both, 1)
        self.join = nn.Conv2d(both, width, 1, bias=False)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, width, h, w) to one."""
        stacked = torch.cat(list(maps), 1)
        parts = self.depthwise(self.qkv(stacked)).chunk(3, 1)
        queries, keys, values = (part.reshape(len(stacked), self.layers, -1) for part in parts)
        # Sums over all pixels and channels: in float32 whatever autocast says.
        with torch.autocast(stacked.device.type, enabled=False):
            likeness = F.normalize(queries.float(), dim=-1) @ F.normalize(keys.float(), dim=-1).mT
            shares = (likeness * self.temperature).softmax(-1)
        mixed = (shares.to(values.dtype) @ values).reshape(stacked.shape)
        result: Tensor = self.join(self.project(mixed) + stacked)
        return result


class LLFormer(Network):
    """Dark image in, bright image out: (B, 3, H, W) in [0, 1]; H and W divisible by `multiple`.

    Source: Wang et al., "Ultra-High-Definition Low-Light Image Enhancement: A Benchmark and Transformer-Based Method"
    (AAAI 2023, arXiv 2212.11548), section 4. Blocks that attend along both axes, three of them at full size before and
    after a U-Net of four scales, and layers that weigh maps of different depths against each other. Published:
    24,549,014 parameters.

    Args:
        width: channels at full size; they double with each halving of the sides.
        blocks: at the finest scale of the U-Net and at full size before it, and at each coarser scale.
        refinement_blocks: in each of the three stages after it.
        heads: of the attention at full size, and at the coarser scales.
        expansion: of the feed-forward networks.
        residual: whether the network predicts what to add to the image, instead of the image.
    """

    def __init__(
        self,
        width: int = 16,
        blocks: Sequence[int] = (2, 4, 8, 16),
        refinement_blocks: int = 2,
        heads: Sequence[int] = (1, 2, 4, 8),
        expansion: float = 2.66,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if len(blocks) != 4 or len(heads) != 4 or width % 2 or min(width, *blocks, refinement_blocks) < 1:
            raise ValueError("blocks and heads need four entries, width must be even, and all be positive")
        self.contract = Contract(multiple=16)
        self.settings = {
            "width": width,
            "blocks": list(blocks),
            "refinement_blocks": refinement_blocks,
            "heads": list(heads),
            "expansion": expansion,
            "residual": residual,
        }
        self.residual = residual

        def stage(channels: int, heads: int, count: int) -> nn.Sequential:
            return nn.Sequential(*(AxisBlock(channels, heads, expansion) for _ in range(count)))

        widths = [width * 2**scale for scale in range(1, 5)]
        levels = list(zip(widths, (heads[1], heads[2], heads[3], heads[3]), blocks, strict=True))
        self.head = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.shallow = nn.ModuleList(stage(width, heads[0], blocks[0]) for _ in range(3))
        self.shallow_fusion = LayerFusion(width, 3)
        self.downsamples = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, w // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))
            for w in (width, *widths[:-1])
        )
        self.encoders = nn.ModuleList(stage(*level) for level in levels[:-1])
        self.middle = stage(*levels[-1])
        self.upsamples = nn.ModuleList(upsample(w) for w in reversed(widths))
        self.shares = nn.ParameterList(torch.ones(2, w) for w in (*reversed(widths[:-1]), width))
        self.joins = nn.ModuleList(nn.Conv2d(w, w, 1, bias=False) for w in reversed(widths[:-1]))
        self.decoders = nn.ModuleList(stage(*level) for level in reversed(levels[:-1]))
        self.full_size = stage(width, heads[0], blocks[0])
        self.deep = nn.ModuleList(stage(width, heads[0], refinement_blocks) for _ in range(3))
        self.deep_fusion = LayerFusion(width, 3)
        self.tail = nn.Conv2d(width, 3, 3, padding=1, bias=False)

    @classmethod
    def tiny(cls) -> "LLFormer":
        """The smallest useful instance, for tests."""
        return cls(width=4, blocks=(1, 1, 1, 1), refinement_blocks=1, heads=(1, 1, 2, 2))

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns the image that the network gives."""
        fused = features = self.shallow_fusion(_in_turn(self.shallow, self.head(tile)))
        skips: list[Tensor] = []
        for downsample, encode in zip(self.downsamples, self.encoders, strict=False):
            features = encode(downsample(features))
            skips.append(features)
        features = self.middle(self.downsamples[-1](features))
        for number, (join, decode) in enumerate(zip(self.joins, self.decoders, strict=True)):
            features = decode(join(self._mixed(number, skips.pop(), self.upsamples[number](features))))
        features = self._mixed(-1, self.full_size(fused), self.upsamples[-1](features))
        restored: Tensor = self.tail(self.deep_fusion(_in_turn(self.deep, features)))
        return tile + restored if self.residual else restored

    def _mixed(self, number: int, kept: Tensor, below: Tensor) -> Tensor:
        shares = self.shares[number][:, :, None, None]
        mixed: Tensor = shares[0] * kept + shares[1] * below
        return mixed


def _in_turn(stages: nn.ModuleList, features: Tensor) -> list[Tensor]:
    """What each of the stages gives, one after another."""
    found = []
    for stage in stages:
        features = stage(features)
        found.append(features)
    return found


def _settings(weights: Weights) -> dict[str, Any]:
    stages = ["decoder_level1_0", "decoder_level2_0", "decoder_level3_0", "decoder_level4"]
    return {
        "width": weights["patch_embed.proj.weight"].shape[0],
        "blocks": [count(weights, rf"{stage}\.\d+\.attn\.row_att\.fac") for stage in stages],
        "refinement_blocks": count(weights, r"refinement_1\.\d+\.attn\.row_att\.fac"),
        "expansion": expansion_of(weights),
    }


PUBLISHED = Published(
    task="low light",
    marks=("patch_embed.proj.weight", "coefficient_4_3", "layer_fussion.qkv.weight"),
    settings=_settings,
    names=(
        (r"^patch_embed\.proj", "head"),
        (r"^output", "tail"),
        (r"^encoder_(\d)", numbered("shallow.{}", 1)),
        (r"^refinement_(\d)", numbered("deep.{}", 1)),
        (r"^latent", "full_size"),
        (r"^layer_fussion_2", "deep_fusion"),
        (r"^layer_fussion", "shallow_fusion"),
        (r"^conv_fuss_2", "deep_fusion.join"),
        (r"^conv_fuss", "shallow_fusion.join"),
        (r"^down_(\d)\.body", numbered("downsamples.{}", 1)),
        (r"^up2_0\.body", "upsamples.3"),
        (r"^up(\d)_\d\.body", upwards("upsamples.{}", 4)),
        (r"^decoder_level4", "middle"),
        (r"^decoder_level(\d)_0", numbered("encoders.{}", 1)),
        (r"^decoder_level(\d)_1", upwards("decoders.{}", 3)),
        (r"^coefficient_(\d)_\d", upwards("shares.{}", 4)),
        (r"^skip_1_0", "joins.2"),
        (r"^skip_(\d)_\d", upwards("joins.{}", 4)),
        (r"norm1\.body", "attention_norm"),
        (r"norm2\.body", "gate_norm"),
        (r"attn\.row_att", "rows"),
        (r"attn\.col_att", "columns"),
        (r"\.fac$", ".temperature"),
        (r"\.q1\.", ".qkv."),
        (r"\.q2\.", ".depthwise."),
        (r"\.q3\.", ".depthwise_again."),
        (r"\.fin\.", ".project."),
        (r"qkv_dwconv", "depthwise"),
        (r"project_out", "project"),
        (r"ffn\.project_in", "gate_in"),
        (r"ffn\.dwconv", "gate_depthwise"),
        (r"ffn\.project\.", "gate_out."),
    ),
    idle=r"(?:coefficient|skip_2_1\.weight)$",
)
