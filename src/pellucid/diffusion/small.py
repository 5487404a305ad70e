"""The family `small`: a denoiser of our own, built from a config, with what it sees and what it can be told.

How the degraded picture enters:

    none          not at all: a prior
    concat        beside the state, as more channels (Saharia et al., 2022, arXiv 2104.07636); weights begin at zero
    controlnet    through a copy of the way down, whose features are added to those of the frozen denoiser by 1x1
                  convolutions that begin at zero (Zhang et al., ICCV 2023, arXiv 2302.05543)
    sft           through an encoder that knows the time and scales and shifts the denoiser's features place by place
                  (StableSR: Wang et al., IJCV 2024, arXiv 2305.07015, section 3.1), from zero

What it is told of the whole picture, each from zero, too:

    none, halo    nothing; with `halo` training counts the middle of a patch alone, as tiles that overlap do
    thumb         the whole picture, small
    coords        where the part lies in it
"""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.diffusion.prompts import Prompt
from pellucid.diffusion.unet import SmallUNet
from pellucid.diffusion.words import OCTAVES as OCTAVES_OF_NUMBERS
from pellucid.diffusion.words import WordEncoder
from pellucid.errors import SettingsError, unknown_name

__all__ = ["CONTEXTS", "OPERATIONS_OF_SMALL", "THUMB", "SmallDenoiser"]

OPERATIONS_OF_SMALL = ("denoise", "deblur", "defocus deblur", "motion deblur", "dejpeg", "sr")
"""What a small denoiser is told of where its settings do not say."""
CONTEXTS = ("none", "halo", "thumb", "coords")
THUMB = 32
"""Pixels of the side of the whole picture made small."""
OCTAVES = 4


class SmallDenoiser(nn.Module):
    """What a denoiser is to `Generative`: state, degraded picture as a state, time and words to a prediction.

    Args:
        channels: of a state.
        entry: how the degraded picture enters.
        unet: arguments of `SmallUNet`.
        operations: verbs of prompts that it can be told.
        context: what it is told of the whole picture, of CONTEXTS.
        seen: how many pictures it sees: the degraded one, and perhaps what another model made of it.
        octaves: of the numbers of prompts; see `WordEncoder`.
    """

    def __init__(
        self,
        channels: int,
        entry: str = "concat",
        unet: Mapping[str, Any] | None = None,
        operations: Sequence[str] = OPERATIONS_OF_SMALL,
        context: str = "none",
        seen: int = 1,
        octaves: int = OCTAVES_OF_NUMBERS,
    ) -> None:
        super().__init__()
        if context not in CONTEXTS:
            raise SettingsError(unknown_name("context", context, CONTEXTS))
        self.entry, self.channels, self.kind = entry, channels, context
        self.unet = SmallUNet(channels * (1 + seen if entry == "concat" else 1), channels, **(unet or {}))
        self.words = WordEncoder(operations, self.unet.embedding, octaves)
        self.multiple = self.unet.multiple
        if entry == "concat":
            with torch.no_grad():  # at first a denoiser does as if it saw none
                self.unet.conv_in.weight[:, channels:] = 0
        self.control = ControlBranch(self.unet, seen * channels) if entry == "controlnet" else None
        self.modulation = Modulation(self.unet, seen * channels) if entry == "sft" else None
        self.whole = _context_encoder(context, self.unet.embedding)
        self.register_load_state_dict_pre_hook(_from_prior)  # type: ignore[no-untyped-call]

    @property
    def sees_whole(self) -> bool:
        """Whether it is shown the whole picture, small."""
        return self.kind == "thumb"

    def told(self, prompts: Sequence[Prompt]) -> Tensor:
        """Prompts as numbers; see `WordEncoder.numbered`."""
        return self.words.numbered(prompts)

    def context(self, thumb: Tensor | None, grid: Tensor | None, count: int, device: torch.device) -> Tensor | None:
        """What the denoiser is told of the whole picture and of the part's place in it; None where it is told nothing.

        Args:
            thumb: the whole picture, small, (1 or B, 3, THUMB, THUMB) in [0, 1].
            grid: the part's place, (1 or B, 4), as fractions; None for all of it.
            count: parts of a batch.
            device: of the result.
        """
        if self.kind == "thumb":
            return None if thumb is None else (2 * thumb.to(device) - 1).expand(count, -1, -1, -1)
        if self.kind == "coords":
            grid = torch.tensor([[0.0, 0.0, 1.0, 1.0]]) if grid is None else grid
            return place_features(grid.to(device)).expand(count, -1)
        return None

    def forward(
        self,
        state: Tensor,
        degraded: Tensor,
        times: Tensor,
        told: Tensor,
        scale: float | Tensor = 1.0,
        context: Tensor | None = None,
    ) -> Tensor:
        """What it says of states (B, channels, h, w) at times (B,), of pictures that look so, when it is told so.

        Args:
            state: what is between noise and picture.
            degraded: the degraded picture, as a state; and behind it, in channels, what else is seen.
            times: whole numbers.
            told: what `told` gives.
            scale: of what an entry `controlnet` or `sft` adds: a number, or one for each place, (1 or B, 1, h, w).
            context: what `context` gives.
        """
        embedding = self.unet.embed(times) + self.words(told)
        if self.whole is not None and context is not None:
            embedding = embedding + self.whole(context)
        inputs = torch.cat([state, degraded], 1) if self.entry == "concat" else state
        modulation = None
        if self.modulation is not None:
            modulation = [_at(scale, level) * one for level, one in enumerate(self.modulation(degraded, embedding))]
        if self.control is None:
            said: Tensor = self.unet(inputs, embedding, modulation)
            return said
        added, more = self.control(torch.cat([state, degraded], 1), embedding)
        features, skips = self.unet.encode(inputs, embedding)
        skips = [skip + _at(scale, level) * one for level, (skip, one) in enumerate(zip(skips, more, strict=True))]
        features = features + _at(scale, len(more)) * added
        return self.unet.decode(features, skips, embedding) + self.unet.short_way(inputs, embedding)


