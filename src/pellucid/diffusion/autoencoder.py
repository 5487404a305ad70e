"""The autoencoder of Stable Diffusion over pictures of any size: layer by layer in parts, as if it saw the whole.

Cut into tiles, an autoencoder normalises each by the statistics of that tile, and tiles come out with other tones. Here
every layer goes over the parts of the whole before the next one begins: a group normalisation first adds up its sums
over all parts and then normalises with what they say of the whole; a convolution reads as far beyond its part as it
reaches. So the result is that of the whole picture, but for rounding. What lies between two layers is kept on the disk
where it is large, and the attention in the middle, at an eighth of the size, sees all places at once.

`Fusion` is the controllable feature wrapping of StableSR (Wang et al., IJCV 2024, arXiv 2305.07015, section 3.3): what
the encoder sees of the degraded picture is added to what the decoder makes, so much of it as one likes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.scratch import release, zeros_on_disk

__all__ = ["Fusion", "decoded", "encoded", "is_plain"]

SIDE = 512
"""Places along a side of a part, at the size of the layer that sees it."""
LARGE = 256 << 20
"""Bytes from which on what lies between two layers lies on the disk."""


def is_plain(vae: Any) -> bool:
    """Whether an autoencoder is made of what this module goes through: residual blocks, and attention in the middle
    alone."""
    stages = [*vae.encoder.down_blocks, *vae.decoder.up_blocks]
    return all(type(stage).__name__ in ("DownEncoderBlock2D", "UpDecoderBlock2D") for stage in stages)


def encoded(vae: Any, image: Tensor, side: int = SIDE) -> tuple[Tensor, list[Tensor]]:
    """The mode of what an `AutoencoderKL` says of images, and what its encoder makes of them at each size.

    Args:
        vae: the autoencoder, `is_plain`.
        image: (B, 3, H, W) in [-1, 1], sides divisible by the autoencoder's stride.
        side: of the parts; images no larger are seen whole.

    Returns:
        Latents (B, C, h, w), and features of all sizes, finest first.
    """
    parts = _Parts(side)
    state, features = parts.over(vae.encoder.conv_in, image, reach=1), []
    for stage in vae.encoder.down_blocks:
        for block in stage.resnets:
            state = parts.block(block, state)
        features.append(state)
        for layer in stage.downsamplers or ():
            state = parts.over(layer, state, reach=2, shrink=2)
    state = vae.encoder.mid_block(state)
    state = parts.normalised(vae.encoder.conv_norm_out, vae.encoder.conv_act, vae.encoder.conv_out, state)
    if vae.quant_conv is not None:
        state = vae.quant_conv(state)
    return state.chunk(2, 1)[0], features


def decoded(
    vae: Any,
    latent: Tensor,
    side: int = SIDE,
    *,
    fusion: "Fusion | None" = None,
    features: Sequence[Tensor] = (),
    weight: float = 0.0,
) -> Tensor:
    """What an `AutoencoderKL` makes of latents.

    Args:
        vae: the autoencoder, `is_plain`.
        latent: (B, C, h, w).
        side: of the parts, in places of each layer.
        fusion: what adds features of the degraded picture; None for nothing.
        features: those of `encoded`.
        weight: of what it adds: 0 nothing, 1 all.

    Returns:
        Images (B, 3, H, W), about [-1, 1].
    """
    parts = _Parts(side)
    state = latent if vae.post_quant_conv is None else vae.post_quant_conv(latent)
    state = vae.decoder.mid_block(parts.over(vae.decoder.conv_in, state, reach=1))
    for level, stage in enumerate(vae.decoder.up_blocks):
        for block in stage.resnets:
            state = parts.block(block, state)
        if fusion is not None and weight and level < len(fusion.layers):
            state = parts.over(fusion.at(level, weight), state, features[-1 - level], reach=2)
        for layer in stage.upsamplers or ():
            state = parts.over(layer, state, reach=1, grow=2)
    return parts.normalised(vae.decoder.conv_norm_out, vae.decoder.conv_act, vae.decoder.conv_out, state)


class Fusion(nn.Module):
    """At every size but the finest, from what encoder and decoder say to what is added to the decoder's features.

    The last convolutions begin at zero: at first nothing is added, whatever the weight.

    Args:
        vae: whose widths it takes.
    """

    def __init__(self, vae: Any) -> None:
        super().__init__()
        widths = list(vae.config.block_out_channels)[::-1][:-1]
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(2 * width, width, 1),
                nn.Conv2d(width, width, 3, padding=1),
                nn.SiLU(),
                nn.Conv2d(width, width, 3, padding=1),
            )
            for width in widths
        )
        for layer in self.layers:
            for value in layer[-1].parameters():  # type: ignore[index]
                nn.init.zeros_(value)

    def at(self, level: int, weight: float) -> Callable[[Tensor, Tensor], Tensor]:
        """What joins features of the decoder and of the encoder at a level, coarsest first."""
        layer = self.layers[level]
        return lambda made, seen: made + weight * layer(torch.cat([made, seen], 1))


class _Parts:
    """Layers over parts of a side, of maps (B, C, H, W)."""

    def __init__(self, side: int) -> None:
        self.side = max(2, side // 2 * 2)  # an even one: where sizes are halved parts begin on even places

    def over(
        self, function: Callable[..., Tensor], *maps: Tensor, reach: int, shrink: int = 1, grow: int = 1
    ) -> Tensor:
        """A layer, or several, over whole maps of one size.

        Args:
            function: the layer, which pads at the border of what it is given as it does at that of a picture.
            maps: what it is given.
            reach: how far beyond a place it looks; even where sizes shrink.
            shrink: by how much sizes do.
            grow: or grow.
        """
        height, width = maps[0].shape[2:]
        if max(height, width) <= self.side:
            return function(*maps)
        result: Tensor | None = None
        for top in range(0, height, self.side):
            for left in range(0, width, self.side):
                bottom, right = min(height, top + self.side), min(width, left + self.side)
                first, start = max(0, top - reach), max(0, left - reach)
                rows, columns = slice(first, bottom + reach), slice(start, right + reach)
                part = function(*(one[..., rows, columns] for one in maps))
                if result is None:
                    result = _zeros(part, height * grow // shrink, width * grow // shrink)
                inner = part[
                    ...,
                    (top - first) * grow // shrink : (bottom - first) * grow // shrink,
                    (left - start) * grow // shrink : (right - start) * grow // shrink,
                ]
                above, beside = top * grow // shrink, left * grow // shrink
                result[..., above : above + inner.shape[2], beside : beside + inner.shape[3]] = inner
                release(result, *maps)
        assert result is not None
        return result

    def block(self, block: Any, state: Tensor) -> Tensor:
        """A residual block: normalised, activated and convolved twice, beside the short way."""
        act, first, inner = block.nonlinearity, self._affine(block.norm1, state), block.conv1
        middle = self.over(lambda part: inner(act(first(part))), state, reach=1)
        second, outer = self._affine(block.norm2, middle), block.conv2

        def joined(part: Tensor, before: Tensor) -> Tensor:
            short = before if block.conv_shortcut is None else block.conv_shortcut(before)
            both: Tensor = (short + outer(act(second(part)))) / block.output_scale_factor
            return both

        return self.over(joined, middle, state, reach=1)

    def normalised(self, norm: nn.GroupNorm, act: nn.Module, layer: nn.Module, state: Tensor) -> Tensor:
        """The end of encoder and decoder."""
        affine = self._affine(norm, state)
        return self.over(lambda part: layer(act(affine(part))), state, reach=1)

    def _affine(self, norm: nn.GroupNorm, state: Tensor) -> Callable[[Tensor], Tensor]:
        """A group normalisation by the statistics of the whole."""
        if max(state.shape[2:]) <= self.side:
            return norm
        batch, channels = state.shape[:2]
        total = torch.zeros(2, batch, norm.num_groups, dtype=torch.float64, device=state.device)
        for top in range(0, state.shape[2], self.side):
            rows = state[:, :, top : top + self.side]
            for left in range(0, state.shape[3], self.side):
                part = rows[..., left : left + self.side].double().reshape(batch, norm.num_groups, -1)
                total += torch.stack([part.sum(2), part.square().sum(2)])
            release(state)
        mean, square = total / (state[0, 0].numel() * (channels // norm.num_groups))
        gain = (square - mean.square()).clamp_min(0).add(norm.eps).rsqrt()
        mean, gain = (one.repeat_interleave(channels // norm.num_groups, 1) for one in (mean, gain))
        gain = gain * norm.weight
        shift = (norm.bias - mean * gain).to(state.dtype)[:, :, None, None]
        scale = gain.to(state.dtype)[:, :, None, None]
        return lambda part: part * scale + shift


def _zeros(like: Tensor, height: int, width: int) -> Tensor:
    """Room for a map of that size, where it is best."""
    shape = (*like.shape[:2], height, width)
    large = like.device.type == "cpu" and 4 * like.shape[0] * like.shape[1] * height * width > LARGE
    return zeros_on_disk(*shape) if large else like.new_zeros(shape)
