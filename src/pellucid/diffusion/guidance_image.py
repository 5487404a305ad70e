"""Guidance images: what a diffusion model makes of the words of a degraded picture, cleaned.

    picture -> vision tower -> words -> cleaned words -> text encoder -> U-Net in steps -> guidance image

Stage 1 learns to say a picture in words (`WordMapper`, and the keys and values by which the U-Net listens), stage 2 to
clean them (`WordCleaner`); the pipeline and the vision tower stay as they are. At no time is a clean picture looked at
to make guidance of a degraded one.

Source: "Improving Image Restoration through Removing Degradations in Textual Representations" (CVPR 2024, arXiv
2312.17334), sections 3.1 and 3.2. Published: stable-diffusion-2-1-base, and CLIP ViT-H/14 of LAION as vision tower.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pellucid.diffusion.codecs import Autoencoder
from pellucid.diffusion.controls import Controls
from pellucid.diffusion.image_words import HIDDEN, WordCleaner, WordMapper, spoken, words_place
from pellucid.diffusion.noising import Noising
from pellucid.diffusion.schedulers import scheduler_for, times_of
from pellucid.diffusion.stable_diffusion import load_pipeline
from pellucid.errors import ModelError, SettingsError, one_line
from pellucid.files import written_whole
from pellucid.priors.clip import clip

__all__ = ["PARTS_THAT_LEARN", "GuidanceMaker", "Stage", "load_guidance_maker", "save_guidance_maker"]

Stage = Literal["image-to-words", "clean"]
PARTS_THAT_LEARN: Mapping[str, tuple[str, ...]] = {
    "image-to-words": ("to_words.", ".attn2.to_k.", ".attn2.to_v."),
    "clean": ("clean.",),
}
"""Of a stage's parameters, those whose names hold one of these learn."""
KEY = "pellucid-words"
"""Of a file's metadata, under which its settings stand."""
FORMAT = 1


