"""Uformer: a U-Net of transformer blocks that attend within windows."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, Weights, count
from pellucid.networks.window_attention import attend, cut, joined, relative_bias, relative_places

__all__ = ["Uformer"]

SCALES = 5
"""Four on the way down and up, and one below."""


class WindowBlock(nn.Module):
    """Attention within windows, then a feed-forward network with a depthwise convolution (LeWin).

    Args:
        width: channels.
        heads: of the attention.
        window: side of a window, in places.
        shift: by how many places the windows are shifted.
        modulated: whether a learned offset for each place of a window is added to its tokens.
        places: of a window in full, for that offset.
        expansion: channels of the feed-forward network over the width.
    """

    places: Tensor

    def __init__(
        self, width: int, heads: int, window: int, shift: int, *, modulated: bool, places: int, expansion: int
    ) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        hidden = expansion * width
        self.attention_norm = nn.LayerNorm(width)
        self.modulator = nn.Parameter(torch.randn(places, width)) if modulated else None
        self.table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.table, std=0.02)
        self.register_buffer("places", relative_places(window), persistent=False)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.attention_out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed_in = nn.Linear(width, hidden)
        self.feed_depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.feed_out = nn.Linear(hidden, width)

    def forward(self, features: Tensor) -> Tensor:
        """(B, h, w, width) in and out."""
        features = features + self._attended(self.attention_norm(features))
        hidden = F.gelu(self.feed_in(self.feed_norm(features))).permute(0, 3, 1, 2)
        result: Tensor = features + self.feed_out(F.gelu(self.feed_depthwise(hidden)).permute(0, 2, 3, 1))
        return result

    def _attended(self, features: Tensor) -> Tensor:
        if self.shift:
            features = features.roll((-self.shift, -self.shift), (1, 2))
        windows = cut(features, self.window)
        if self.modulator is not None:
            windows = windows + self.modulator
        keys, values = self.key_value(windows).chunk(2, -1)
        bias = relative_bias(self.table, self.places)
        windows = self.attention_out(attend(self.query(windows), keys, values, bias, self.shift))
        features = joined(windows, self.window)
        return features.roll((self.shift, self.shift), (1, 2)) if self.shift else features


class Uformer(Network):
    """Degraded image in, restored image out: (B, 3, H, W); H and W divisible by `multiple`.

    Source: Wang et al., "Uformer: A General U-Shaped Transformer for Image Restoration" (CVPR 2022, arXiv 2106.03106),
    section 3. Five scales of blocks that attend within 8 x 8 windows, shifted in every second block; the decoder's
    add a learned offset to each place of a window (the modulator). Published: Uformer-T 5,291,853 parameters, S
    20,751,197, B 50,880,946.

    Args:
        width: channels at the finest scale; they double with each halving of the sides, and the decoder has twice as
            many.
        blocks: at each scale on the way down, at the coarsest, and at each on the way up.
        heads: of the attention, likewise.
        window: side of the windows, in places.
        side: of the images that the network was made for. Where a scale of these is no larger than a window, its
            windows are not shifted; where it is smaller, they are as small. 128 is that of the authors' tests.
        expansion: channels of the feed-forward networks over the width.
    """

    def __init__(
        self,
        width: int = 32,
        blocks: Sequence[int] = (1, 2, 8, 8, 2, 8, 8, 2, 1),
        heads: Sequence[int] = (1, 2, 4, 8, 16, 16, 8, 4, 2),
        window: int = 8,
        side: int = 128,
        expansion: int = 4,
    ) -> None:
        super().__init__()
        if len(blocks) != 2 * SCALES - 1 or len(heads) != 2 * SCALES - 1:
            raise ValueError(f"blocks and heads need {2 * SCALES - 1} entries; got {list(blocks)} and {list(heads)}")
        sides = [side // 2**scale for scale in range(SCALES)]
        if min(width, window, expansion, *blocks, *heads) < 1 or side % 2 ** (SCALES - 1) or min(sides[:-1]) < window:
            raise ValueError(
                "width, window, expansion, blocks and heads must be positive, and side divide by "
                f"{2 ** (SCALES - 1)} and be {window * 2 ** (SCALES - 2)} at least; got {side}"
            )
        windows = [min(window, one) for one in sides]
        self.settings = {
            "width": width,
            "blocks": list(blocks),
            "heads": list(heads),
            "window": window,
            "side": side,
            "expansion": expansion,
        }
        self.contract = Contract(multiple=max(2**scale * one for scale, one in enumerate(windows)))

        def stage(number: int, channels: int) -> nn.Sequential:
            scale = min(number, 2 * SCALES - 2 - number)
            small = windows[scale]
            shift = small // 2 if sides[scale] > small else 0
            modulated = number >= SCALES
            return nn.Sequential(
                *(
                    WindowBlock(
                        channels,
                        heads[number],
                        small,
                        shift if index % 2 else 0,
                        modulated=modulated,
                        places=window**2,
                        expansion=expansion,
                    )
                    for index in range(blocks[number])
                )
            )

        down = [width * 2**scale for scale in range(SCALES)]
        up = [2 * one for one in reversed(down[:-1])]
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.encoders = nn.ModuleList(stage(number, channels) for number, channels in enumerate(down[:-1]))
        self.downsamples = nn.ModuleList(nn.Conv2d(c, 2 * c, 4, stride=2, padding=1) for c in down[:-1])
        self.middle = stage(SCALES - 1, down[-1])
        below = [down[-1], *up[:-1]]
        self.upsamples = nn.ModuleList(
            nn.ConvTranspose2d(wide, narrow // 2, 2, stride=2) for wide, narrow in zip(below, up, strict=True)
        )
        self.decoders = nn.ModuleList(stage(SCALES + number, channels) for number, channels in enumerate(up))
        self.tail = nn.Conv2d(2 * width, 3, 3, padding=1)

    @classmethod
    def tiny(cls) -> "Uformer":
        """The smallest useful instance, for tests."""
        return cls(4, (2, 1, 1, 1, 2, 1, 1, 1, 2), (1, 1, 2, 2, 2, 2, 2, 1, 1), window=2, side=16, expansion=2)

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns degraded + the predicted correction."""
        features = F.leaky_relu(self.head(tile), 0.01)
        skips: list[Tensor] = []
        for encode, downsample in zip(self.encoders, self.downsamples, strict=True):
            features = _by_place(encode, features)
            skips.append(features)
            features = downsample(features)
        features = _by_place(self.middle, features)
        for upsample, decode in zip(self.upsamples, self.decoders, strict=True):
            features = _by_place(decode, torch.cat([upsample(features), skips.pop()], 1))
        restored: Tensor = tile + self.tail(features)
        return restored


