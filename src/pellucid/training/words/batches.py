"""Batches of pictures whose words are learnt, and of what is to be made of the words; batch `n` is a pure function of
`n`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.data.batches import Batches
from pellucid.data.sources import Source, random_below
from pellucid.diffusion.guidance_image import GuidanceMaker
from pellucid.errors import DataError
from pellucid.training.encoder.batches import generator_of
from pellucid.training.words.settings import WordsSettings

__all__ = ["KnownBatch", "KnownPairs", "WordsBatch", "WordsBatches", "looked_at"]


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


@dataclass(frozen=True)
class KnownBatch:
    """What a stage learns from, once a pipeline has looked at the pictures.

    Attributes:
        words: of the pictures that are seen, (B, count, width).
        clean: words of their targets, or None where nobody asks for them.
        latent: the codec's states of the targets.
        times: where between picture and noise, (B,) in [0, 1).
        seed: of the noise.
    """

    words: Tensor
    clean: Tensor | None
    latent: Tensor
    times: Tensor
    seed: int

    def to(self, device: torch.device) -> "KnownBatch":
        """The same on a device."""
        clean = None if self.clean is None else self.clean.to(device)
        return KnownBatch(self.words.to(device), clean, self.latent.to(device), self.times.to(device), self.seed)


def looked_at(maker: GuidanceMaker, batch: WordsBatch, *, clean: bool) -> KnownBatch:
    """The words and states of a batch of pictures.

    Args:
        maker: what looks at them.
        batch: of pictures.
        clean: whether words of the targets are asked for.
    """
    with torch.no_grad():
        latent = maker.codec.encode(batch.target)
        words = maker.words(batch.target) if clean else None
    return KnownBatch(maker.words(batch.seen), words, latent, batch.times, batch.seed)


class KnownPairs:
    """Pairs of which words and states are computed once, and batches drawn of these: in stage 2 nothing that learns
    comes before them, and pictures cost more than all that follows.

    Args:
        maker: what looks at the pictures.
        batches: whose first ones are the pairs.
        count: of pairs; a last batch is kept whole.
    """

    def __init__(self, maker: GuidanceMaker, batches: WordsBatches, count: int) -> None:
        self.source, self.size, self.seed = batches.source, batches.size, batches.seed
        device = next(maker.parameters()).device
        with torch.no_grad():
            found = [
                looked_at(maker, batches.at(number).to(device), clean=True).to(torch.device("cpu"))
                for number in range(-(-count // batches.size))
            ]
        self.words, self.latent = (torch.cat([getattr(one, part) for one in found]) for part in ("words", "latent"))
        self.clean = torch.cat([one.clean for one in found if one.clean is not None])

    def at(self, number: int, *, rank: int = 0) -> KnownBatch:
        """Batch `number` of process `rank`: any of the pairs, at times and with noise of its own."""
        generator = generator_of(self.seed, rank, number)
        rows = torch.randint(len(self.words), (self.size,), generator=generator)
        times = torch.rand(self.size, generator=generator)
        words, clean, latent = self.words[rows], self.clean[rows], self.latent[rows]
        return KnownBatch(words, clean, latent, times, random_below(2**31, generator))
