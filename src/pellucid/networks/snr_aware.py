"""The SNR-aware low-light network: near context where there is signal, far context where there is only noise."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.guidance import NOTHING, Guidance
from pellucid.images.luma import LUMA
from pellucid.images.padding import pad_around
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, Weights, count
from pellucid.networks.residual_block import ResidualBlock
from pellucid.scratch import bands, mapped

__all__ = ["SNRAware", "signal_to_noise"]

SLOPE = 0.1
LEAST = 1e-4
"""Added to denominators."""
PATCH = 4
"""Places of a feature map along each side of a token."""


def signal_to_noise(image: Tensor) -> Tensor:
    """How far the picture stands above its noise, place by place, (B, 3, H, W) to (B, 1, H, W), not limited above.

    Source: equations (1) and (2) of the paper: the luminance of the picture blurred, over its distance from that of the
    picture as it is. The blur is a mean of 5 x 5 pixels, reflected at the border.
    """
    grey, blurred = (_grey(one) for one in (image, F.avg_pool2d(pad_around(image, 2), 5, stride=1)))
    return blurred / ((grey - blurred).abs() + LEAST)


def _grey(image: Tensor) -> Tensor:
    red, green, blue = (image[:, number : number + 1] * weight for number, weight in enumerate(LUMA))
    return red + green + blue


class TokenBlock(nn.Module):
    """A transformer's block over all tokens, that attends to none whose signal drowns in noise.

    Args:
        width: numbers of a token.
        heads: of the attention.
        head_width: numbers of each.
        hidden: of the feed-forward network.
    """

    def __init__(self, width: int, heads: int, head_width: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width, eps=1e-6)
        self.query = nn.Linear(width, heads * head_width, bias=False)
        self.key = nn.Linear(width, heads * head_width, bias=False)
        self.value = nn.Linear(width, heads * head_width, bias=False)
        self.attention_out = nn.Linear(heads * head_width, width, bias=False)
        self.feed_norm = nn.LayerNorm(width, eps=1e-6)
        self.feed_in = nn.Linear(width, hidden)
        self.feed_out = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor, hidden_keys: Tensor) -> Tensor:
        """Tokens (B, n, width) and which of them none attends to, (B, n) bool, to tokens."""
        normalised = self.attention_norm(tokens)
        queries, keys, values = (self._by_head(layer(normalised)) for layer in (self.query, self.key, self.value))
        # Not minus infinity: where all are hidden, each attends to all alike.
        mask = torch.zeros_like(hidden_keys, dtype=tokens.dtype).masked_fill(hidden_keys, -1e9)
        answers = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask[:, None, None].to(queries.dtype))
        tokens = tokens + self.attention_out(answers.transpose(1, 2).flatten(2))
        result: Tensor = tokens + self.feed_out(self.feed_in(self.feed_norm(tokens)).relu())
        return result

    def _by_head(self, tokens: Tensor) -> Tensor:
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class SNRAware(Network):
    """Dark image in, bright image out: (B, 3, H, W) in [0, 1]; H and W divisible by `multiple`.

    Source: Xu et al., "SNR-Aware Low-Light Image Enhancement" (CVPR 2022), section 3. At a quarter of the sides two
    branches: residual blocks, and a transformer over all patches of 4 x 4 places whose signal-to-noise ratio is high
    enough to be asked. The ratio, as a mask, mixes the two. Published: 39,124,099 parameters. Its tests on LOL resize
    the photographs to 600 x 400 and the like; here they are restored as they are.

    The mask is the ratio over the largest of the whole picture, which `look` finds.

    Args:
        width: channels.
        blocks: residual blocks of the near branch.
        front: residual blocks before both branches.
        back: residual blocks after them.
        layers: of the transformer.
        heads: of its attention.
        head_width: numbers of each head.
        hidden: of its feed-forward networks.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: int = 6,
        front: int = 1,
        back: int = 1,
        layers: int = 6,
        heads: int = 8,
        head_width: int = 64,
        hidden: int = 2048,
    ) -> None:
        super().__init__()
        if min(width, layers, heads, head_width, hidden) < 1 or min(blocks, front, back) < 0:
            raise ValueError(
                "width, layers, heads, head_width and hidden must be positive, numbers of blocks not negative"
            )
        self.contract = Contract(multiple=4 * PATCH, looks=True)
        self.settings = {
            "width": width,
            "blocks": blocks,
            "front": front,
            "back": back,
            "layers": layers,
            "heads": heads,
            "head_width": head_width,
            "hidden": hidden,
        }
        self.heads_of_scales = nn.ModuleList(
            nn.Conv2d(width if scale else 3, width, 3, stride=2 if scale else 1, padding=1) for scale in range(3)
        )
        self.front = nn.Sequential(*(ResidualBlock(width) for _ in range(front)))
        self.near = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.far = nn.ModuleList(TokenBlock(width * PATCH**2, heads, head_width, hidden) for _ in range(layers))
        self.back = nn.Sequential(*(ResidualBlock(width) for _ in range(back)))
        self.upsamples = nn.ModuleList(nn.Conv2d(2 * width, 4 * width, 3, padding=1) for _ in range(2))
        self.finish = nn.Conv2d(2 * width, width, 3, padding=1)
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    @classmethod
    def tiny(cls) -> "SNRAware":
        """The smallest useful instance, for tests."""
        return cls(width=4, blocks=1, layers=1, heads=2, head_width=4, hidden=16)

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Adds `own["peak"]`, the largest signal-to-noise ratio of each picture, (B, 1)."""
        return known.knowing(own={"peak": _peak(image)})

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns degraded + the predicted correction."""
        peak = guidance.own["peak"] if "peak" in guidance.own else _peak(tile)
        with without_autocast(tile):
            mask = (signal_to_noise(tile.float()) / (peak[:, :, None, None] + LEAST)).clamp(0, 1)
        return self.masked(tile, mask)

    def masked(self, degraded: Tensor, mask: Tensor) -> Tensor:
        """The restored image, by a mask of its own: (B, 1, H, W) in [0, 1], 1 where near context is enough."""
        features, skips = degraded, []
        for head in self.heads_of_scales:
            features = F.leaky_relu(head(features), SLOPE)
            skips.append(features)
        features = self.front(features)
        mask = F.interpolate(mask, size=features.shape[2:], mode="nearest").to(features.dtype)
        features = torch.lerp(self._far(features, mask), self.near(features).to(features.dtype), mask)
        features = self.back(features)
        for upsample in self.upsamples:
            features = F.pixel_shuffle(upsample(torch.cat([features, skips.pop()], 1)), 2)
            features = F.leaky_relu(features, SLOPE)
        features = F.leaky_relu(self.finish(torch.cat([features, skips.pop()], 1)), SLOPE)
        restored: Tensor = degraded + self.tail(features)
        return restored

    def _far(self, features: Tensor, mask: Tensor) -> Tensor:
        tokens = F.unfold(features, PATCH, stride=PATCH).transpose(1, 2)
        hidden = F.avg_pool2d(mask, PATCH).flatten(1) <= 0.5
        for block in self.far:
            tokens = block(tokens, hidden)
        return F.fold(tokens.transpose(1, 2), features.shape[2:], PATCH, stride=PATCH).to(features.dtype)


