"""Stable Diffusion as a prior, through diffusers: what its denoiser sees in an image on the way to removing noise.

This is "-s" of the PTG-RM paper's table 1. The image is encoded by the autoencoder, noise of one timestep is added to
the latent, and the UNet runs with an empty prompt down to its middle block, whose features are the prior. Nothing in it
is
random: the latent is the mean of the autoencoder's distribution, and the noise is the same for every image.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError, SettingsError
from pellucid.priors.contract import FrozenPrior, unit_rms
from pellucid.priors.pretrained import load_module, load_pretrained, require

__all__ = ["DEFAULT_STABLE_DIFFUSION", "DEFAULT_TIMESTEP", "StableDiffusionPrior", "stable_diffusion"]

DEFAULT_STABLE_DIFFUSION = "stable-diffusion-v1-5/stable-diffusion-v1-5"
"""1280 numbers from 512 x 512."""
DEFAULT_TIMESTEP = 100
"""Of 1000: little noise, so that what degrades the image is not drowned."""

FILES: Mapping[str, Sequence[str]] = {
    "unet/config.json": ("unet/config.json",),
    "unet/diffusion_pytorch_model.safetensors": ("unet/*.safetensors",),
    "vae/config.json": ("vae/config.json",),
    "vae/diffusion_pytorch_model.safetensors": ("vae/*.safetensors",),
    "text_encoder/config.json": ("text_encoder/config.json",),
    "text_encoder/model.safetensors": ("text_encoder/*.safetensors",),
    "tokenizer": ("tokenizer/*.json",),
    "scheduler/scheduler_config.json": ("scheduler/scheduler_config.json",),
}


class StableDiffusionPrior(FrozenPrior):
    """The features of the UNet's middle block, averaged over the image; `maps` gives them where they lie.

    The view is the whole image resized to the square that the model was trained on. Built by `stable_diffusion`.

    Args:
        vae: `AutoencoderKL` of diffusers; its decoder is taken off, so give a copy if you need it.
        unet: `UNet2DConditionModel` of diffusers; what follows its middle block is taken off likewise.
        prompt: the text encoder's states for the prompt, (1, tokens, C).
        kept: the part of the latent's variance that the noise leaves at this timestep, in (0, 1]; DDPM's product of
            alphas.
        timestep: how much noise, from 0 on, as the UNet was told in its training.
        name: recorded in model files.
        seed: of the noise.

    Raises ModelError when the UNet needs more than a latent, a timestep and a prompt.
    """

    prompt: Tensor
    noise: Tensor

    def __init__(
        self, vae: Any, unet: Any, *, prompt: Tensor, kept: float, timestep: int, name: str, seed: int = 0
    ) -> None:
        if unet.config.in_channels != vae.config.latent_channels or unet.config.addition_embed_type is not None:
            raise ModelError(
                f"{name}: expected Stable Diffusion 1 or 2; this UNet takes more than a latent and a prompt"
            )
        cells = unet.config.sample_size
        side = cells * 2 ** (len(vae.config.block_out_channels) - 1)
        super().__init__(name, unet.config.block_out_channels[-1], (side, side))
        del vae.decoder, vae.post_quant_conv
        # With nothing after the middle block, its features are what the UNet returns.
        unet.up_blocks, unet.conv_norm_out, unet.conv_out = nn.ModuleList(), None, nn.Identity()
        self.vae, self.unet = vae, unet
        self.timestep, self.kept = timestep, kept
        noise = torch.randn(1, unet.config.in_channels, cells, cells, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("noise", noise, persistent=False)
        self.register_buffer("prompt", prompt, persistent=False)
        self.freeze()

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, 3, *size) in [0, 1] to vectors (B, width), float32, of unit root-mean-square."""
        return unit_rms(self._features(view).mean((2, 3)))

    @torch.no_grad()
    def maps(self, image: Tensor) -> Tensor:
        """The middle block's features: (B, 3, H, W) in [0, 1] to (B, C, h, w), as they are, not normalised."""
        return self._features(self.prepare(image))

    def extra_repr(self) -> str:
        """What `print` and caches tell such priors apart by."""
        return f"{super().extra_repr()}, timestep={self.timestep}, kept={self.kept}"

    def _features(self, view: Tensor) -> Tensor:
        pixels = view.to(self.noise.dtype) * 2 - 1
        latent = self.vae.encode(pixels).latent_dist.mode() * self.vae.config.scaling_factor
        noisy = self.kept**0.5 * latent + (1 - self.kept) ** 0.5 * self.noise
        prompt = self.prompt.expand(len(view), -1, -1)
        features: Tensor = self.unet(noisy, self.timestep, encoder_hidden_states=prompt).sample
        return features.float()


def stable_diffusion(name: str = DEFAULT_STABLE_DIFFUSION, timestep: int = DEFAULT_TIMESTEP) -> StableDiffusionPrior:
    """Stable Diffusion 1 or 2, by its name on the Hugging Face hub or by a folder saved by `save_pretrained`.

    The cache is looked at first; only a model that is not there is downloaded. Raises MissingExtraError without
    diffusers or transformers, SettingsError for a timestep that the model has not, and ModelError when files are
    missing, cannot be had, or hold another kind of model.
    """
    require("diffusers", "diffusion")
    require("transformers", "diffusion")

    def load(found: str, local: bool) -> StableDiffusionPrior:
        return _load(found, local, timestep)

    return load_pretrained("stable-diffusion", name, load, files=FILES, what="a Stable Diffusion model")


def _load(name: str, local: bool, timestep: int) -> StableDiffusionPrior:
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

    scheduler = DDPMScheduler.from_pretrained(name, subfolder="scheduler", local_files_only=local)
    steps = len(scheduler.alphas_cumprod)
    if not 0 <= timestep < steps:
        raise SettingsError(f"stable-diffusion:{name}: timestep {timestep} is not in 0 to {steps - 1}")
    unet = load_module(UNet2DConditionModel, name, local, part="UNet", subfolder="unet", use_safetensors=True)
    vae = load_module(AutoencoderKL, name, local, part="autoencoder", subfolder="vae", use_safetensors=True)
    return StableDiffusionPrior(
        vae,
        unet,
        prompt=_empty_prompt(name, local),
        kept=float(scheduler.alphas_cumprod[timestep]),
        timestep=timestep,
        name=f"stable-diffusion:{name}@{timestep}",
    )


@torch.no_grad()
def _empty_prompt(name: str, local: bool) -> Tensor:
    """The text encoder's states for "", (1, tokens, C); computed once, and the text encoder is forgotten."""
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(name, subfolder="tokenizer", local_files_only=local)
    encoder = load_module(CLIPTextModel, name, local, part="text encoder", subfolder="text_encoder")
    length = encoder.config.max_position_embeddings
    tokens = tokenizer("", padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids
    states: Tensor = encoder.eval()(tokens).last_hidden_state
    return states
