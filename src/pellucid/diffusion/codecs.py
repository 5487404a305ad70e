"""Codecs: from a picture to the state that is sampled, and back; one interface for pixels and for autoencoders.

pixel-unshuffle     4 x 4 pixels become 48 channels: nothing is lost, and nothing is to be trained
autoencoder-kl      the autoencoder of Stable Diffusion (diffusers' AutoencoderKL)
autoencoder-tiny    its small stand-in (diffusers' AutoencoderTiny)
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.errors import SettingsError, unknown_name

__all__ = ["CODECS", "Codec", "PixelUnshuffle", "build_codec"]


class Codec(Protocol):
    """What every codec is: a module with these."""

    channels: int
    stride: int

    def encode(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], sides divisible by `stride`, to states (B, channels, H / stride, W / stride) of
        about unit variance."""
        ...

    def decode(self, state: Tensor) -> Tensor:
        """The way back, to (B, 3, H, W)."""
        ...

    def spread(self, state: Tensor) -> Tensor:
        """What is like a state, at the finest places that it knows, so that frequencies can be told apart."""
        ...

    def gather(self, spread: Tensor) -> Tensor:
        """The way back."""
        ...


class PixelUnshuffle(nn.Module):
    """Blocks of pixels as channels, scaled to about unit variance: lossless.

    Args:
        factor: pixels of a block's side.
    """

    SPREAD = 0.5
    """Photographs in [-1, 1] have about this standard deviation."""

    def __init__(self, factor: int = 4) -> None:
        super().__init__()
        if factor < 1:
            raise ValueError(f"a block has a side of one pixel at least, got {factor}")
        self.stride, self.channels = factor, 3 * factor * factor

    def encode(self, image: Tensor) -> Tensor:
        """See `Codec`."""
        return F.pixel_unshuffle((2 * image - 1) / self.SPREAD, self.stride)

    def decode(self, state: Tensor) -> Tensor:
        """See `Codec`."""
        return (F.pixel_shuffle(state, self.stride) * self.SPREAD + 1) / 2

    def spread(self, state: Tensor) -> Tensor:
        """See `Codec`."""
        return F.pixel_shuffle(state, self.stride)

    def gather(self, spread: Tensor) -> Tensor:
        """See `Codec`."""
        return F.pixel_unshuffle(spread, self.stride)


CODECS = ("pixel-unshuffle", "autoencoder-kl", "autoencoder-tiny")


def build_codec(name: str, settings: Mapping[str, Any] | None = None) -> Any:
    """The codec of that name, with fresh weights where it has any.

    Raises:
        SettingsError: an unknown name, or settings that it does not take.
    """
    if name not in CODECS:
        raise SettingsError(unknown_name("codec", name, CODECS))
    if name == "pixel-unshuffle":
        return PixelUnshuffle(**(settings or {}))
    raise SettingsError(name)