def _by_place(stage: nn.Module, features: Tensor) -> Tensor:
    """Runs blocks that have the channels last on a map (B, C, h, w)."""
    result: Tensor = stage(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return result


def _settings(weights: Weights) -> dict[str, Any]:
    stages = [
        *(f"encoderlayer_{scale}" for scale in range(SCALES - 1)),
        "conv",
        *(f"decoderlayer_{scale}" for scale in range(SCALES - 1)),
    ]
    tables = [weights[f"{stage}.blocks.0.attn.relative_position_bias_table"] for stage in stages]
    window, lowest = ((round(len(table) ** 0.5) + 1) // 2 for table in (tables[0], tables[SCALES - 1]))
    width = weights["input_proj.proj.0.weight"].shape[0]
    return {
        "width": width,
        "blocks": [count(weights, rf"{stage}\.blocks\.\d+\.norm1\.weight") for stage in stages],
        "heads": [table.shape[1] for table in tables],
        "window": window,
        "side": 2 ** (SCALES - 1) * lowest,
        "expansion": weights["encoderlayer_0.blocks.0.mlp.linear1.0.weight"].shape[0] // width,
    }


PUBLISHED = Published(
    task="",  # real noise, and motion blur
    marks=(
        "input_proj.proj.0.weight",
        "encoderlayer_0.blocks.0.attn.qkv.to_q.weight",
        "encoderlayer_0.blocks.0.attn.relative_position_bias_table",
        "encoderlayer_0.blocks.0.mlp.linear1.0.weight",
        "conv.blocks.0.attn.relative_position_bias_table",
    ),
    settings=_settings,
    names=(
        (r"^input_proj\.proj\.0", "head"),
        (r"^output_proj\.proj\.0", "tail"),
        (r"^encoderlayer_(\d)\.blocks", r"encoders.\1"),
        (r"^decoderlayer_(\d)\.blocks", r"decoders.\1"),
        (r"^conv\.blocks", "middle"),
        (r"^dowsample_(\d)\.conv\.0", r"downsamples.\1"),
        (r"^upsample_(\d)\.deconv\.0", r"upsamples.\1"),
        (r"modulator\.weight", "modulator"),
        (r"norm1", "attention_norm"),
        (r"norm2", "feed_norm"),
        (r"attn\.relative_position_bias_table", "table"),
        (r"attn\.qkv\.to_q", "query"),
        (r"attn\.qkv\.to_kv", "key_value"),
        (r"attn\.proj", "attention_out"),
        (r"mlp\.linear1\.0", "feed_in"),
        (r"mlp\.dwconv\.0", "feed_depthwise"),
        (r"mlp\.linear2\.0", "feed_out"),
    ),
    idle=r".*\.relative_position_index$",
)
