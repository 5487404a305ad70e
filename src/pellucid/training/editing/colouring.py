"""Training a colorizer: batches of lightness, true sentences and chroma; the loss; the score on those held out."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from pellucid.data.recolouring import recoloured
from pellucid.data.sources import Source, random_below
from pellucid.images.lab import lab_of
from pellucid.networks import Colorizer
from pellucid.training.editing.crops import chosen, clean_parts, crop_of, uniform
from pellucid.training.editing.settings import ColouringSettings
from pellucid.training.encoder.batches import generator_of
from pellucid.training.loop import to_training
from pellucid.training.run import Run
from pellucid.training.sentences.batches import drawn_statements
from pellucid.words.encoder import Sentences
from pellucid.words.facts import PLACES, measured
from pellucid.words.sentences import sentence_of, true_statements

__all__ = ["ColourBatch", "ColourBatches", "ColouringObjective", "validate_colouring"]

LOOKS = ("vivid", "muted", "colourless", "warm", "cool", "night", "sunset", "day")
"""The tones that say something of colours."""
BATCHES = 6


@dataclass(frozen=True)
class ColourBatch:
    """Whole pictures in small.

    Attributes:
        light: L of CIELAB, as the network is shown it, (B, 1, h, w).
        chroma: true a and b at half the size, (B, 2, h / 2, w / 2).
        vector: of what is said, (B, width); zeros where nothing is.
    """

    light: Tensor
    chroma: Tensor
    vector: Tensor

    def to(self, device: torch.device) -> "ColourBatch":
        """The same on a device, channels last."""
        light = self.light.to(device, memory_format=torch.channels_last)
        return ColourBatch(light, self.chroma.to(device), self.vector.to(device))


@dataclass(frozen=True)
class ColourBatches:
    """Photographs of a source, whole or most of them, small, with sentences. Batches are upright, wide and square in
    turn, of one area."""

    source: Source
    network: Colorizer
    size: int
    seed: int
    settings: ColouringSettings
    encoder: Sentences

    def __post_init__(self) -> None:
        clean_parts(self.source)

    def at(self, number: int, *, rank: int = 0) -> ColourBatch:
        """Batch `number` of process `rank`."""
        generator, parts = generator_of(self.seed, rank, number), clean_parts(self.source)
        height, width = self.network.view_size(*((2, 3), (3, 2), (1, 1))[number % 3])
        settings = self.settings
        lights, chromas, texts = [], [], []
        for _ in range(self.size):
            image = self._whole(chosen(parts, generator), height, width, generator)
            other = uniform(generator) < settings.recoloured
            image = recoloured(image, generator) if other else image
            lab = lab_of(image[None])
            text = ""
            if other or uniform(generator) < settings.said:
                true = [one for one in true_statements(measured(image[None])) if _of_colour(one)]
                if true:
                    text = sentence_of(drawn_statements(true, settings.most, generator), generator).text
            texts.append(text)
            light = lab[:, :1]
            lights.append(_aged(light, generator) if uniform(generator) < settings.old else light)
            chromas.append(F.avg_pool2d(lab[:, 1:], 2))
        return ColourBatch(torch.cat(lights), torch.cat(chromas), _vectors(texts, self.encoder))

    def _whole(self, photograph: Tensor, height: int, width: int, generator: torch.Generator) -> Tensor:
        """From 60 % to all of each side of a photograph, as near to the wanted shape as it goes, (3, height, width)."""
        rows, columns = photograph.shape[1:]
        part = 0.6 + 0.4 * uniform(generator)
        wanted = (height / width) * (0.85 + 0.3 * uniform(generator))
        tall = max(8, round(min(rows, columns * wanted) * part))
        wide = max(8, round(min(columns, rows / wanted) * part))
        cut = crop_of(photograph, tall, wide, 0.0, generator)
        return F.interpolate(cut[None], (height, width), mode="bilinear", antialias=True)[0].clamp(0, 1)


def _of_colour(statement: str) -> bool:
    return statement in LOOKS or statement.split(" ")[0] in PLACES


def _vectors(texts: list[str], encoder: Sentences) -> Tensor:
    vectors = torch.zeros(len(texts), encoder.width)
    said = [place for place, text in enumerate(texts) if text]
    if said:
        vectors[said] = encoder.texts([texts[place] for place in said])
    return vectors


def _aged(light: Tensor, generator: torch.Generator) -> Tensor:
    """Lightness (1, 1, h, w) as of an old print: less contrast, another brightness, grain, softness."""
    contrast, bright, grain, soft = torch.rand(4, generator=generator).tolist()
    if soft < 0.5:
        light = F.avg_pool2d(F.pad(light, (1, 1, 1, 1), mode="replicate"), 3, 1)
    light = 50 + (light - 50) * (0.55 + 0.5 * contrast) + 24 * (bright - 0.5)
    aged: Tensor = (light + 5 * grain * torch.randn(light.shape, generator=generator)).clamp(0, 100)
    return aged


class ColouringObjective:
    """Huber's distance of a and b, where vivid pixels count more (after the rebalancing of Zhang et al., arXiv
    1603.08511, section 2.2, in its simplest form).

    Args:
        vivid: how much more for each unit of chroma.
    """

    def __init__(self, vivid: float) -> None:
        self.vivid = vivid

    def __call__(self, module: nn.Module, batch: ColourBatch) -> Tensor:
        """The loss of a batch, a scalar."""
        plain = module.module if isinstance(module, DistributedDataParallel) else module
        assert isinstance(plain, Colorizer)
        predicted = plain.predict(batch.light, batch.vector)
        with torch.autocast(predicted.device.type, enabled=False):
            weight = 1 + self.vivid * batch.chroma.norm(dim=1, keepdim=True)
            error = F.smooth_l1_loss(predicted.float() / 10, batch.chroma / 10, reduction="none")
            loss: Tensor = (error.sum(1, keepdim=True) * weight).sum() / weight.sum()
            return loss


@torch.no_grad()
def validate_colouring(run: Run, held_out: ColourBatches) -> dict[str, Any]:
    """By the averaged weights, on always the same batches of held-out photographs, in their own colours and others: the
    root of the mean squared error of a and b with what is said, without, with what is said of another picture, and that
    of grey."""
    network = run.module
    assert isinstance(network, Colorizer)
    network.eval()
    sums = dict.fromkeys(("said", "unsaid", "mistold", "grey"), 0.0)
    with run.average.applied():
        for number in range(BATCHES):
            batch = held_out.at(number).to(next(network.parameters()).device)
            for name, vector in (
                ("said", batch.vector),
                ("unsaid", torch.zeros_like(batch.vector)),
                ("mistold", batch.vector.roll(1 + random_below(2, generator_of(0, 0, number)), 0)),
            ):
                sums[name] += float((network.predict(batch.light, vector) - batch.chroma).square().mean()) / BATCHES
            sums["grey"] += float(batch.chroma.square().mean()) / BATCHES
    to_training(network)
    return {name: round(value**0.5, 3) for name, value in sums.items()}
