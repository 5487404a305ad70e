"""Batches of degraded and clean crops; batch `n` is a pure function of the seed and `n`.

That makes an interrupted training resume exactly, and gives every rank and every control of an ablation the same
pictures, without storing the state of a sampler.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pellucid.data.sources import PriorInput, Sample, Source
from pellucid.errors import DataError
from pellucid.guidance import Guidance

__all__ = ["Batch", "Batches"]


@dataclass(frozen=True)
class Batch:
    """Crops of photographs.

    Attributes:
        degraded: (B, 3, crop, crop).
        clean: the same places, (B, 3, crop, crop), or larger by the guidance's scale; None where no clean pictures
            exist.
        guidance: what is known of the whole photographs: where each crop lies (`grid`), with a prior what it is shown
            of them, prepared by it (`view`), what a frozen network makes of the crops, where that is known
            (`restored`), how much larger the clean ones are (`scale`), and what a guided network is shown beside them
            (`reference`).
        withheld: the samples whose prior must be taken for unknown, (B,) bool; None for none.
    """

    degraded: Tensor
    clean: Tensor | None
    guidance: Guidance
    withheld: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same on a device, the images channels last."""

        def moved(image: Tensor) -> Tensor:
            return image.to(device, memory_format=torch.channels_last)

        return Batch(
            moved(self.degraded),
            None if self.clean is None else moved(self.clean),
            self.guidance.to(device),
            None if self.withheld is None else self.withheld.to(device),
        )


@dataclass(frozen=True)
class Batches:
    """Random crops of a source's photographs.

    Args:
        source: the photographs.
        crop: side of a crop, in pixels.
        size: crops in a batch.
        seed: the batches' seed.
        view: from a photograph (1, 3, H, W), and its clean partner or None, to what the prior sees of it
            (`priors.shown`); None without a prior.
        prior_input: what it is called with, the whole photograph or the crop; that is also what is degraded. None
            degrades the crop and shows it to nobody; without a prior, "whole" gives the same crops as with one.
        dropout: part of the samples whose prior is withheld.
        reference: from a sample, another of the batch and a generator to what a guided network is shown beside the
            first, (3, h, w), of one size for all; None for networks that are shown nothing.
    """

    source: Source
    crop: int
    size: int
    seed: int = 0
    view: Callable[[Tensor, Tensor | None], Tensor] | None = None
    prior_input: PriorInput | None = "whole"
    dropout: float = 0.0
    reference: Callable[[Sample, Sample, torch.Generator], Tensor] | None = None

    def __post_init__(self) -> None:
        if not len(self.source):
            raise DataError("no photographs to train on")

    def at(self, number: int, *, rank: int = 0) -> Batch:
        """Batch `number` of process `rank`."""
        samples = self.samples(number, rank=rank)
        degraded, grid = (torch.stack([getattr(sample, part) for sample in samples]) for part in ("degraded", "grid"))
        clean = [sample.clean for sample in samples if sample.clean is not None]
        restored = [sample.restored for sample in samples if sample.restored is not None]
        references: list[Tensor] = []
        if self.reference is not None:
            generator = self._generator(number, rank, self.size + 1)
            references = [self.reference(sample, samples[place - 1], generator) for place, sample in enumerate(samples)]
        views = [
            self.view(sample.seen[None], None if sample.seen_clean is None else sample.seen_clean[None])
            for sample in samples
            if self.view and sample.seen is not None
        ]
        return Batch(
            degraded,
            torch.stack(clean) if clean else None,
            Guidance(
                grid=grid,
                view=torch.cat(views) if views else None,
                # Of pairs whose results are known and others in one batch, nothing is known of all.
                restored=torch.stack(restored) if len(restored) == len(samples) else None,
                scale=None if samples[0].scale == 1 else samples[0].scale,
                reference=torch.stack(references) if references else None,
            ),
            torch.rand(self.size, generator=self._generator(number, rank, self.size)) < self.dropout
            if self.dropout
            else None,
        )

    def samples(self, number: int, *, rank: int = 0) -> list[Sample]:
        """The samples of batch `number` of process `rank`."""
        # Each has a generator of its own: what one draws changes nothing in the others.
        generators = [self._generator(number, rank, place) for place in range(self.size)]
        source = self.source.turn(number)
        return [
            source.sample(
                int(torch.randint(len(source), (), generator=generator)), self.crop, generator, self.prior_input
            )
            for generator in generators
        ]

    def _generator(self, number: int, rank: int, place: int) -> torch.Generator:
        entropy = np.random.SeedSequence([self.seed, number, rank], spawn_key=(place,)).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(entropy >> 1))