def _peak(image: Tensor) -> Tensor:
    with without_autocast(image):
        ratios = mapped(lambda part: signal_to_noise(part.float()), image, halo=2)
        return torch.stack([ratios[..., rows, :].amax((2, 3)) for rows in bands(ratios)]).amax(0)


def _settings(weights: Weights) -> dict[str, int]:
    attention = "transformer.layer_stack.0.slf_attn"
    # How the numbers of the queries are shared among heads, no shape says: 64 for each, as published.
    numbers = weights[f"{attention}.w_qs.weight"].shape[0]
    return {
        "width": weights["conv_first_1.weight"].shape[0],
        "blocks": count(weights, r"recon_trunk_light\.\d+\.conv1\.weight"),
        "front": count(weights, r"feature_extraction\.\d+\.conv1\.weight"),
        "back": count(weights, r"recon_trunk\.\d+\.conv1\.weight"),
        "layers": count(weights, r"transformer\.layer_stack\.\d+\.slf_attn\.fc\.weight"),
        "heads": max(1, numbers // 64),
        "head_width": min(64, numbers),
        "hidden": weights["transformer.layer_stack.0.pos_ffn.w_1.weight"].shape[0],
    }


PUBLISHED = Published(
    task="low light",
    marks=(
        "conv_first_1.weight",
        "transformer.layer_stack.0.slf_attn.w_qs.weight",
        "transformer.layer_stack.0.pos_ffn.w_1.weight",
    ),
    settings=_settings,
    names=(
        (r"^conv_first_(\d)", lambda found: f"heads_of_scales.{int(found[1]) - 1}"),
        (r"^feature_extraction", "front"),
        (r"^recon_trunk_light", "near"),
        (r"^recon_trunk", "back"),
        (r"^upconv(\d)", lambda found: f"upsamples.{int(found[1]) - 1}"),
        (r"^HRconv", "finish"),
        (r"^conv_last", "tail"),
        (r"^transformer\.layer_stack", "far"),
        (r"slf_attn\.layer_norm", "attention_norm"),
        (r"slf_attn\.w_qs", "query"),
        (r"slf_attn\.w_ks", "key"),
        (r"slf_attn\.w_vs", "value"),
        (r"slf_attn\.fc", "attention_out"),
        (r"pos_ffn\.layer_norm", "feed_norm"),
        (r"pos_ffn\.w_1", "feed_in"),
        (r"pos_ffn\.w_2", "feed_out"),
        (r"conv1", "first"),
        (r"conv2", "second"),
    ),
)
