"""The diagnoser: an encoder and its heads, from a folder, and from a photograph to a diagnosis."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pellucid.checkpoints import load_weights
from pellucid.degradations import KINDS
from pellucid.diagnosis.blocks import from_first_block
from pellucid.diagnosis.findings import Diagnosis, Measured
from pellucid.diagnosis.heads import Heads
from pellucid.diagnosis.measured import measure
from pellucid.diagnosis.traces import TRACES, traces
from pellucid.errors import ModelError, one_line
from pellucid.priors.degradation_encoder import EMBEDDED_ENCODER, DegradationEncoder, degradation_encoder
from pellucid.scratch import on_disk, pooled

__all__ = ["SMALLEST", "Diagnoser", "diagnose", "features_width", "load_diagnoser", "save_diagnoser", "shows_nothing"]

HEADS, CARD = "heads.safetensors", "card.json"

PLAIN, PLACES = 0.02, 12
"""A picture shows nothing if its means over PLACES x PLACES parts differ by less than this, and by less than noise
would explain, in every channel."""

SMALLEST = 16
"""Pixels of a side: of smaller pictures nothing can be told."""


class Diagnoser:
    """Diagnoses photographs; its answers depend on nothing but the pixels.

    Args:
        encoder: what looks at the photograph.
        heads: what reads its features; put in evaluation mode.
        card: how both were made and how well they do, JSON-able.
    """

    def __init__(self, encoder: DegradationEncoder, heads: Heads, card: Mapping[str, Any] | None = None) -> None:
        self.encoder, self.heads, self.card = encoder, heads.eval().requires_grad_(False), dict(card or {})

    def __call__(self, image: Tensor) -> Diagnosis:
        """The diagnosis of one image: (1, C, H, W) or (C, H, W) in [0, 1], any size, C = 3, or 1 for grey.

        In a picture that shows nothing, such as a blank page, nothing can be told but noise, so nothing else is found.

        Raises ValueError for another shape.
        """
        return replace(self._told(image), measured=_measured(image))

    def leaves_alone(self, image: Tensor) -> bool:
        """`leave_alone` of the diagnosis of an image, without what is measured where that changes nothing."""
        found = self._told(image)
        return found.leave_alone and replace(found, measured=_measured(image)).leave_alone

    def _told(self, image: Tensor) -> Diagnosis:
        found = self.heads.diagnose(self.features(image))[0]
        return found.only("noise") if shows_nothing(image) else found

    def features(self, image: Tensor) -> Tensor:
        """What the heads read of an image, (1, features_width): the encoder's features and the traces (`__call__`)."""
        batch = image[None] if image.ndim == 3 else image
        if batch.ndim != 4 or batch.shape[0] != 1 or batch.shape[1] not in (1, 3):
            raise ValueError(
                f"expected one image (1, 3, H, W), (1, 1, H, W) or without the 1, got {tuple(image.shape)}"
            )
        device = self.heads.margin.device
        rgb = from_first_block(
            batch.expand(-1, 3, -1, -1) if on_disk(batch) else batch.expand(-1, 3, -1, -1).to(device)
        )
        return torch.cat([self.encoder.features(self.encoder.prepare(rgb).to(device)), traces(rgb).to(device)], 1)


def _measured(image: Tensor) -> tuple[Measured, ...]:
    return measure(image.expand(*image.shape[:-3], 3, -1, -1))


def shows_nothing(image: Tensor) -> bool:
    """Whether an image (1, 3, H, W) or (3, H, W) is of one colour but for noise, so that nothing else can be told."""
    places = min(PLACES, image.shape[-2]), min(PLACES, image.shape[-1])
    image = image if image.ndim == 4 else image[None]
    mean, square = (pooled(image, places, power).flatten(-2) for power in (Tensor.float, _squared))
    pixels = image.shape[-2] * image.shape[-1] / (places[0] * places[1])
    error = ((square - mean.square()).clamp_min(0).mean(-1) / pixels).sqrt()
    return bool((mean.amax(-1) - mean.amin(-1) < PLAIN + 6 * error).all())


def _squared(image: Tensor) -> Tensor:
    return image.float().square()


def features_width(encoder: DegradationEncoder) -> int:
    """How many numbers heads read, where this encoder looks."""
    return encoder.features_width + TRACES


def diagnose(image: Tensor, *, model: str | Path = "") -> Diagnosis:
    """What is wrong with an image, (1, C, H, W) or (C, H, W) in [0, 1], any size, C = 3, or 1 for grey.

    Args:
        image: the image.
        model: a folder that `pellucid train degradation-encoder` wrote; without one, the embedded model.

    Raises:
        ModelError: the folder is not one of a degradation encoder.
    """
    return load_diagnoser(model)(image)


def load_diagnoser(model: str | Path = "") -> Diagnoser:
    """The diagnoser of a folder that `pellucid train degradation-encoder` wrote; without one, the embedded one, kept.

    Raises:
        ModelError: files are missing, damaged, of another model, or know other kinds of degradations.
    """
    return _load(Path(model).expanduser()) if model else _embedded()


@cache
def _embedded() -> Diagnoser:
    return _load(EMBEDDED_ENCODER)


def _load(folder: Path) -> Diagnoser:
    encoder = degradation_encoder("" if folder == EMBEDDED_ENCODER else folder)
    path = folder / HEADS
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["pellucid"])
        kinds, heads = tuple(header["kinds"]), Heads(**header["settings"])
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{folder}: lacks a readable {HEADS} or {CARD} ({one_line(error)})") from error
    if kinds != KINDS:
        raise ModelError(f"{path}: knows the kinds {', '.join(kinds)}; this version of pellucid has {', '.join(KINDS)}")
    if heads.settings["width"] != features_width(encoder):
        raise ModelError(
            f"{path}: reads {heads.settings['width']} features, and there are {features_width(encoder)} with its "
            "encoder"
        )
    load_weights(heads, path)
    return Diagnoser(encoder, heads, card)


def save_diagnoser(diagnoser: Diagnoser, folder: Path) -> None:
    """Writes the heads and the card into the folder of their encoder, whose own files are transformers'."""
    header = {"kinds": list(KINDS), "settings": diagnoser.heads.settings}
    tensors = {key: value.detach().cpu().contiguous() for key, value in diagnoser.heads.state_dict().items()}
    if not all(torch.isfinite(value).all() for value in tensors.values()):
        raise ModelError(f"{folder}: the weights to be stored are not finite; the training has diverged")
    save_file(tensors, folder / HEADS, metadata={"pellucid": json.dumps(header)})
    (folder / CARD).write_text(json.dumps(diagnoser.card, indent=1) + "\n", encoding="utf-8")
