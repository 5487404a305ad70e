"""SwinIR: residual groups of transformer blocks that attend within windows, for restoring and for enlarging."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, Weights, count
from pellucid.networks.window_attention import attend, cut, joined, relative_bias, relative_places

__all__ = ["SwinIR"]

Enlarging = Literal["", "shuffle", "direct", "nearest"]

MEAN = (0.4488, 0.4371, 0.4040)
"""Of the colours in the authors' training photographs."""
HEAD = 64
"""Channels of the layers that enlarge."""


class SwinBlock(nn.Module):
    """Attention within windows, then a feed-forward network of two layers."""

    places: Tensor

    def __init__(self, width: int, heads: int, window: int, shift: int, expansion: float) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.attention_norm = nn.LayerNorm(width)
        self.table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.table, std=0.02)
        self.register_buffer("places", relative_places(window), persistent=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed_in = nn.Linear(width, int(width * expansion))
        self.feed_out = nn.Linear(int(width * expansion), width)

    def forward(self, features: Tensor) -> Tensor:
        """(B, h, w, width) in and out."""
        features = features + self._attended(self.attention_norm(features))
        result: Tensor = features + self.feed_out(F.gelu(self.feed_in(self.feed_norm(features))))
        return result

    def _attended(self, features: Tensor) -> Tensor:
        if self.shift:
            features = features.roll((-self.shift, -self.shift), (1, 2))
        queries, keys, values = self.qkv(cut(features, self.window)).chunk(3, -1)
        windows = attend(queries, keys, values, relative_bias(self.table, self.places), self.shift)
        features = joined(self.attention_out(windows), self.window)
        return features.roll((self.shift, self.shift), (1, 2)) if self.shift else features


class ResidualGroup(nn.Module):
    """Blocks, every second one with shifted windows, a convolution, and the input again (RSTB)."""

    def __init__(self, width: int, blocks: int, heads: int, window: int, expansion: float, *, narrow: bool) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(SwinBlock(width, heads, window, window // 2 if n % 2 else 0, expansion) for n in range(blocks))
        )
        self.convolution = _convolution(width, narrow=narrow)

    def forward(self, features: Tensor) -> Tensor:
        """(B, h, w, width) in and out."""
        mixed: Tensor = self.convolution(self.blocks(features).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return mixed + features


class SwinIR(Network):
    """Degraded image in, restored image out: (B, 3, H, W) to (B, 3, H * scale, W * scale); H and W divisible by
    `multiple`.

    Source: Liang et al., "SwinIR: Image Restoration Using Swin Transformer" (ICCVW 2021, arXiv 2108.10257), section 3.
    Published parameters: classical enlarging x2 11,752,487, x3 11,937,127, x4 11,900,199; lightweight x2 910,152; real
    x4 11,715,559, large 28,013,059; noise in colour 11,504,163, in grey 11,497,681; JPEG in colour 11,492,067, in grey
    11,485,585. (The published counts of state include no masks; these do not either.)

    A network for grey images restores each colour channel on its own.

    Args:
        width: channels.
        blocks: of each group.
        heads: of each group's attention.
        window: side of the windows, in pixels.
        expansion: channels of the feed-forward networks over the width.
        channels: colour channels that the network takes, 1 or 3.
        scale: by which the sides grow.
        enlarging: "" where they do not; "shuffle" for the classical networks, "direct" for the lightweight ones,
            "nearest" for real photographs.
        narrow: whether three narrow convolutions end each group, instead of one.
        value_range: by what values are multiplied within the network; 255 in those for JPEG.
    """

    def __init__(
        self,
        width: int = 180,
        blocks: Sequence[int] = (6, 6, 6, 6, 6, 6),
        heads: Sequence[int] = (6, 6, 6, 6, 6, 6),
        window: int = 8,
        expansion: float = 2.0,
        channels: int = 3,
        scale: int = 1,
        enlarging: Enlarging = "",
        narrow: bool = False,
        value_range: float = 1.0,
    ) -> None:
        super().__init__()
        if not blocks or len(blocks) != len(heads) or any(width % count for count in heads):
            raise ValueError(f"blocks and heads need one entry per group, and heads divide {width}; got {list(heads)}")
        if channels not in (1, 3) or window < 2 or (enlarging == "") != (scale == 1):
            raise ValueError("channels must be 1 or 3, window 2 at least, and enlarging be given where scale is not 1")
        self.contract = Contract(multiple=window, scale=scale, channels=channels)
        self.settings = {
            "width": width,
            "blocks": list(blocks),
            "heads": list(heads),
            "window": window,
            "expansion": expansion,
            "channels": channels,
            "scale": scale,
            "enlarging": enlarging,
            "narrow": narrow,
            "value_range": value_range,
        }
        self.channels, self.value_range, self.enlarging = channels, value_range, enlarging
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.first_norm = nn.LayerNorm(width)
        self.groups = nn.Sequential(
            *(ResidualGroup(width, n, h, window, expansion, narrow=narrow) for n, h in zip(blocks, heads, strict=True))
        )
        self.last_norm = nn.LayerNorm(width)
        self.after = _convolution(width, narrow=narrow)
        self.tail = _tail(enlarging, width, channels, scale)

    @classmethod
    def tiny(cls) -> "SwinIR":
        """The smallest useful instance, for tests."""
        return cls(width=8, blocks=(2,), heads=(2,), window=4)

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns the restored image; where nothing is enlarged, degraded + the predicted correction."""
        planes = tile.reshape(-1, self.channels, *tile.shape[2:])
        mean = planes.new_tensor(MEAN if self.channels == 3 else (0.0,))[:, None, None]
        with without_autocast(tile):  # at 8 bits of mantissa the first layer would see another image
            shown = (planes - mean) * self.value_range
            shallow = self.head(shown)
        deep = self.last_norm(self.groups(self.first_norm(shallow.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)
        predicted: Tensor = self.tail(self.after(deep) + shallow)
        restored = (mean if self.enlarging else planes) + predicted / self.value_range
        return restored.reshape(tile.shape[0], -1, *restored.shape[2:])


def _convolution(width: int, *, narrow: bool) -> nn.Module:
    if not narrow:
        return nn.Conv2d(width, width, 3, padding=1)
    return nn.Sequential(
        nn.Conv2d(width, width // 4, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width // 4, width // 4, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width // 4, width, 3, padding=1),
    )


def _tail(enlarging: Enlarging, width: int, channels: int, scale: int) -> nn.Sequential:
    """From features to the image, at its own size or larger; the layers are named, for each kind has other ones."""
    if enlarging == "":
        return _named(last=nn.Conv2d(width, channels, 3, padding=1))
    if enlarging == "direct":
        return _named(grow0=nn.Conv2d(width, channels * scale**2, 3, padding=1), shuffle=nn.PixelShuffle(scale))
    layers: dict[str, nn.Module] = {"narrow": nn.Conv2d(width, HEAD, 3, padding=1), "slope": nn.LeakyReLU(0.01)}
    doublings = scale.bit_length() - 1
    if enlarging == "shuffle":
        for number, step in enumerate([3] if scale == 3 else [2] * doublings):
            layers[f"grow{2 * number}"] = nn.Conv2d(HEAD, HEAD * step**2, 3, padding=1)
            layers[f"shuffle{number}"] = nn.PixelShuffle(step)
    else:
        for number in range(1, doublings + 1):
            layers[f"repeat{number}"] = nn.Upsample(scale_factor=2)
            layers[f"grow{number}"] = nn.Conv2d(HEAD, HEAD, 3, padding=1)
            layers[f"slope{number}"] = nn.LeakyReLU(0.2)
        layers |= {"polish": nn.Conv2d(HEAD, HEAD, 3, padding=1), "last_slope": nn.LeakyReLU(0.2)}
    return _named(**layers, last=nn.Conv2d(HEAD, channels, 3, padding=1))


def _named(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def _settings(weights: Weights) -> dict[str, Any]:
    group = "layers.{}.residual_group.blocks"
    groups = count(weights, r"layers\.\d+\.residual_group\.blocks\.0\.norm1\.weight")
    table = "attn.relative_position_bias_table"
    tables = [weights[f"{group.format(number)}.0.{table}"] for number in range(groups)]
    width, channels = weights["conv_first.weight"].shape[:2]
    window = (round(len(tables[0]) ** 0.5) + 1) // 2
    found: dict[str, Any] = {"enlarging": "", "scale": 1}
    if "conv_last.weight" not in weights:
        found = {"enlarging": "direct", "scale": round((weights["upsample.0.weight"].shape[0] / channels) ** 0.5)}
    elif "conv_up1.weight" in weights:
        found = {"enlarging": "nearest", "scale": 4 if "conv_up2.weight" in weights else 2}
    elif "conv_before_upsample.0.weight" in weights:
        steps = count(weights, r"upsample\.\d+\.weight")
        factor = round((weights["upsample.0.weight"].shape[0] / HEAD) ** 0.5)
        found = {"enlarging": "shuffle", "scale": factor**steps}
    return found | {
        "width": width,
        "blocks": [
            count(weights, rf"layers\.{number}\.residual_group\.blocks\.\d+\.{table}") for number in range(groups)
        ],
        "heads": [one.shape[1] for one in tables],
        "window": window,
        "expansion": weights[f"{group.format(0)}.0.mlp.fc1.weight"].shape[0] / width,
        "channels": channels,
        "narrow": "layers.0.conv.0.weight" in weights,
        "value_range": 255.0 if window == 7 else 1.0,  # windows of 7 are of the networks for JPEG, and so is the range
    }


PUBLISHED = Published(
    task="",  # one set of weights for each of several
    marks=("conv_first.weight", "patch_embed.norm.weight", "layers.0.residual_group.blocks.0.mlp.fc1.weight"),
    settings=_settings,
    names=(
        (r"^conv_first", "head"),
        (r"^patch_embed\.norm", "first_norm"),
        (r"^norm", "last_norm"),
        (r"^layers\.(\d+)\.residual_group\.blocks", r"groups.\1.blocks"),
        (r"^layers\.(\d+)\.conv", r"groups.\1.convolution"),
        (r"^conv_after_body", "after"),
        (r"^conv_before_upsample\.0", "tail.narrow"),
        (r"^(?:upsample\.|conv_up)(\d)", r"tail.grow\1"),
        (r"^conv_hr", "tail.polish"),
        (r"^conv_last", "tail.last"),
        (r"norm1", "attention_norm"),
        (r"norm2", "feed_norm"),
        (r"attn\.relative_position_bias_table", "table"),
        (r"attn\.qkv", "qkv"),
        (r"attn\.proj", "attention_out"),
        (r"mlp\.fc1", "feed_in"),
        (r"mlp\.fc2", "feed_out"),
    ),
    idle=r".*\.(?:relative_position_index|attn_mask)$",
)