class GuidanceMaker(nn.Module):
    """A diffusion pipeline, a vision tower, and what brings words from the one to the other.

    Its state, as files and checkpoints hold it, is what learns in either stage; the rest is of the folders.

    Args:
        pipeline: a folder in the layout of Stable Diffusion, or its name on the hub; its network must say epsilon.
        vision: a folder or name of a CLIP with an image tower.
        count: of words.
        hidden: units of the networks between.
        cleaned: whether it has learnt to clean words.

    Raises:
        ModelError: a part cannot be loaded, or is of another kind.
        SettingsError: there is no room for so many words.
    """

    def __init__(
        self, pipeline: str, vision: str, *, count: int = 20, hidden: int = HIDDEN, cleaned: bool = False
    ) -> None:
        super().__init__()
        parts = load_pipeline(pipeline)
        if parts["prediction"] != "epsilon":
            raise ModelError(
                f"{pipeline}: its network predicts {parts['prediction']!r}, and words are learnt by the noise: take a "
                "pipeline that predicts 'epsilon', such as stable-diffusion-2-1-base"
            )
        tower = clip(vision)
        if tower._tower.class_tokens != 1:
            raise ModelError(f"{vision}: a vision tower with a class token is needed, as CLIP's")
        self.settings = {"pipeline": pipeline, "vision": vision, "count": count, "hidden": hidden}
        self.tower, self.codec = tower, Autoencoder(parts["vae"])
        self.unet, self.text_encoder, self.tokenizer = parts["unet"], parts["text_encoder"], parts["tokenizer"]
        self.noising = Noising("epsilon", parts["schedule"])
        self.width = int(self.text_encoder.config.hidden_size)
        length = min(self.tokenizer.model_max_length, self.text_encoder.config.max_position_embeddings)
        self.length = int(length)
        self.ids, self.place = words_place(self.tokenizer, self.length, count)
        self.to_words = WordMapper(int(tower.module.config.hidden_size), self.width, count, hidden)
        self.clean = WordCleaner(self.width, count, hidden)
        self.cleaned = cleaned
        self.requires_grad_(False).eval()

    @property
    def side(self) -> int:
        """Pixels of a guidance image's side."""
        return int(self.unet.config.sample_size) * int(self.codec.stride)

    def learns(self, stage: Stage) -> None:
        """Lets what a stage trains take gradients, and nothing else."""
        for name, value in self.named_parameters():
            value.requires_grad_(any(part in name for part in PARTS_THAT_LEARN[stage]))

    def train(self, mode: bool = True) -> "GuidanceMaker":
        """Stays as it is evaluated: the frozen parts have dropout, and those that learn have none."""
        return super().train(False)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:  # type: ignore[override]
        """What learns in either stage."""
        state = super().state_dict(*args, **kwargs)
        learnt = [part for parts in PARTS_THAT_LEARN.values() for part in parts]
        return {name: value for name, value in state.items() if any(part in name for part in learnt)}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Takes what `state_dict` gave."""
        own = self.state_dict()
        wrong = {name for name, value in own.items() if name in state_dict and state_dict[name].shape != value.shape}
        unlike = sorted(own.keys() ^ state_dict.keys()) + sorted(wrong)
        if strict and unlike:
            raise RuntimeError(f"{unlike[0]} is missing, unknown or of another shape")
        return super().load_state_dict(state_dict, strict=False, assign=assign)

    def words(self, image: Tensor) -> Tensor:
        """The words of pictures (B, 3, H, W) in [0, 1], any size, seen whole: (B, count, width)."""
        with torch.no_grad():
            pixels = self.tower.normalise(self.tower.prepare(image))
            tokens = self.tower.module(pixel_values=pixels).last_hidden_state
        found: Tensor = self.to_words(tokens)
        return found

    def said(self, words: Tensor) -> Tensor:
        """What the U-Net is told by words: "a photo of a", and the words, as the text encoder reads it: (B, length,
        width)."""
        ids = self.ids.to(words.device).expand(len(words), -1)
        with spoken(self.text_encoder, words, self.place):
            states: Tensor = self.text_encoder(ids).last_hidden_state
        return states

    def told(self, text: str) -> Tensor:
        """What the U-Net is told by a text, (1, length, width)."""
        read = self.tokenizer(
            [text], padding="max_length", max_length=self.length, truncation=True, return_tensors="pt"
        )
        states: Tensor = self.text_encoder(read.input_ids.to(self.ids.device)).last_hidden_state
        return states

    def error(self, words: Tensor, latent: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """What training minimises: the squared error of the noise that the U-Net says, told words; a scalar.

        Args:
            words: that it is told, (B, count, width): in stage 1 those of a picture, in stage 2 those of a degraded
                one, cleaned.
            latent: the codec's states of what is under noise: in stage 1 of the same picture, in stage 2 of its clean
                partner.
            times: (B,) int64.
            noise: like the states.
        """
        state = self.noising.noised(latent, noise, times)
        predicted: Tensor = self.unet(state, times, encoder_hidden_states=self.said(words)).sample
        return F.mse_loss(predicted.float(), noise)

    @torch.no_grad()
    def make(
        self, told: Tensor, *, steps: int = 100, guidance: float = 5.0, seed: int = 42, eta: float = 0.0
    ) -> Tensor:
        """A picture from what the U-Net is told (B, length, width), by DDIM: (B, 3, side, side) in [0, 1].

        Args:
            told: see `said` and `told`.
            steps: of DDIM.
            guidance: weight of the difference to what is said without words.
            seed: of the noise, the same for every picture.
            eta: of DDIM; 0 draws nothing on the way.
        """
        scheduler = scheduler_for(Controls(steps=steps, sampler="ddim"), self.noising)
        cells, device = int(self.unet.config.sample_size), told.device
        generator = torch.Generator().manual_seed(seed)
        state = torch.randn(1, self.codec.channels, cells, cells, generator=generator).to(device)
        state = state.expand(len(told), -1, -1, -1)
        empty = self.told("").to(device).expand(len(told), -1, -1)
        for time in times_of(scheduler, Controls(steps=steps, sampler="ddim")):
            said = self.unet(torch.cat([state, state]), time, encoder_hidden_states=torch.cat([empty, told])).sample
            without, by = said.float().chunk(2)
            state = scheduler.step(
                without + guidance * (by - without), time, state, eta=eta, generator=generator
            ).prev_sample
        picture: Tensor = self.codec.decode(state)
        return picture.clamp(0, 1)

    def guidance_of(self, image: Tensor, *, clean: bool = True, **settings: Any) -> Tensor:
        """The guidance image of degraded pictures (B, 3, H, W) in [0, 1], of the square in their middle.

        Args:
            image: the pictures.
            clean: whether words are cleaned; else guidance is as degraded as they are (the paper's table 11).
            settings: of `make`.

        Raises:
            SettingsError: words are to be cleaned, and nothing has learnt how.
        """
        if clean and not self.cleaned:
            raise SettingsError(
                "these words have not learnt to be cleaned (stage 2): make guidance of them as they are"
            )
        with torch.no_grad():
            words = self.words(middle_square(image))
            return self.make(self.said(self.clean(words) if clean else words), **settings)

    @torch.no_grad()
    def nearest(self, words: Tensor, most: int = 1) -> list[list[str]]:
        """The tokens of the text encoder that are most like each word, by cosine: for each of the first picture's
        words so many."""
        table = next(one for name, one in self.text_encoder.named_modules() if name.endswith("token_embedding"))
        assert isinstance(table, nn.Embedding)
        likeness = F.normalize(words[0].float(), dim=1) @ F.normalize(table.weight.float(), dim=1).mT
        found = likeness.topk(most, 1).indices.tolist()
        return [[self.tokenizer.decode([token]).strip() for token in tokens] for tokens in found]


def middle_square(image: Tensor) -> Tensor:
    """The largest square in the middle of pictures (B, 3, H, W)."""
    height, width = image.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[:, :, top : top + side, left : left + side]


def save_guidance_maker(maker: GuidanceMaker, path: Path, card: Mapping[str, Any] | None = None) -> None:
    """Writes what was learnt, with the names of the folders that it is for. Raises OSError."""
    said = {
        "format": FORMAT,
        **maker.settings,
        "width": maker.width,
        "cleaned": maker.cleaned,
        "card": dict(card or {}),
    }
    state = {name: value.detach().contiguous() for name, value in maker.state_dict().items()}
    with written_whole(path) as partial:
        save_file(state, partial, metadata={KEY: json.dumps(said)})


def load_guidance_maker(path: Path, *, pipeline: str | None = None, vision: str | None = None) -> GuidanceMaker:
    """What `save_guidance_maker` wrote, on the folders that it names or on others.

    Args:
        path: the file.
        pipeline: instead of the pipeline that it names.
        vision: instead of the vision tower that it names.

    Raises:
        ModelError: it is no such file, or the folders are missing or of another width.
    """
    try:
        with safe_open(path, "pt") as file:
            said = json.loads((file.metadata() or {}).get(KEY, "null"))
            state = {key: file.get_tensor(key) for key in file.keys()} if said else {}  # noqa: SIM118
        if not isinstance(said, dict) or said.get("format") != FORMAT:
            raise ModelError(f"{path}: not a file of words (`pellucid train image-to-words` makes one)")
        maker = GuidanceMaker(
            pipeline or said["pipeline"],
            vision or said["vision"],
            count=said["count"],
            hidden=said["hidden"],
            cleaned=said["cleaned"],
        )
    except (ModelError, SettingsError):
        raise
    except Exception as error:  # a file can be wrong in any way
        raise ModelError(f"{path}: not a file of words ({one_line(error)})") from error
    if maker.width != said.get("width"):
        raise ModelError(
            f"{path}: was learnt for a text encoder of width {said.get('width')}, and that of "
            f"{maker.settings['pipeline']} has {maker.width}"
        )
    try:
        maker.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{path}: does not fit its pipeline and vision tower ({one_line(error)})") from error
    return maker
