"""The denoiser of the family `small`: a plain convolutional U-Net, told the time, words and context by one vector.

The shape is that of Ho et al., "Denoising Diffusion Probabilistic Models" (NeurIPS 2020, arXiv 2006.11239), appendix B,
with scale and shift from the embedding (Dhariwal and Nichol, NeurIPS 2021, arXiv 2105.05233, section 3). Two choices
are ours. Each place is normalised over its channels alone: group normalisation has statistics of the whole tile, and
tiles would differ from the whole picture by them. And the input's channels reach the output on a short way, each by a
gain that the embedding sets, zero at first: what is there already need not be learnt.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SmallUNet", "time_features"]


def time_features(time: Tensor, width: int) -> Tensor:
    """Sines and cosines of times (B,), of periods from 2 pi to 20000 pi: (B, width), for an even width."""
    rates = torch.exp(-math.log(10_000) * torch.arange(width // 2, device=time.device) / (width // 2))
    angles = time.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], 1)


class _Block(nn.Module):
    """x + conv(silu(conv(normalised x, scaled and shifted by the embedding))); the last convolution begins at zero."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.told = nn.Linear(embedding, 2 * width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        for value in (*self.told.parameters(), *self.second.parameters()):
            nn.init.zeros_(value)

    def forward(self, features: Tensor, embedding: Tensor, added: Tensor | None = None) -> Tensor:
        """Features (B, width, h, w) and embedding (B, embedding); `added` scales and shifts place by place besides."""
        scale, shift = self.told(embedding)[:, :, None, None].chunk(2, 1)
        if added is not None:
            more, moved = added.chunk(2, 1)
            scale, shift = scale + more, shift + moved
        width = features.shape[1]
        normal = F.layer_norm(features.permute(0, 2, 3, 1), (width,)).permute(0, 3, 1, 2)
        refined: Tensor = features + self.second(F.silu(self.first(normal * (1 + scale) + shift)))
        return refined


class SmallUNet(nn.Module):
    """State and what stands beside it to a prediction: (B, in_channels, h, w) to (B, out_channels, h, w), h and w
    divisible by `multiple`.

    Args:
        in_channels: of the state, and of what is concatenated to it.
        out_channels: of the prediction.
        widths: channels at each scale, finest first; each scale halves the sides.
        blocks: residual blocks of each scale, on the way down and again on the way up (once at the coarsest).
        embedding: numbers that the time, the words and the context become.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int] = (128, 192, 256),
        blocks: Sequence[int] = (2, 2, 2),
        embedding: int = 256,
    ) -> None:
        super().__init__()
        if not widths or len(widths) != len(blocks) or min(*widths, *blocks, embedding) < 1 or embedding % 2:
            raise ValueError(
                f"widths and blocks need one positive entry per scale, and the embedding an even width; got "
                f"{list(widths)}, {list(blocks)}, {embedding}"
            )
        self.in_channels, self.out_channels, self.embedding = in_channels, out_channels, embedding
        self.widths, self.multiple = list(widths), 2 ** (len(widths) - 1)
        self.time = nn.Sequential(nn.Linear(embedding, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.encoders = nn.ModuleList(
            nn.ModuleList(_Block(width, embedding) for _ in range(count))
            for width, count in zip(widths, blocks, strict=True)
        )
        pairs = list(pairwise(widths))
        self.downsamples = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.upsamples = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairs)
        self.decoders = nn.ModuleList(
            nn.ModuleList(_Block(width, embedding) for _ in range(count))
            for width, count in zip(widths[:-1], blocks[:-1], strict=True)
        )
        self.conv_out = nn.Conv2d(widths[0], out_channels, 3, padding=1)
        self.gains = nn.Linear(embedding, in_channels)
        for value in (*self.conv_out.parameters(), *self.gains.parameters()):
            nn.init.zeros_(value)

    def embed(self, time: Tensor) -> Tensor:
        """Times (B,) to embeddings (B, embedding), to which words and context are added."""
        embedded: Tensor = self.time(time_features(time, self.embedding))
        return embedded

    def encode(
        self, inputs: Tensor, embedding: Tensor, modulation: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """The way down: the coarsest features, and those of each finer scale, finest first.

        `modulation` holds, for each scale, what scales and shifts its features place by place, (B, 2 width, h, w).
        """
        told = F.silu(embedding)
        features, skips = self.conv_in(inputs), []
        for number, stage in enumerate(self.encoders):
            for block in stage:  # type: ignore[attr-defined]
                features = block(features, told, None if modulation is None else modulation[number])
            if number < len(self.downsamples):
                skips.append(features)
                features = self.downsamples[number](features)
        return features, skips

    def decode(
        self, features: Tensor, skips: Sequence[Tensor], embedding: Tensor, modulation: Sequence[Tensor] | None = None
    ) -> Tensor:
        """The way up, to the prediction; without the short way."""
        told = F.silu(embedding)
        for number in reversed(range(len(self.decoders))):
            features = self.upsamples[number](features) + skips[number]
            for block in self.decoders[number]:  # type: ignore[attr-defined]
                features = block(features, told, None if modulation is None else modulation[number])
        predicted: Tensor = self.conv_out(features)
        return predicted

    def short_way(self, inputs: Tensor, embedding: Tensor) -> Tensor:
        """What goes from the inputs to the prediction directly: whole groups of out_channels, each by its gains."""
        weighted = inputs * self.gains(F.silu(embedding))[:, :, None, None]
        count = self.in_channels // self.out_channels * self.out_channels
        summed: Tensor = weighted[:, :count].reshape(len(inputs), -1, self.out_channels, *inputs.shape[2:]).sum(1)
        return summed

    def forward(self, inputs: Tensor, embedding: Tensor, modulation: Sequence[Tensor] | None = None) -> Tensor:
        """Inputs (B, in_channels, h, w) and embedding (B, embedding) to the prediction (B, out_channels, h, w)."""
        features, skips = self.encode(inputs, embedding, modulation)
        return self.decode(features, skips, embedding, modulation) + self.short_way(inputs, embedding)
