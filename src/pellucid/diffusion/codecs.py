"""Codecs: from a picture to the state that is sampled, and back; one interface for pixels and for autoencoders.

pixel-unshuffle     4 x 4 pixels become 48 channels: nothing is lost, and nothing is to be trained
autoencoder-kl      the autoencoder of Stable Diffusion (diffusers' AutoencoderKL)
autoencoder-tiny    its small stand-in (diffusers' AutoencoderTiny)
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.errors import MissingExtraError, SettingsError, unknown_name

__all__ = ["CODECS", "Autoencoder", "Codec", "PixelUnshuffle", "build_codec"]


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


class Autoencoder(nn.Module):
    """An autoencoder of diffusers, `AutoencoderKL` or `AutoencoderTiny`, behind the codec's interface; frozen.

    Args:
        vae: the autoencoder.
    """

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae.requires_grad_(False)
        self.channels = int(vae.config.latent_channels)
        blocks = getattr(vae.config, "down_block_types", None) or vae.config.encoder_block_out_channels
        self.stride = 2 ** (len(blocks) - 1)
        self.scaling = float(vae.config.scaling_factor)

    def encode(self, image: Tensor) -> Tensor:
        """See `Codec`: the mode of what the encoder says, not a draw."""
        encoded = self.vae.encode(2 * image - 1)
        latents: Tensor = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        return latents * self.scaling

    def decode(self, state: Tensor) -> Tensor:
        """See `Codec`."""
        decoded: Tensor = self.vae.decode(state / self.scaling).sample
        return (decoded + 1) / 2

    def spread(self, state: Tensor) -> Tensor:
        """See `Codec`: latents know no finer places than their own."""
        return state

    def gather(self, spread: Tensor) -> Tensor:
        """See `Codec`."""
        return spread


CODECS = ("pixel-unshuffle", "autoencoder-kl", "autoencoder-tiny")


def build_codec(name: str, settings: Mapping[str, Any] | None = None) -> Any:
    """The codec of that name, with fresh weights where it has any.

    Args:
        name: of CODECS.
        settings: `factor` of pixel-unshuffle; the config of an autoencoder as diffusers has it.

    Raises:
        SettingsError: an unknown name, or settings that it does not take.
        MissingExtraError: diffusers is not installed.
    """
    if name not in CODECS:
        raise SettingsError(unknown_name("codec", name, CODECS))
    if name == "pixel-unshuffle":
        return PixelUnshuffle(**(settings or {}))
    try:
        from diffusers import AutoencoderKL, AutoencoderTiny
    except ImportError:
        raise MissingExtraError("diffusers", "diffusion") from None
    kind = AutoencoderKL if name == "autoencoder-kl" else AutoencoderTiny
    return Autoencoder(kind(**(settings or {})))
