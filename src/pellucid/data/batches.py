"""Batches of degraded and clean crops; batch `n` is a pure function of the seed and `n`.

That makes an interrupted training resume exactly, and gives every rank and every control of an ablation the same pictures,
without storing the state of a sampler.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pellucid.data.folders import Photographs
from pellucid.degradations import DrawnDegradation
from pellucid.errors import DataError
from pellucid.padding import pad_to

__all__ = ["Batch", "Batches"]


@dataclass(frozen=True)
class Batch:
    """Crops of photographs.

    Attributes:
        degraded: (B, 3, crop, crop).
        clean: the same places, (B, 3, crop, crop).
        grid: where each crop lies in its photograph: top, left, bottom, right as fractions of its sides, (B, 4).
        view: the whole degraded photographs as the prior sees them, (B, C, h, w); None without a prior.
    """

    degraded: Tensor
    clean: Tensor
    grid: Tensor
    view: Tensor | None


@dataclass(frozen=True)
class Batches:
    """Random crops of photographs, turned, mirrored and degraded.

    Args:
        photographs: the clean photographs.
        degradations: one of them is drawn for each crop.
        crop: side of a crop, in pixels; smaller photographs are padded by reflection.
        size: crops in a batch.
        seed: the batches' seed.
        grey: part of the crops that are made grey, with the same noise in all channels, as grey photographs have it.
        view: what the prior wants to see of a whole degraded photograph (its `prepare`), or None.
    """

    photographs: Photographs
    degradations: Sequence[DrawnDegradation]
    crop: int
    size: int
    seed: int = 0
    grey: float = 0.0
    view: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if not len(self.photographs):
            raise DataError("no photographs to train on")

    def at(self, number: int, *, rank: int = 0) -> Batch:
        """Batch `number` of process `rank`."""
        entropy = np.random.SeedSequence([self.seed, number, rank]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(entropy >> 1))
        samples = [self._sample(generator) for _ in range(self.size)]
        views = torch.cat([self.view(sample[3][None]) for sample in samples]) if self.view else None
        degraded, clean, grid = (torch.stack([sample[part] for sample in samples]) for part in range(3))
        return Batch(degraded, clean, grid, views)

    def _sample(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        def below(bound: int) -> int:
            return int(torch.randint(bound, (), generator=generator))

        whole = self.photographs[below(len(self.photographs))]
        whole = torch.rot90(whole, below(4), (1, 2))
        whole = pad_to(whole.flip(2) if below(2) else whole, self.crop, self.crop)
        height, width = whole.shape[1:]
        top, left = below(height - self.crop + 1), below(width - self.crop + 1)
        place = (slice(None), slice(top, top + self.crop), slice(left, left + self.crop))
        box = torch.tensor([top / height, left / width, (top + self.crop) / height, (left + self.crop) / width])
        degrade = self.degradations[below(len(self.degradations))].draw(generator)
        if self.grey and float(torch.rand((), generator=generator)) < self.grey:
            # One channel is degraded and then repeated: three would get noise that averages out.
            whole = whole.mean(0, keepdim=True)
        clean = whole[place].contiguous()
        if self.view is None:
            degraded_crop, clean = degrade(clean, generator).expand(3, -1, -1), clean.expand(3, -1, -1)
            return degraded_crop, clean, box, clean
        # The prior sees the photograph that the crop is from, whole and with the very same noise.
        degraded = degrade(whole.contiguous(), generator)
        degraded = degraded.expand(3, -1, -1)
        return degraded[place].contiguous(), clean.expand(3, -1, -1), box, degraded
