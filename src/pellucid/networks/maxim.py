"""MAXIM: a U-Net of gated multi-layer perceptrons that mix places near and far, in two or three stages.

Source: Tu et al., "MAXIM: Multi-Axis MLP for Image Processing" (CVPR 2022, arXiv 2201.02973), figure 2 and section 3.
The variants are S-2 (two stages; rain, haze, enhancement: 14.1 million parameters) and S-3 (three stages; noise, blur:
22.2 million). The last stage's outputs at half and quarter size, which nothing reads after training, are left out.

Its blocks are in `maxim_blocks`. Between them features are (B, H, W, C).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.contract import Contract, Network
from pellucid.networks.maxim_blocks import (
    BottleneckAttention,
    CrossGating,
    MultiAxisMixer,
    ResidualAttention,
    SupervisedAttention,
    convolved,
)
from pellucid.networks.published import Published, Weights, count

__all__ = ["MAXIM"]

LEVELS = 3
"""Scales of each U-Net: full, half and quarter sides; a bottleneck lies below, at an eighth."""
FINE_LEVELS = 2
"""Of these, how many have the larger blocks and grids."""


class Body(nn.Module):
    """What an encoder and a decoder do at one scale: pairs of multi-axis mixing and attention beside one connection."""

    def __init__(self, given: int, width: int, side: int, blocks: int, reduction: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(given, width, 1)
        self.mixers = nn.ModuleList(MultiAxisMixer(width, side) for _ in range(blocks))
        self.attentions = nn.ModuleList(ResidualAttention(width, reduction) for _ in range(blocks))

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """Some of (B, H, W, C), joined by their channels, to (B, H, W, width)."""
        start = features = convolved(self.reduce, torch.cat(list(parts), dim=-1))
        for mixer, attention in zip(self.mixers, self.attentions, strict=True):
            features = attention(mixer(features))
        return start + features


class Encoder(nn.Module):
    """One scale on the way down; in later stages gated by what the stage before had at this scale."""

    def __init__(self, given: int, width: int, side: int, blocks: int, reduction: int, *, later: bool) -> None:
        super().__init__()
        self.body = Body(given, width, side, blocks, reduction)
        self.gating = CrossGating(width, side, width, width) if later else None
        self.downsample = nn.Conv2d(width, width, 4, stride=2, padding=1)

    def forward(self, parts: Sequence[Tensor], earlier: Tensor | None) -> tuple[Tensor, Tensor]:
        """To the features at half the sides, and those at this scale."""
        features = self.body(parts)
        if self.gating is not None and earlier is not None:
            features, _ = self.gating(features, earlier)
        return convolved(self.downsample, features), features


class Bottleneck(nn.Module):
    """Pairs of multi-axis mixing and attention without convolutions, at the coarsest scale."""

    def __init__(self, width: int, side: int, blocks: int, reduction: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(width, width, 1)
        self.mixers = nn.ModuleList(MultiAxisMixer(width, side) for _ in range(blocks))
        self.attentions = nn.ModuleList(BottleneckAttention(width, reduction) for _ in range(blocks))

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) in and out."""
        start = features = convolved(self.enter, features)
        for mixer, attention in zip(self.mixers, self.attentions, strict=True):
            features = attention(mixer(features))
        return start + features


