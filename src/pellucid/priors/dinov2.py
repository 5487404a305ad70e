"""DINOv2's vision transformer as a prior, through transformers: what an image shows, learnt without any labels.

Source: "DINOv2: Learning Robust Visual Features without Supervision" (TMLR 2024, arXiv 2304.07193).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import ModelError
from pellucid.priors.contract import FrozenPrior, Normalise, unit_rms
from pellucid.priors.pretrained import TOWER_FILES, image_settings, load_module, load_pretrained, patch_map, require

__all__ = ["DEFAULT_DINOV2", "Dinov2Prior", "dinov2"]

DEFAULT_DINOV2 = "facebook/dinov2-base"
"""768 numbers from 224 x 224, in patches of 14."""

MODELS = {"dinov2": "Dinov2Model", "dinov2_with_registers": "Dinov2WithRegistersModel"}
"""Classes of transformers by the `model_type` of a model's config.json."""


class Dinov2Prior(FrozenPrior):
    """The class token of DINOv2's last layer; `maps` gives its patch tokens. Built by `dinov2`.

    The view is the whole image resized, where DINOv2's own preprocessing keeps proportions and crops the centre.

    Args:
        module: `Dinov2Model` or `Dinov2WithRegistersModel` of transformers.
        name: recorded in model files.
        size: height and width of the view, in pixels; rounded down to whole patches.
        mean, std: what is subtracted from, and divides, RGB in [0, 1].
    """

    def __init__(
        self, module: Any, *, name: str, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        patch = module.config.patch_size
        height, width = (max(side - side % patch, patch) for side in size)
        super().__init__(name, module.config.hidden_size, (height, width))
        self.module = module
        self.normalise = Normalise(mean, std)
        self.freeze()

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, 3, *size) in [0, 1] to vectors (B, width), float32, of unit root-mean-square."""
        return unit_rms(self.module(pixel_values=self.normalise(view)).pooler_output)

    @torch.no_grad()
    def maps(self, image: Tensor) -> Tensor:
        """The last layer's patch tokens where they lie: (B, 3, H, W) in [0, 1] to (B, C, h, w), not normalised."""
        output = self.module(pixel_values=self.normalise(self.prepare(image)))
        others = 1 + getattr(self.module.config, "num_register_tokens", 0)
        return patch_map(output.last_hidden_state[:, others:], self.size, self.module.config.patch_size)


def dinov2(name: str = DEFAULT_DINOV2) -> Dinov2Prior:
    """DINOv2, by its name on the Hugging Face hub or by a folder saved by `save_pretrained`.

    The cache is looked at first; only a model that is not there is downloaded. Raises MissingExtraError without
    transformers, and ModelError when files are missing, cannot be had, or hold another kind of model.
    """
    require("transformers", "priors")
    return load_pretrained("dinov2", name, _load, files=TOWER_FILES, what="a DINOv2 model")


def _load(name: str, local: bool) -> Dinov2Prior:
    import transformers

    config = transformers.AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    if config.model_type not in MODELS:
        raise ModelError(f"{name}: this is a model of type {config.model_type!r}, expected DINOv2")
    settings = image_settings(name, local)
    module = load_module(getattr(transformers, MODELS[config.model_type]), name, local, part="vision transformer")
    return Dinov2Prior(
        module,
        name=f"dinov2:{name}",
        size=_view_size(settings, config.image_size),
        mean=settings["image_mean"],
        std=settings["image_std"],
    )


def _view_size(settings: Mapping[str, Any], trained: int) -> tuple[int, int]:
    """What the image processor gives to the model: its crop, or its resized image; else the size of the training."""
    for key in ("size",) if settings.get("do_center_crop") is False else ("crop_size", "size"):
        sides = settings.get(key)
        if isinstance(sides, Mapping) and {"height", "width"} <= sides.keys():
            return sides["height"], sides["width"]
        if type(sides) is int and key == "crop_size":
            return sides, sides
    return trained, trained
