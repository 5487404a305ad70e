"""PTG-SVE, spatial-varying enhancement: near and far context, mixed at every pixel as the prior says (equations 2 and 3).

Source: "Boosting Image Restoration via Priors from Pre-trained Models" (CVPR 2024, arXiv 2403.06793). The far branch is made
of Restormer's blocks (Zamir et al., CVPR 2022, arXiv 2111.09881: MDTA, equation 1, and GDFN, equation 2).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.refinement.guidance import SLOPE, GuidedConvolution
from pellucid.refinement.windows import Windows

__all__ = ["LongRange", "RangeMap", "ShortRange", "TransposedAttentionBlock"]


class RangeMap(nn.Module):
    """R_m of equation (2): where near context is to be trusted (1) and where far context (0).

    `prior` and `position` say whether T_m(g) and S_m have a say in it.
    """

    def __init__(self, width: int, *, prior: bool = True, position: bool = True) -> None:
        super().__init__()
        self.guided = GuidedConvolution(width, width, prior=prior, position=position)
        self.out = nn.Conv2d(width, 1, 3, padding=1, bias=False)

    def forward(self, features: Tensor, prior: Tensor | None, position: Tensor | None) -> Tensor:
        """Features (B, width, h, w), T_m(g) (B, 4 width), S_m (B, width, h, w) to M (B, 1, h, w) in (0, 1); reach 2 places."""
        hidden = F.leaky_relu(self.guided(features, prior, position), SLOPE)
        return torch.sigmoid(self.out(hidden))


class ShortRange(nn.Module):
    """R_s of equation (3): one residual block of two 3x3 convolutions, without normalisation; reach 2 places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        result: Tensor = features + self.second(F.relu(self.first(features)))
        return result


class TransposedAttentionBlock(nn.Module):
    """Restormer's block: attention between channels (MDTA), then a gated feed-forward network (GDFN)."""

    def __init__(self, width: int, heads: int, expansion: float) -> None:
        super().__init__()
        hidden = int(width * expansion)
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.qkv_depthwise = nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width, bias=False)
        self.attention_out = nn.Conv2d(width, width, 1, bias=False)
        self.gate_norm = nn.LayerNorm(width)
        self.gate_in = nn.Conv2d(width, 2 * hidden, 1, bias=False)
        self.gate_depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.gate_out = nn.Conv2d(hidden, width, 1, bias=False)

    def forward(self, features: Tensor, windows: Windows) -> Tensor:
        """(B, width, h, w) in and out."""
        if windows.whole:  # the queries, keys and values are needed twice: keep them
            mixed = self._mix(features)
            attention = self._attention(self._products(mixed))
            return self._feed_forward(features + self._attend(mixed, attention))
        # The attention matrix is a statistic of the whole image.
        attention = self._attention(windows.total(self._mix, self._products, features, halo=1))
        return windows.map(
            lambda part: self._feed_forward(part + self._attend(self._mix(part), attention)), features, halo=2
        )

    def _mix(self, features: Tensor) -> Tensor:
        """Queries, keys and values of each pixel, (B, 3 width, h, w)."""
        mixed: Tensor = self.qkv_depthwise(self.qkv(_channel_norm(features, self.attention_norm)))
        return mixed

    def _products(self, mixed: Tensor) -> Tensor:
        """Sums over the pixels: of query x key, of query squared, of key squared; (B, heads, d, d + 2), float32."""
        # Sums over millions of pixels would lose all digits in bfloat16.
        with torch.autocast(mixed.device.type, enabled=False):
            queries, keys, _ = self._by_head(mixed.float())
            return torch.cat(
                [
                    queries @ keys.transpose(2, 3),
                    queries.square().sum(3, keepdim=True),
                    keys.square().sum(3, keepdim=True),
                ],
                dim=3,
            )

    def _attention(self, products: Tensor) -> Tensor:
        """softmax(temperature * cosine(query, key)), (B, heads, d, d)."""
        cross, queries, keys = products[..., :-2], products[..., -2], products[..., -1]
        norms = queries.clamp_min(1e-24).sqrt()[..., :, None] * keys.clamp_min(1e-24).sqrt()[..., None, :]
        return torch.softmax(self.temperature * cross / norms, dim=-1)

    def _attend(self, mixed: Tensor, attention: Tensor) -> Tensor:
        """The values, mixed between channels; (B, width, h, w)."""
        _, _, values = self._by_head(mixed)
        attended = (attention.to(values.dtype) @ values).reshape(len(mixed), -1, *mixed.shape[2:])
        result: Tensor = self.attention_out(attended)
        return result

    def _feed_forward(self, features: Tensor) -> Tensor:
        gate, value = self.gate_depthwise(self.gate_in(_channel_norm(features, self.gate_norm))).chunk(2, dim=1)
        result: Tensor = features + self.gate_out(F.gelu(gate) * value)
        return result

    def _by_head(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3 width, h, w) to three of (B, heads, d, h w)."""
        batch, channels, height, width = mixed.shape
        heads = mixed.reshape(batch, 3, self.heads, channels // (3 * self.heads), height * width)
        queries, keys, values = heads.unbind(1)
        return queries, keys, values


class LongRange(nn.ModuleList):
    """R_l of equation (3): a chain of transposed-attention blocks, each of which sees the whole image."""

    def __init__(self, width: int, blocks: int, heads: int = 1, expansion: float = 2.66) -> None:
        super().__init__(TransposedAttentionBlock(width, heads, expansion) for _ in range(blocks))

    def forward(self, features: Tensor, windows: Windows) -> Tensor:
        """(B, width, h, w) in and out."""
        for block in self:
            features = block(features, windows)
        return features


def _channel_norm(features: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Layer normalisation over the channels of each pixel, (B, C, h, w) in and out."""
    normalised: Tensor = norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return normalised