class Decoder(nn.Module):
    """One scale on the way up."""

    def __init__(self, given: int, width: int, side: int, blocks: int, reduction: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(given, width, 2, stride=2)
        self.body = Body((1 + LEVELS) * width, width, side, blocks, reduction)

    def forward(self, features: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """(B, H/2, W/2, C) and those kept, each (B, H, W, width), to (B, H, W, width)."""
        return self.body([convolved(self.upsample, features), *skips])  # type: ignore[no-any-return]


class ToScale(nn.Module):
    """Features of one scale at another, with other channels: bilinear, and smoothed where they shrink."""

    def __init__(self, given: int, width: int, ratio: float) -> None:
        super().__init__()
        self.project = nn.Conv2d(given, width, 1)
        self.ratio = ratio

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H ratio, W ratio, width)."""
        if self.ratio == 1:
            return convolved(self.project, features)
        planes = features.permute(0, 3, 1, 2)
        # Both are linear, and the weights of the resizing sum to 1: the order is free, and fewer pixels are cheaper.
        resized = _resized(planes, self.ratio) if self.ratio < 1 else planes
        planes = self.project(resized)
        return (_resized(planes, self.ratio) if self.ratio > 1 else planes).permute(0, 2, 3, 1).contiguous()


@dataclass
class Found:
    """What a stage has at each scale, finest first, each (B, H, W, C)."""

    encoded: list[Tensor]
    decoded: list[Tensor]
    attended: list[Tensor]
    """What goes on to the next stage; empty in the last."""


class Stage(nn.Module):
    """One U-Net, whose scales all see each other; later ones are told what the one before found.

    Args:
        width: channels at the finest scale.
        sides: of blocks and grids at each scale, and in the bottleneck.
        blocks: pairs of mixing and attention at each scale.
        bottlenecks: blocks of the bottleneck.
        reduction: of the channel attention.
        later: whether a stage lies before it.
        last: whether none lies after it.
    """

    def __init__(
        self,
        width: int,
        sides: Sequence[int],
        blocks: int,
        bottlenecks: int,
        reduction: int,
        *,
        later: bool,
        last: bool,
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS)]
        each = list(zip(widths, sides[:LEVELS], strict=True))
        above, below = [width, *widths[:-1]], [*widths[1:], widths[-1]]

        def to_scale(target: int) -> nn.ModuleList:
            scales = (ToScale(given, widths[target], 2.0 ** (level - target)) for level, given in enumerate(widths))
            return nn.ModuleList(scales)

        self.inputs = nn.ModuleList(nn.Conv2d(3, own, 3, padding=1) for own in widths)
        self.fusions = nn.ModuleList(CrossGating(own, side, own, own) for own, side in each if later)
        self.encoders = nn.ModuleList(
            Encoder(given + own, own, side, blocks, reduction, later=later)
            for given, (own, side) in zip(above, each, strict=True)
        )
        self.bottlenecks = nn.ModuleList(
            Bottleneck(widths[-1], sides[-1], blocks, reduction) for _ in range(bottlenecks)
        )
        self.encoded_to = nn.ModuleList(to_scale(level) for level in range(LEVELS))
        self.gatings = nn.ModuleList(
            CrossGating(own, side, LEVELS * own, given, upsample=True)
            for given, (own, side) in zip(below, each, strict=True)
        )
        self.gated_to = nn.ModuleList(to_scale(level) for level in range(LEVELS))
        self.decoders = nn.ModuleList(
            Decoder(given, own, side, blocks, reduction) for given, (own, side) in zip(below, each, strict=True)
        )
        self.attentions = nn.ModuleList(SupervisedAttention(own) for own in widths if not last)

    def forward(self, images: Sequence[Tensor], earlier: Found | None) -> Found:
        """The degraded image at each scale, finest first, each (B, H, W, 3), and what the stage before found."""
        inputs = [convolved(layer, image) for layer, image in zip(self.inputs, images, strict=True)]
        if earlier is not None:
            pairs = zip(self.fusions, inputs, earlier.attended, strict=True)
            inputs = [fusion(own, attended)[0] for fusion, own, attended in pairs]
        features, encoded = inputs[0], []
        for level, encode in enumerate(self.encoders):
            before = None if earlier is None else earlier.encoded[level] + earlier.decoded[level]
            features, kept = encode([features, inputs[level]], before)
            encoded.append(kept)
        for bottleneck in self.bottlenecks:
            features = bottleneck(features)

        coarse, gated = features, list(encoded)
        for level in reversed(range(LEVELS)):
            joined = torch.cat(_at_scale(self.encoded_to[level], encoded), dim=-1)
            gated[level], coarse = self.gatings[level](joined, coarse)
        decoded = list(gated)
        for level in reversed(range(LEVELS)):
            # The authors join these with the coarsest first.
            features = self.decoders[level](features, _at_scale(self.gated_to[level], gated)[::-1])
            decoded[level] = features
        attended = [
            attention(own, image)[0]
            for attention, own, image in zip(self.attentions, decoded, images, strict=False)  # the last stage has none
        ]
        return Found(encoded, decoded, attended)


class MAXIM(Network):
    """Degraded image in, restored image out: (B, 3, H, W), H and W divisible by `multiple` (64 at the published size).

    The grid's cells and the channel attention are of the whole input: on tiles they see the tile only, so a tiled
    result is close to the untiled one rather than equal.

    Args:
        stages: 2 or 3 in the paper.
        width: channels at the finest scale; they double with each halving of the sides.
        blocks: pairs of mixing and attention at each scale.
        bottlenecks: blocks at the coarsest scale.
        fine_side: pixels along each side of a block, and cells along each side of the grid, at full and half size.
        coarse_side: the same at quarter size and in the bottleneck.
        reduction: of the channel attention.
    """

    def __init__(
        self,
        stages: int = 3,
        width: int = 32,
        blocks: int = 2,
        bottlenecks: int = 2,
        fine_side: int = 16,
        coarse_side: int = 8,
        reduction: int = 4,
    ) -> None:
        super().__init__()
        self.settings = {
            "stages": stages,
            "width": width,
            "blocks": blocks,
            "bottlenecks": bottlenecks,
            "fine_side": fine_side,
            "coarse_side": coarse_side,
            "reduction": reduction,
        }
        if min(self.settings.values()) < 1 or width % reduction:
            raise ValueError(f"all must be 1 or more, and the width divisible by the reduction; got {self.settings}")
        sides = [fine_side] * FINE_LEVELS + [coarse_side] * (LEVELS + 1 - FINE_LEVELS)
        self.contract = Contract(multiple=math.lcm(*(side * 2**level for level, side in enumerate(sides))))
        self.stages = nn.ModuleList(
            Stage(width, sides, blocks, bottlenecks, reduction, later=number > 0, last=number == stages - 1)
            for number in range(stages)
        )
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    @classmethod
    def tiny(cls) -> "MAXIM":
        """The smallest useful instance, for tests."""
        return cls(stages=2, width=4, blocks=1, bottlenecks=1, fine_side=2, coarse_side=1)

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns degraded + what the last stage makes of it."""
        image = tile.permute(0, 2, 3, 1).contiguous()
        images, found = [_every(image, 2**level) for level in range(LEVELS)], None
        for stage in self.stages:
            found = stage(images, found)
        assert found is not None
        restored: Tensor = tile + self.tail(found.decoded[0].permute(0, 3, 1, 2))
        return restored


def _at_scale(moves: nn.Module, features: Sequence[Tensor]) -> list[Tensor]:
    """The features of all scales, finest first, at one of them."""
    return [move(one) for move, one in zip(moves.children(), features, strict=True)]


def _every(image: Tensor, step: int) -> Tensor:
    """Every `step`-th pixel of (B, H, W, C), the later of the two in the middle: the authors' nearest neighbour."""
    return image[:, step // 2 :: step, step // 2 :: step].contiguous()


def _resized(planes: Tensor, ratio: float) -> Tensor:
    """(B, C, H, W) with its sides times `ratio`, bilinear; smoothed by a wider triangle where it shrinks."""
    # torch has no smoothing of bfloat16 on a CPU.
    wide = planes.float() if planes.dtype in (torch.bfloat16, torch.float16) else planes
    resized = F.interpolate(wide, scale_factor=ratio, mode="bilinear", antialias=ratio < 1)
    return resized.to(planes.dtype)


def _settings(weights: Weights) -> dict[str, Any]:
    width = weights["stage_0_input_conv_0/kernel"].shape[0]
    cells = {
        level: weights[f"stage_0_encoder_block_{level}/{FIRST_MIXER}/kernel"].shape[0] for level in (0, LEVELS - 1)
    }
    attention = weights["stage_0_encoder_block_0/channel_attention_block_10/channel_attention/Conv_0/kernel"]
    return {
        "stages": count(weights, r"stage_\d+_input_conv_0/kernel"),
        "width": width,
        "blocks": count(weights, r"stage_0_encoder_block_0/SplitHeadMultiAxisGmlpLayer_\d+/in_project/kernel"),
        "bottlenecks": count(weights, r"stage_0_global_block_\d+/input_proj/kernel"),
        "fine_side": math.isqrt(cells[0]),
        "coarse_side": math.isqrt(cells[LEVELS - 1]),
        "reduction": width // attention.shape[0],
    }


def _to_scale(found: re.Match[str]) -> str:
    """The authors number these as they are called: in each stage all for the gating, then all for the decoder, the
    coarsest target first; of the encoder the finest source comes first, of the gating the coarsest."""
    stage, number = divmod(int(found[1]), 2 * LEVELS**2)
    part, number = divmod(number, LEVELS**2)
    target, source = divmod(number, LEVELS)
    name, source = ("gated_to", LEVELS - 1 - source) if part else ("encoded_to", source)
    return f"stages.{stage}.{name}.{LEVELS - 1 - target}.{source}.project"


FIRST_MIXER = "SplitHeadMultiAxisGmlpLayer_0/BlockGmlpLayer/BlockGatingUnit/Dense_0"

PUBLISHED = Published(
    task="",  # one set of weights for each of several
    marks=("stage_0_input_conv_0/kernel", "UpSampleRatio_0/Conv_0/kernel"),
    settings=_settings,
    names=(
        (r"^UpSampleRatio_(\d+)/Conv_0", _to_scale),
        (r"^stage_\d+_output_conv_0", "tail"),
        (r"^stage_(\d+)_", r"stages.\1."),
        (r"\.input_conv_(\d+)", r".inputs.\1"),
        (r"\.input_fuse_sam_(\d+)", r".fusions.\1"),
        (r"\.encoder_block_(\d+)/(Conv_0|Split|channel)", r".encoders.\1.body.\2"),
        (r"\.encoder_block_(\d+)/Conv_1", r".encoders.\1.downsample"),
        (r"\.encoder_block_(\d+)/cross_gating_block", r".encoders.\1.gating"),
        (r"\.global_block_(\d+)/", r".bottlenecks.\1."),
        (r"\.cross_gating_block_(\d+)", r".gatings.\1"),
        (r"\.decoder_block_(\d+)/ConvTranspose_0", r".decoders.\1.upsample"),
        (r"\.decoder_block_(\d+)/UNetEncoderBlock_0/", r".decoders.\1.body."),
        (r"body\.Conv_0", "body.reduce"),
        (r"\.supervised_attention_module_(\d+)/Conv_0", r".attentions.\1.features"),
        (r"\.supervised_attention_module_(\d+)/Conv_1", r".attentions.\1.image"),
        (r"\.supervised_attention_module_(\d+)/Conv_2", r".attentions.\1.attention"),
        (r"input_proj", "enter"),
        (r"ConvTranspose_0", "upsample"),
        # Blocks. What is numbered from 10 on, or after 1_, is numbered from 0 on.
        (r"SplitHeadMultiAxisGmlpLayer_(\d+)", r"mixers.\1"),
        (r"channel_attention_block_1_?(\d+)", r"attentions.\1"),
        (r"channel_attention/Conv_0", "attention/squeeze"),
        (r"channel_attention/Conv_1", "attention/excite"),
        (r"channel_mixing/Dense_0", "first"),
        (r"channel_mixing/Dense_1", "second"),
        (r"/conv1", "/first"),
        (r"/conv2", "/second"),
        (r"(Block|Grid)GmlpLayer/(Block|Grid)GatingUnit/Dense_0", lambda found: f"{found[1].lower()}/places"),
        (r"(Block|Grid)GmlpLayer/(Block|Grid)GatingUnit/intermediate_layernorm", lambda f: f"{f[1].lower()}/gate_norm"),
        (r"(Block|Grid)GmlpLayer", lambda found: found[1].lower()),
        (r"SplitHeadMultiAxisGating_x/", "first_gates/"),
        (r"SplitHeadMultiAxisGating_y/", "second_gates/"),
        (r"_gates/Dense_0", "_gates/grid"),
        (r"_gates/Dense_1", "_gates/block"),
        (r"LayerNorm_x", "first_norm"),
        (r"LayerNorm_y", "second_norm"),
        (r"LayerNorm(_in)?", "norm"),
        (r"in_project_x", "first_expand"),
        (r"in_project_y", "second_expand"),
        (r"out_project_x", "first_join"),
        (r"out_project_y", "second_join"),
        (r"in_project", "expand"),
        (r"out_project", "join"),
        (r"/Conv_0", "/first_in"),
        (r"/Conv_1", "/second_in"),
        (r"/(kernel|scale)$", ".weight"),
        (r"/", "."),
    ),
)
