"""CLIP's image tower as a prior, and SigLIP's, through transformers.

This is the prior of the PTG-RM paper's main table (its "-c"): CLIP ViT-B/32's image embedding of the degraded image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import ModelError
from pellucid.priors.contract import FrozenPrior, Normalise, unit_rms
from pellucid.priors.pretrained import TOWER_FILES, image_settings, load_module, load_pretrained, patch_map, require

__all__ = ["DEFAULT_CLIP", "ClipPrior", "clip"]

DEFAULT_CLIP = "openai/clip-vit-base-patch32"
"""The paper's: 512 numbers from 224 x 224."""


@dataclass(frozen=True)
class _Tower:
    """How transformers calls an image tower's parts."""

    model: str
    output: str
    width: str
    class_tokens: int


_CLIP = _Tower("CLIPVisionModelWithProjection", "image_embeds", "projection_dim", class_tokens=1)
_SIGLIP = _Tower("SiglipVisionModel", "pooler_output", "hidden_size", class_tokens=0)
TOWERS = {"clip": _CLIP, "clip_vision_model": _CLIP, "siglip": _SIGLIP, "siglip_vision_model": _SIGLIP}
"""By the `model_type` of a model's config.json."""


class ClipPrior(FrozenPrior):
    """The image embedding of CLIP or SigLIP; `maps` gives its patch tokens.

    The view is the whole image resized to the tower's square. CLIP's own preprocessing keeps proportions and crops the
    centre, and so never sees the margins of a photograph. Built by `clip`.

    Args:
        module: `CLIPVisionModelWithProjection` or `SiglipVisionModel` of transformers.
        name: recorded in model files.
        mean, std: what is subtracted from, and divides, RGB in [0, 1].
    """

    def __init__(self, module: Any, *, name: str, mean: Sequence[float], std: Sequence[float]) -> None:
        tower = TOWERS[module.config.model_type]
        side = module.config.image_size
        super().__init__(name, getattr(module.config, tower.width), (side, side))
        self.module = module
        self._tower = tower
        self.normalise = Normalise(mean, std)
        self.freeze()

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, 3, *size) in [0, 1] to vectors (B, width), float32, of unit root-mean-square."""
        vector: Tensor = getattr(self.module(pixel_values=self.normalise(view)), self._tower.output)
        return unit_rms(vector)

    @torch.no_grad()
    def maps(self, image: Tensor) -> Tensor:
        """The last layer's patch tokens where they lie: (B, 3, H, W) in [0, 1] to (B, C, h, w), not normalised."""
        output = self.module(pixel_values=self.normalise(self.prepare(image)))
        tokens = output.last_hidden_state[:, self._tower.class_tokens :]
        return patch_map(tokens, self.size, self.module.config.patch_size)


def clip(name: str = DEFAULT_CLIP) -> ClipPrior:
    """CLIP's or SigLIP's image tower, by its name on the Hugging Face hub or by a folder saved by `save_pretrained`.

    The cache is looked at first; only a model that is not there is downloaded. Raises MissingExtraError without
    transformers, and ModelError when files are missing, cannot be had, or hold another kind of model.
    """
    require("transformers", "priors")
    return load_pretrained("clip", name, _load, files=TOWER_FILES, what="a CLIP or SigLIP model")


def _load(name: str, local: bool) -> ClipPrior:
    import transformers

    config = transformers.AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    if config.model_type not in TOWERS:
        raise ModelError(f"{name}: this is a model of type {config.model_type!r}, expected CLIP or SigLIP")
    settings = image_settings(name, local)
    kind = getattr(transformers, TOWERS[config.model_type].model)
    module = load_module(kind, name, local, part="image tower")
    return ClipPrior(module, name=f"clip:{name}", mean=settings["image_mean"], std=settings["image_std"])
