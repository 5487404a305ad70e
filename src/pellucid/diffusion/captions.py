"""The explicit way to guidance: a captioner says in a sentence what a degraded picture shows, words for degradations
are dropped, and the pipeline makes a picture of the rest.

The paper shows this way in a figure and does not say its captioner nor its words; both are our own choice.
"""

import re
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import ModelError
from pellucid.priors.contract import Normalise, whole_view
from pellucid.priors.pretrained import TOWER_FILES, image_settings, load_pretrained, require

__all__ = ["DEGRADATION_WORDS", "Captioner", "captioner", "without_degradations"]

DEGRADATION_WORDS = (
    *("blur", "blurs", "blurred", "blurry", "blurriness", "unfocused", "defocused", "fuzzy", "smeared"),
    *("noise", "noisy", "grain", "grainy", "speckled", "static"),
    *("haze", "hazy", "fog", "foggy", "mist", "misty", "smoggy"),
    *("rain", "rains", "rainy", "raining", "raindrops", "snowy", "snowing", "snowflakes"),
    *("pixelated", "pixelation", "compressed", "compression", "artifacts", "artefacts", "jpeg"),
    *("dark", "dim", "underexposed", "overexposed", "faded", "degraded", "distorted", "corrupted", "low-quality"),
    *("low-resolution", "scratched", "damaged"),
)
"""What captions say of how a picture came to be seen, rather than of what it shows."""
_JOINS = {"and", "very", "slightly", "with", "in", "the", "a", "an", "of", ","}


class Captioner:
    """Says what a picture shows. Built by `captioner`.

    Args:
        module: of transformers, with `generate(pixel_values=...)`.
        tokenizer: its own.
        size: height and width of what it sees.
        normalise: what its pixels go through.
        name: for messages.
    """

    def __init__(self, module: Any, tokenizer: Any, size: tuple[int, int], normalise: Normalise, name: str) -> None:
        self.module, self.tokenizer, self.size = module.eval(), tokenizer, size
        self.normalise, self.name = normalise, name

    @torch.no_grad()
    def __call__(self, image: Tensor) -> str:
        """A sentence on a picture (1, 3, H, W) in [0, 1]; the same for the same picture."""
        pixels = self.normalise(whole_view(image, self.size))
        ids = self.module.generate(pixel_values=pixels, max_new_tokens=40, do_sample=False, num_beams=1)
        sentence: str = self.tokenizer.decode(ids[0], skip_special_tokens=True)
        return " ".join(sentence.split())


def captioner(name: str) -> Captioner:
    """Any captioner of transformers (BLIP, GIT, ...), by its folder or its name on the hub.

    Raises:
        MissingExtraError: transformers is not installed.
        ModelError: files are missing, cannot be had, or hold another kind of model.
    """
    require("transformers", "priors")
    files = {**TOWER_FILES, "tokenizer": ("tokenizer*.json", "vocab.*")}
    return load_pretrained("captioner", name, _load, files=files, what="a captioner")


def _load(name: str, local: bool) -> Captioner:
    import transformers

    kind: Any = transformers.AutoModelForImageTextToText
    module = kind.from_pretrained(name, local_files_only=local, trust_remote_code=False, dtype=torch.float32)
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    settings = image_settings(name, local)
    side = getattr(getattr(module.config, "vision_config", module.config), "image_size", None)
    if side is None:
        raise ModelError(f"{name}: does not say how large the pictures are that it sees")
    size = (side, side) if isinstance(side, int) else (side[0], side[1])
    return Captioner(module, tokenizer, size, Normalise(settings["image_mean"], settings["image_std"]), name)


def without_degradations(sentence: str) -> str:
    """A sentence without words for degradations, and without the little words that then join nothing.

    `a blurry and noisy photo of a dog in the rain` becomes `a photo of a dog`.
    """
    words: list[str] = re.findall(r"[\w'-]+|,", sentence.lower())
    kept: list[str] = []
    for word in words:
        if word in DEGRADATION_WORDS:
            # What led to the word alone goes with it: "in the rain", "with noise"; an article may lead further.
            while kept and kept[-1] in _JOINS - {"a", "an"}:
                kept.pop()
            continue
        if word in ("and", ",") and (not kept or kept[-1] in ("a", "an", "the", "and", ",")):
            continue
        kept.append(word)
    while kept and kept[-1] in _JOINS:
        kept.pop()
    return " ".join(kept).replace(" ,", ",")
