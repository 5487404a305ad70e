"""What TextIR is shown in training: the clean picture, what its task leaves of it, and what an encoder sees of it."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.data.holes import drawn_holes
from pellucid.data.sources import Source, random_below
from pellucid.images.lab import lab_of
from pellucid.images.resizing import bicubic
from pellucid.networks.textir import TextIRTask
from pellucid.training.editing.crops import chosen, clean_parts, crop_of, uniform
from pellucid.training.encoder.batches import generator_of
from pellucid.training.textir.settings import TextIRSettings
from pellucid.words.encoder import Sentences

__all__ = ["TextIRBatch", "TextIRBatches"]


@dataclass(frozen=True)
class TextIRBatch:
    """Pictures of one task.

    Attributes:
        clean: (B, 3, size, size) in [0, 1].
        given: what the generator is given: see `TextIR.generate`.
        vector: what the encoder sees of the clean ones, of unit length, (B, words).
        factor: of enlarging, (B,); 1 for the other tasks.
        missing: (B, 1, size, size) of 0 and 1; zeros but for inpainting.
    """

    clean: Tensor
    given: Tensor
    vector: Tensor
    factor: Tensor
    missing: Tensor

    def to(self, device: torch.device) -> "TextIRBatch":
        """The same on a device."""
        parts = (self.clean, self.given, self.vector, self.factor, self.missing)
        return TextIRBatch(*(part.to(device) for part in parts))


@dataclass(frozen=True)
class TextIRBatches:
    """Crops of a source's clean photographs, for one task."""

    source: Source
    task: TextIRTask
    side: int
    size: int
    seed: int
    settings: TextIRSettings
    encoder: Sentences

    def __post_init__(self) -> None:
        clean_parts(self.source)

    def at(self, number: int, *, rank: int = 0) -> TextIRBatch:
        """Batch `number` of process `rank`."""
        generator, parts = generator_of(self.seed, rank, number), clean_parts(self.source)
        crops = [crop_of(chosen(parts, generator), self.side, self.side, 0.7, generator) for _ in range(self.size)]
        clean = torch.stack(crops)
        vector = F.normalize(self.encoder(clean), dim=1)
        missing, factor = torch.zeros_like(clean[:, :1]), torch.ones(self.size)
        if self.task == "colour":
            return TextIRBatch(clean, lab_of(clean)[:, :1], vector, factor, missing)
        if self.task == "super-resolution":
            drawn = [self._factor(generator) for _ in crops]
            small = [_shrunk(crop, part) for crop, part in zip(crops, drawn, strict=True)]
            return TextIRBatch(clean, torch.stack(small), vector, torch.tensor([float(one) for one in drawn]), missing)
        missing = torch.stack([self._hole(generator) for _ in crops]).float()
        return TextIRBatch(clean, torch.cat([clean * (1 - missing), missing], 1), vector, factor, missing)

    def _factor(self, generator: torch.Generator) -> int:
        """One of the factors that leave a pixel at least."""
        fitting = {factor: weight for factor, weight in self.settings.factors.items() if factor <= self.side}
        known = fitting or {min(self.settings.factors): 1.0}
        return list(known)[int(torch.multinomial(torch.tensor(list(known.values())), 1, generator=generator))]

    def _hole(self, generator: torch.Generator) -> Tensor:
        side = self.side
        if uniform(generator) >= self.settings.squares:
            return drawn_holes(side, side, generator, share=(0.05, 0.6), kind="strokes")
        hole = torch.zeros(1, side, side, dtype=torch.bool)
        top, left = (random_below(side - side // 2 + 1, generator) for _ in range(2))
        hole[:, top : top + side // 2, left : left + side // 2] = True
        return hole


def _shrunk(picture: Tensor, factor: int) -> Tensor:
    """A picture (3, side, side) made smaller by MATLAB's bicubic kernel, stored in 8 bits, and as large again."""
    side = picture.shape[1]
    small = bicubic(picture, max(1, side // factor), max(1, side // factor), stored=True)
    return bicubic(small, side, side, stored=True)
