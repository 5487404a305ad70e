"""The family `sd`: a pipeline folder in the layout of Stable Diffusion 1.5 or 2.1, by diffusers and transformers.

    model_index.json, unet/, vae/, text_encoder/, tokenizer/, scheduler/

The degraded picture, encoded by the pipeline's own autoencoder, stands beside the state: `conv_in` is widened from 4 to
8 channels, the new weights zero, so that the pipeline says what it said before until it learns to look. What the
network says, epsilon or v, is read from the scheduler's config, and so is its schedule; nothing is assumed.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.diffusion.noising import PREDICTIONS
from pellucid.diffusion.prompts import Prompt
from pellucid.errors import MissingExtraError, ModelError, SettingsError, one_line
from pellucid.priors.pretrained import quiet

__all__ = ["PARTS", "StableDiffusionDenoiser", "load_pipeline", "widen"]

PARTS: Mapping[str, str] = {
    "unet": "config.json",
    "vae": "config.json",
    "text_encoder": "config.json",
    "tokenizer": "tokenizer_config.json",
    "scheduler": "scheduler_config.json",
}
"""Folders of a pipeline, and the file that each must hold."""
SCHEDULE = ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "rescale_betas_zero_snr")


class StableDiffusionDenoiser(nn.Module):
    """What a denoiser is to `Generative`, of a conditional U-Net and the text encoder that tells it words.

    Args:
        unet: a `UNet2DConditionModel`, as it comes or widened already.
        text_encoder: a `CLIPTextModel`.
        tokenizer: a `CLIPTokenizer`.
        entry: `concat`, or `none` for the pipeline as it is.
        seen: how many pictures it sees; see `SmallDenoiser`.

    Raises:
        ModelError: the U-Net takes something else beside the state, as those for inpainting do, or reads words of
            another width than the text encoder gives, as that of Stable Diffusion XL does.
    """

    sees_whole = False

    def __init__(self, unet: Any, text_encoder: Any, tokenizer: Any, entry: str = "concat", seen: int = 1) -> None:
        super().__init__()
        self.entry, self.channels = entry, int(unet.config.out_channels)
        _check_fit(unet.config, text_encoder.config, {self.channels, (1 + seen * (entry == "concat")) * self.channels})
        self.unet, self.text_encoder, self.tokenizer = unet, text_encoder.requires_grad_(False), tokenizer
        if entry == "concat" and unet.config.in_channels == self.channels:
            widen(unet, (1 + seen) * self.channels)
        self.multiple = 2 ** (len(unet.config.block_out_channels) - 1)

    def context(self, thumb: Tensor | None, grid: Tensor | None, count: int, device: torch.device) -> None:
        """See `SmallDenoiser.context`: this family is told nothing of the whole."""

    @torch.no_grad()
    def told(self, prompts: Sequence[Prompt]) -> Tensor:
        """Prompts as the text encoder reads their canonical texts: (B, tokens, width).

        Raises:
            SettingsError: one is longer than the text encoder reads: its end, where the tasks stand, would be lost.
        """
        longest = min(self.tokenizer.model_max_length, self.text_encoder.config.max_position_embeddings)
        texts = [str(prompt) for prompt in prompts]
        for text in texts:
            tokens = len(self.tokenizer(text).input_ids)
            if tokens > longest:
                raise SettingsError(
                    f"prompt {text!r}: {tokens} tokens, and the text encoder reads {longest}; say less of what is seen"
                )
        read = self.tokenizer(texts, padding="max_length", max_length=longest, return_tensors="pt")
        device = next(self.text_encoder.parameters()).device
        hidden: Tensor = self.text_encoder(read.input_ids.to(device)).last_hidden_state
        return hidden

    def forward(
        self, state: Tensor, degraded: Tensor, times: Tensor, told: Tensor, scale: float = 1.0, context: Any = None
    ) -> Tensor:
        """See `SmallDenoiser.forward`."""
        inputs = torch.cat([state, degraded], 1) if self.entry == "concat" else state
        said: Tensor = self.unet(inputs, times, encoder_hidden_states=told.to(inputs.dtype)).sample
        return said


def widen(unet: Any, channels: int) -> None:
    """Gives a U-Net's `conv_in` more channels, whose weights are zero; its config says so, too."""
    old = unet.conv_in
    new = nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, old.padding, device=old.weight.device).to(
        old.weight.dtype
    )
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight
        if new.bias is not None:
            new.bias.copy_(old.bias)
    unet.conv_in = new
    unet.register_to_config(in_channels=channels)


