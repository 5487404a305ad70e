"""BLIP-2's Q-Former as a prior, through transformers: what its queries ask of an image before a language model is told.

This is "-b" of the PTG-RM paper's table 1. Source: "BLIP-2: Bootstrapping Language-Image Pre-training with Frozen Image
Encoders and Large Language Models" (ICML 2023, arXiv 2301.12597).

The language model, most of the weights, is neither built nor read nor downloaded: only the files that hold the vision
tower, the Q-Former and the queries are opened, and only those tensors are taken from them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError
from pellucid.priors.contract import FrozenPrior, Normalise, unit_rms
from pellucid.priors.pretrained import (
    TOWER_FILES,
    image_settings,
    load_pretrained,
    patch_map,
    read_tensors,
    require,
)

__all__ = ["DEFAULT_BLIP2", "Blip2Prior", "blip2"]

DEFAULT_BLIP2 = "Salesforce/blip2-opt-2.7b"
"""768 numbers, the mean of 32 queries, from 224 x 224; 1.1 thousand million parameters without its language model."""

FILES = {**TOWER_FILES, "model.safetensors": ("*.safetensors",)}
"""Pickled weights cannot be read in part."""

VISION, QFORMER, QUERIES = "vision_model.", "qformer.", "query_tokens"
"""How the keys of the three parts begin."""


class Blip2Prior(FrozenPrior):
    """The mean of the Q-Former's outputs for its queries; `maps` gives the vision tower's patch tokens.

    The view is the whole image resized to the tower's square, as in BLIP-2's own preprocessing. Built by `blip2`.

    Args:
        vision: `Blip2VisionModel` of transformers.
        qformer: `Blip2QFormerModel` of transformers.
        queries: the learnt query tokens, (1, n, hidden size of the Q-Former).
        name: recorded in model files.
        mean, std: what is subtracted from, and divides, RGB in [0, 1].
    """

    queries: Tensor

    def __init__(
        self, vision: Any, qformer: Any, queries: Tensor, *, name: str, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        side = vision.config.image_size
        super().__init__(name, qformer.config.hidden_size, (side, side))
        self.vision = vision
        self.qformer = qformer
        self.register_buffer("queries", queries)
        self.normalise = Normalise(mean, std)
        self.freeze()

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, 3, *size) in [0, 1] to vectors (B, width), float32, of unit root-mean-square."""
        seen = self.vision(pixel_values=self.normalise(view)).last_hidden_state
        answers = self.qformer(query_embeds=self.queries.expand(len(seen), -1, -1), encoder_hidden_states=seen)
        return unit_rms(answers.last_hidden_state.float().mean(1))

    @torch.no_grad()
    def maps(self, image: Tensor) -> Tensor:
        """The vision tower's patch tokens where they lie: (B, 3, H, W) in [0, 1] to (B, C, h, w), not normalised."""
        tokens = self.vision(pixel_values=self.normalise(self.prepare(image))).last_hidden_state[:, 1:]
        return patch_map(tokens, self.size, self.vision.config.patch_size)


def blip2(name: str = DEFAULT_BLIP2) -> Blip2Prior:
    """BLIP-2 without its language model, by its name on the Hugging Face hub or by a folder saved by `save_pretrained`.

    The cache is looked at first; only files that are not there are downloaded, and of those only the needed ones.
    Raises MissingExtraError without transformers, and ModelError when files are missing, cannot be had, or hold another
    model.
    """
    require("transformers", "priors")
    return load_pretrained("blip2", name, _load, files=FILES, what="a BLIP-2 model")


def _load(name: str, local: bool) -> Blip2Prior:
    import transformers

    config = transformers.AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    if config.model_type != "blip-2":
        raise ModelError(f"{name}: this is a model of type {config.model_type!r}, expected BLIP-2")
    settings = image_settings(name, local)
    tensors = read_tensors(name, (VISION, QFORMER, QUERIES), local)
    if QUERIES not in tensors:
        raise ModelError(f"{name}: its weights are not those of BLIP-2: {QUERIES} is missing")
    # Without memory for weights yet: drawing a thousand million random numbers first would take longer than reading.
    with torch.device("meta"):
        vision = transformers.Blip2VisionModel(config.vision_config)
        qformer = transformers.Blip2QFormerModel(config.qformer_config)
    _fill(vision, tensors, VISION, name)
    _fill(qformer, tensors, QFORMER, name)
    return Blip2Prior(
        vision,
        qformer,
        tensors[QUERIES],
        name=f"blip2:{name}",
        mean=settings["image_mean"],
        std=settings["image_std"],
    )


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str, name: str) -> None:
    """Gives a part its weights. Raises ModelError where one is missing or of another shape; others are left aside."""
    given = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    own = module.state_dict()
    unfit = [key for key, value in own.items() if key not in given or given[key].shape != value.shape]
    if unfit:
        raise ModelError(f"{name}: its weights are not those of BLIP-2: {prefix}{unfit[0]} is missing or misshapen")
    module.load_state_dict({key: given[key] for key in own}, assign=True)
