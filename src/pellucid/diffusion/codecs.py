"""Codecs: from a picture to the state that is sampled, and back; one interface for pixels and for autoencoders.

pixel-unshuffle     4 x 4 pixels become 48 channels: nothing is lost, and nothing is to be trained
autoencoder-kl      the autoencoder of Stable Diffusion (diffusers' AutoencoderKL)
autoencoder-tiny    its small stand-in (diffusers' AutoencoderTiny)
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.diffusion.autoencoder import Fusion, decoded, encoded, is_plain
from pellucid.errors import MissingExtraError, SettingsError, unknown_name

__all__ = ["CODECS", "Autoencoder", "Codec", "PixelUnshuffle", "build_codec"]


class Codec(Protocol):
    """What every codec is: a module with these."""

    channels: int
    stride: int
    goes_over_all: bool
    """Whether it takes pictures of any size by itself, as if it saw the whole, and is given no tiles."""
    has_fidelity: bool
    """Whether `decode_beside` adds what is seen of the degraded picture."""

    def encode(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], sides divisible by `stride`, to states (B, channels, H / stride, W / stride) of
        about unit variance."""
        ...

    def decode(self, state: Tensor) -> Tensor:
        """The way back, to (B, 3, H, W)."""
        ...

    def decode_beside(self, state: Tensor, degraded: Tensor, weight: float) -> Tensor:
        """The way back, with so much of what its fidelity decoder adds, 0 to 1, from the degraded picture (B, 3, H, W)
        in [0, 1]."""
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
        self.goes_over_all, self.has_fidelity = True, False

    def encode(self, image: Tensor) -> Tensor:
        """See `Codec`."""
        return F.pixel_unshuffle((2 * image - 1) / self.SPREAD, self.stride)

    def decode(self, state: Tensor) -> Tensor:
        """See `Codec`."""
        return (F.pixel_shuffle(state, self.stride) * self.SPREAD + 1) / 2

    def decode_beside(self, state: Tensor, degraded: Tensor, weight: float) -> Tensor:
        """See `Codec`: there is nothing to add."""
        return self.decode(state)

    def spread(self, state: Tensor) -> Tensor:
        """See `Codec`."""
        return F.pixel_shuffle(state, self.stride)

    def gather(self, spread: Tensor) -> Tensor:
        """See `Codec`."""
        return F.pixel_unshuffle(spread, self.stride)


class Autoencoder(nn.Module):
    """An autoencoder of diffusers, `AutoencoderKL` or `AutoencoderTiny`, behind the codec's interface; frozen.

    It computes in float32 whatever surrounds it: at half precision values of its layers are beyond the range.

    Args:
        vae: the autoencoder.
        fidelity: beside it a decoder of what is seen of the degraded picture (`autoencoder.Fusion`), to be trained.

    Raises:
        SettingsError: a fidelity decoder for another autoencoder than AutoencoderKL.
    """

    def __init__(self, vae: Any, *, fidelity: bool = False) -> None:
        super().__init__()
        self.goes_over_all = type(vae).__name__ == "AutoencoderKL" and is_plain(vae)
        if fidelity and not self.goes_over_all:
            raise SettingsError(f"fidelity is for AutoencoderKL, not {type(vae).__name__}")
        self.has_fidelity = fidelity
        self.fusion = Fusion(vae) if fidelity else None
        self.vae = vae.requires_grad_(False)
        self.channels = int(vae.config.latent_channels)
        blocks = getattr(vae.config, "down_block_types", None) or vae.config.encoder_block_out_channels
        self.stride = 2 ** (len(blocks) - 1)
        self.scaling = float(vae.config.scaling_factor)

    def encode(self, image: Tensor) -> Tensor:
        """See `Codec`: the mode of what the encoder says, not a draw."""
        with torch.autocast(image.device.type, enabled=False):
            seen = 2 * image.float() - 1
            if self.goes_over_all:
                return encoded(self.vae, seen)[0] * self.scaling
            found = self.vae.encode(seen)
            latents: Tensor = found.latent_dist.mode() if hasattr(found, "latent_dist") else found.latents
            return latents * self.scaling

    def decode(self, state: Tensor) -> Tensor:
        """See `Codec`."""
        with torch.autocast(state.device.type, enabled=False):
            latent = state.float() / self.scaling
            image: Tensor = decoded(self.vae, latent) if self.goes_over_all else self.vae.decode(latent).sample
            return (image + 1) / 2

    def decode_beside(self, state: Tensor, degraded: Tensor, weight: float) -> Tensor:
        """See `Codec`."""
        with torch.autocast(state.device.type, enabled=False):
            with torch.no_grad():
                _, features = encoded(self.vae, 2 * degraded.float() - 1)
            latent = state.float() / self.scaling
            return (decoded(self.vae, latent, fusion=self.fusion, features=features, weight=weight) + 1) / 2

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
        settings: `factor` of pixel-unshuffle; the config of an autoencoder as diffusers has it, and `fidelity` for one
            that has a fidelity decoder.

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
    told = dict(settings or {})
    fidelity = bool(told.pop("fidelity", False))
    return Autoencoder(kind(**told), fidelity=fidelity)