def load_pipeline(source: str) -> dict[str, Any]:
    """The parts of a pipeline: `unet`, `vae`, `text_encoder`, `tokenizer`, and of its scheduler `prediction` and
    `schedule`.

    Args:
        source: a folder, or a repository on the Hugging Face hub, `owner/repository`.

    Raises:
        ModelError: it is no pipeline of this layout; says what is missing.
        MissingExtraError: diffusers or transformers is not installed.
    """
    folder = Path(source)
    if folder.is_dir():
        _check(folder)
    elif folder.is_absolute() or source.count("/") != 1:
        raise ModelError(f"{source}: no such folder, and no owner/repository of the hub")
    try:
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from diffusers.schedulers.scheduling_ddim import DDIMScheduler
        from transformers import CLIPTextModel, CLIPTokenizer
    except ImportError:
        raise MissingExtraError("diffusers", "diffusion") from None
    parts: dict[str, Any] = {}
    kinds = {
        "unet": UNet2DConditionModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
        "tokenizer": CLIPTokenizer,
    }
    with torch.device("cpu"), quiet():
        for name, kind in kinds.items():
            try:
                parts[name] = kind.from_pretrained(source, subfolder=name, local_files_only=folder.is_dir())
            except Exception as error:  # both libraries report damage in many ways
                raise ModelError(f"{source}: its {name} cannot be loaded ({one_line(error)})") from error
        try:
            config = dict(DDIMScheduler.load_config(source, subfolder="scheduler", local_files_only=folder.is_dir()))
        except Exception as error:
            raise ModelError(f"{source}: its scheduler cannot be loaded ({one_line(error)})") from error
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise ModelError(f"{source}: its scheduler says that the network predicts {prediction!r}; known: {PREDICTIONS}")
    schedule = {"rescale_betas_zero_snr": False} | {key: config[key] for key in SCHEDULE if key in config}
    return parts | {"prediction": prediction, "schedule": schedule}


def _check_fit(unet: Any, text_encoder: Any, channels: set[int]) -> None:
    """Refuses a U-Net that takes other channels than these, or other words than those of the text encoder."""
    if unet.in_channels not in channels:
        known = " or ".join(map(str, sorted(channels)))
        raise ModelError(f"the pipeline's unet takes {unet.in_channels} channels; the family sd gives it {known}")
    if unet.cross_attention_dim != text_encoder.hidden_size:
        raise ModelError(
            f"the pipeline's unet reads words of {unet.cross_attention_dim} numbers, and its text_encoder gives "
            f"{text_encoder.hidden_size}; the family sd takes the layout of Stable Diffusion 1.5 and 2.1"
        )


def _check(folder: Path) -> None:
    missing = [f"{part}/{file}" for part, file in PARTS.items() if not (folder / part / file).is_file()]
    if not (folder / "model_index.json").is_file():
        missing.insert(0, "model_index.json")
    if missing:
        raise ModelError(f"{folder}: not a folder of a Stable Diffusion pipeline ({', '.join(missing)} missing)")
    try:
        kind = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: its unet/config.json cannot be read ({one_line(error)})") from error
    if kind != "UNet2DConditionModel":
        raise ModelError(f"{folder}: its unet is a {kind}; the family sd takes a UNet2DConditionModel")