class ControlBranch(nn.Module):
    """A copy of a U-Net's way down, which sees state and degraded picture, and 1x1 convolutions that begin at zero."""

    def __init__(self, unet: SmallUNet, seen: int) -> None:
        super().__init__()
        self.copy = copy.deepcopy(unet)
        for name in ("decoders", "upsamples", "conv_out", "gains", "time"):
            delattr(self.copy, name)
        self.copy.conv_in = nn.Conv2d(unet.in_channels + seen, unet.widths[0], 3, padding=1)
        self.out = nn.ModuleList(_zero(nn.Conv2d(width, width, 1)) for width in unet.widths)

    def forward(self, inputs: Tensor, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What is added to the coarsest features, and to those of each finer scale."""
        features, skips = self.copy.encode(inputs, embedding)
        *finer, coarsest = self.out
        return coarsest(features), [layer(skip) for layer, skip in zip(finer, skips, strict=True)]


class Modulation(nn.Module):
    """From the degraded picture and the embedding, which knows the time, to scales and shifts of all features."""

    def __init__(self, unet: SmallUNet, seen: int, width: int = 48) -> None:
        super().__init__()
        self.told = nn.Linear(unet.embedding, 2 * width)
        self.first = nn.Conv2d(seen, width, 3, padding=1)
        self.steps = nn.ModuleList(nn.Conv2d(width, width, 2, stride=2) for _ in unet.widths[1:])
        self.out = nn.ModuleList(_zero(nn.Conv2d(width, 2 * one, 3, padding=1)) for one in unet.widths)

    def forward(self, degraded: Tensor, embedding: Tensor) -> list[Tensor]:
        """Of each scale, finest first, (B, 2 width, h, w)."""
        scale, shift = self.told(nn.functional.silu(embedding))[:, :, None, None].chunk(2, 1)
        features = nn.functional.silu(self.first(degraded) * (1 + scale) + shift)
        found = [self.out[0](features)]
        for step, out in zip(self.steps, list(self.out)[1:], strict=True):
            features = nn.functional.silu(step(features))
            found.append(out(features))
        return found


def _at(scale: float | Tensor, level: int) -> float | Tensor:
    """A scale as the features of a level have it, each half as fine as the one before."""
    return nn.functional.avg_pool2d(scale, 2**level) if isinstance(scale, Tensor) else scale


def place_features(grid: Tensor) -> Tensor:
    """Sines and cosines of a part's place, (B, 4) as fractions, and the logarithm of its sides: (B, 34)."""
    angles = math.pi * grid[:, :, None] * 2.0 ** torch.arange(OCTAVES, device=grid.device)
    sides = (grid[:, 2:] - grid[:, :2]).clamp_min(1e-4).log2()
    return torch.cat([angles.sin().flatten(1), angles.cos().flatten(1), sides], 1)


def _context_encoder(context: str, embedding: int) -> nn.Module | None:
    if context == "thumb":
        layers: list[nn.Module] = []
        for before, after in ((3, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.SiLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), _zero(nn.Linear(256, embedding)))
    if context == "coords":
        return nn.Sequential(nn.Linear(8 * OCTAVES + 2, 64), nn.SiLU(), _zero(nn.Linear(64, embedding)))
    return None


def _zero(layer: Any) -> Any:
    """A layer whose weights begin at zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _from_prior(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Widens the weights of a denoiser that saw no degraded picture: zeros for what comes in besides, and its own way
    down for the copy of it."""
    assert isinstance(module, SmallDenoiser)
    for name in ("unet.conv_in.weight", "unet.gains.weight", "unet.gains.bias"):
        wanted, given = module.get_parameter(name), state.get(prefix + name)
        dimension = 1 if name.startswith("unet.conv_in") else 0
        if given is not None and given.shape[dimension] < wanted.shape[dimension]:
            grown = given.new_zeros(wanted.shape)
            grown.narrow(dimension, 0, given.shape[dimension]).copy_(given)
            state[prefix + name] = grown
    own = module.state_dict()
    added = tuple(
        name
        for name in ("control.", "modulation.", "whole.")
        if not any(key.startswith(prefix + name) for key in state)
    )
    for key, value in own.items():
        if not added or not key.startswith(added):
            continue
        source = key.replace("control.copy.", "unet.", 1)
        given = state.get(prefix + source) if key.startswith("control.copy.") else None
        if given is not None and given.shape != value.shape:  # the first convolution sees the degraded picture, too
            grown = given.new_zeros(value.shape)
            grown.narrow(1, 0, given.shape[1]).copy_(given)
            given = grown
        state[prefix + key] = value if given is None else given.clone()
