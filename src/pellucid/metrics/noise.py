"""Noise exactly as the tables' scripts draw it, so that anybody can remake a degraded picture bit for bit."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import SettingsError
from pellucid.metrics.protocols import Protocol

__all__ = ["NoiseStream"]


class NoiseStream:
    """Degrades the pictures of one run in order, by the convention of a protocol.

    "float": picture in float32, + RandomState(seed).normal(0, sigma / 255, (H, W, C)) in float64, unclipped, back to
    float32; the generator starts anew for each picture, so a picture's noise depends on its size alone.

    "8-bit": levels 0..255 + RandomState.randn(H, W, C) * sigma, clipped to 0..255, truncated to whole levels; one
    generator for the whole run, so the order of pictures and of levels of noise matters (the tables': all pictures at
    15, then 25, then 50).

    Raises SettingsError for a protocol that draws no noise.
    """

    def __init__(self, protocol: Protocol, seed: int = 0) -> None:
        if protocol.noise == "none":
            raise SettingsError(
                f"the protocol {protocol.name} draws no noise: it needs pairs of degraded and clean pictures"
            )
        self.protocol = protocol
        self.seed = seed
        self._generator = np.random.RandomState(seed)

    def degrade(self, clean: Tensor, sigma: float) -> Tensor:
        """The next degraded pictures, float32 (B, C, H, W); sigma on the scale 0..255.

        `clean` is in [0, 1], cropped by `Protocol.crop` already; for a grey protocol, one plane of noise serves all
        channels. Raises ValueError for a picture not cropped, of a wrong number of channels, or a negative sigma.
        """
        if sigma < 0:
            raise ValueError(f"sigma must not be negative, got {sigma}")
        channels = (1, 3) if self.protocol.colour == "grey" else (3,)
        if clean.ndim != 4 or clean.shape[1] not in channels:
            raise ValueError(
                f"the protocol {self.protocol.name} expects pictures (B, 3, H, W), got {tuple(clean.shape)}"
            )
        if self.protocol.crop(clean).shape != clean.shape:
            raise ValueError(
                f"the protocol {self.protocol.name} draws noise for cropped pictures: use Protocol.crop first"
            )
        return torch.stack([self._degrade(picture, sigma) for picture in clean])

    def _degrade(self, picture: Tensor, sigma: float) -> Tensor:
        channels = 1 if self.protocol.colour == "grey" else 3
        shape = (*picture.shape[-2:], channels)
        if self.protocol.noise == "float":
            # normal(0, s) is 0 + s times the standard draw, to the last bit.
            noise = _first_draws(self.seed, shape) * (sigma / 255)
            return (picture.double() + _planes(noise, picture)).float()
        noise = self._generator.randn(*shape) * sigma
        levels = (picture.clamp(0, 1) * 255).round().double() + _planes(noise, picture)
        return levels.clamp(0, 255).floor().float() / 255


@lru_cache(maxsize=4)
def _first_draws(seed: int, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """The first standard normal numbers of a generator; the same for all pictures of one size and all levels."""
    return np.random.RandomState(seed).standard_normal(shape)


def _planes(noise: NDArray[np.float64], like: Tensor) -> Tensor:
    """(H, W, C) as (C, H, W) on the picture's device."""
    return torch.from_numpy(noise).permute(2, 0, 1).to(like.device)
