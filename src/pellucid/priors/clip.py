"""CLIP's image tower as a prior, and SigLIP's, through transformers.

This is the prior of the PTG-RM paper's main table (its "-c"): CLIP ViT-B/32's image embedding of the degraded image.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from pellucid.errors import MissingExtraError, ModelError
from pellucid.priors.protocol import FrozenPrior, unit_rms

__all__ = ["DEFAULT_CLIP", "ClipPrior", "clip"]

DEFAULT_CLIP = "openai/clip-vit-base-patch32"
"""The paper's: 512 numbers from 224 x 224."""

PREPROCESSOR = "preprocessor_config.json"


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

    mean: Tensor
    std: Tensor

    def __init__(self, module: Any, *, name: str, mean: list[float], std: list[float]) -> None:
        tower = TOWERS[module.config.model_type]
        side = module.config.image_size
        super().__init__(name, getattr(module.config, tower.width), (side, side))
        self.module = module
        self._tower = tower
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.freeze()

    def normalise(self, view: Tensor) -> Tensor:
        """The tower's pixel values from views (B, 3, *size) in [0, 1]."""
        return (view.to(self.mean.dtype) - self.mean) / self.std

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, 3, *size) in [0, 1] to vectors (B, width), float32, of unit root-mean-square."""
        vector: Tensor = getattr(self.module(pixel_values=self.normalise(view)), self._tower.output)
        return unit_rms(vector)

    @torch.no_grad()
    def maps(self, image: Tensor) -> Tensor:
        """The last layer's patch tokens where they lie: (B, 3, H, W) in [0, 1] to (B, C, h, w), not normalised."""
        output = self.module(pixel_values=self.normalise(self.prepare(image)))
        tokens: Tensor = output.last_hidden_state[:, self._tower.class_tokens :]
        side = self.size[0] // self.module.config.patch_size
        return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side).float()


def clip(name: str = DEFAULT_CLIP) -> ClipPrior:
    """CLIP's or SigLIP's image tower, by its name on the Hugging Face hub or by a folder saved by `save_pretrained`.

    The cache is looked at first; only a model that is not there is downloaded. Raises MissingExtraError without
    transformers, and ModelError when files are missing, cannot be had, or hold another kind of model.
    """
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("transformers", "priors") from error
    folder = Path(name).expanduser()
    if folder.is_dir():
        _check_folder(folder)
        return _attempt(str(folder), [True], "its files cannot be used as a CLIP or SigLIP model")
    if folder.is_absolute() or name.startswith(".") or folder.exists():
        raise ModelError(f"{name}: no such folder")
    return _attempt(
        name,
        [True, False],
        f"neither a folder, nor in the Hugging Face cache, nor could it be downloaded; run `hf download {name}` "
        "where there is a network, or give a folder as clip:FOLDER",
    )


def _attempt(name: str, local: Sequence[bool], complaint: str) -> ClipPrior:
    """Loads locally only or not, one after the other, and reports the last failure."""
    with _quiet():
        for only in local:
            try:
                return _load(name, only)
            except (OSError, ValueError, RuntimeError, SafetensorError) as error:
                failure = error
    reason = str(failure).strip().partition("\n")[0]
    raise ModelError(f"{name}: {complaint} ({reason})") from failure


def _check_folder(folder: Path) -> None:
    missing = [name for name in ("config.json", PREPROCESSOR) if not (folder / name).is_file()]
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        missing.append("model.safetensors")
    if missing:
        raise ModelError(
            f"{folder}: this folder lacks {' and '.join(missing)}; save the model and its image processor into it "
            "with save_pretrained, or download the whole repository"
        )


def _load(name: str, local: bool) -> ClipPrior:
    import transformers
    from transformers.utils import cached_file

    config = transformers.AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    if config.model_type not in TOWERS:
        raise ModelError(f"{name}: this is a model of type {config.model_type!r}, expected CLIP or SigLIP")
    # Read as it is: the image processors' classes would need Pillow or torchvision, and crop the margins away.
    settings = json.loads(Path(cached_file(name, PREPROCESSOR, local_files_only=local)).read_text(encoding="utf-8"))
    if not {"image_mean", "image_std"} <= settings.keys():
        raise ModelError(f"{name}: {PREPROCESSOR} lacks image_mean and image_std")
    kind = getattr(transformers, TOWERS[config.model_type].model)
    module, report = kind.from_pretrained(
        name, local_files_only=local, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
    )
    # Where a weight is missing or of another shape, transformers goes on with random numbers.
    unfit = sorted(report["missing_keys"]) + sorted(entry[0] for entry in report["mismatched_keys"])
    if unfit:
        raise ModelError(f"{name}: its weights are not those of its image tower: {unfit[0]} is missing or misshapen")
    return ClipPrior(module, name=f"clip:{name}", mean=settings["image_mean"], std=settings["image_std"])


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars, reports or retries on the terminal while loading; as it was, afterwards."""
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging as towers

    bars, verbosity, hub_verbosity = towers.is_progress_bar_enabled(), towers.get_verbosity(), hub.get_verbosity()
    towers.disable_progress_bar()
    towers.set_verbosity(logging.ERROR)
    hub.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        towers.set_verbosity(verbosity)
        hub.set_verbosity(hub_verbosity)
        if bars:
            towers.enable_progress_bar()
