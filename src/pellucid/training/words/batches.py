"""Batches of pictures whose words are learnt, and of what is to be made of the words; batch `n` is a pure function of
`n`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.data.batches import Batches
from pellucid.data.sources import Source, random_below
from pellucid.errors import DataError
from pellucid.training.encoder.batches import generator_of
from pellucid.training.words.settings import WordsSettings

__all__ = ["WordsBatch", "WordsBatches"]


@dataclass(frozen=True)
class WordsBatch:
    """Pictures, and what their words are to say.

    Attributes:
        seen: (B, 3, crop, crop) in [0, 1].
        target: what is to be made of the words: in stage 1 the same pictures, in stage 2 their clean partners.
        times: where between picture and noise, (B,) in [0, 1).
        seed: of the noise.
    """

    seen: Tensor
    target: Tensor
    times: Tensor
    seed: int

    def to(self, device: torch.device) -> "WordsBatch":
        """The same on a device."""
        return WordsBatch(self.seen.to(device), self.target.to(device), self.times.to(device), self.seed)


@dataclass(frozen=True)
class WordsBatches:
    """Crops of a source's photographs, degraded and clean.

    Args:
        source: photographs.
        crop: side of a crop, in pixels.
        size: crops of a batch.
        seed: of all draws.
        settings: of the stage.
    """

    source: Source
    crop: int
    size: int
    seed: int
    settings: WordsSettings

    def at(self, number: int, *, rank: int = 0) -> WordsBatch:
        """Batch `number` of process `rank`."""
        crops = Batches(self.source, self.crop, self.size, self.seed, prior_input=None).at(number, rank=rank)
        generator = generator_of(self.seed, rank, number)
        if crops.clean is None:
            raise DataError("words are learnt from degraded and from clean photographs: give data.pairs.clean")
        seen, target = crops.degraded, crops.clean
        if self.settings.stage == "image-to-words":
            shown = torch.rand(self.size, generator=generator) < self.settings.degraded
            seen = target = torch.where(shown.view(-1, 1, 1, 1), crops.degraded, crops.clean)
        return WordsBatch(seen, target, torch.rand(self.size, generator=generator), random_below(2**31, generator))
