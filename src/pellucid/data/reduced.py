"""Clean photographs made small: what learns to enlarge is shown the small ones, and judged by the large."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from pellucid.data.folders import Photographs
from pellucid.data.sources import EXAMPLE_SIDE, WHOLE, PriorInput, Sample, Source, drawn_family, random_below, turned
from pellucid.degradations import Family
from pellucid.images.padding import pad_to
from pellucid.images.resizing import bicubic

__all__ = ["Reduced", "Turns"]

MARGIN = 4
"""Pixels of the small picture around a crop that are made small, and degraded, with it: it is no picture's edge."""


@dataclass(frozen=True)
class Reduced:
    """Clean photographs, made small by the bicubic kernel, stored to 8 bits, and then degraded.

    Args:
        photographs: the clean photographs.
        degradations: one of them is drawn for each crop, and done to the small picture.
        scale: how many times shorter its sides are.
        weights: how often each degradation is drawn, in proportion; None for all alike.
    """

    photographs: Photographs
    degradations: Sequence[Family]
    scale: int
    weights: Sequence[float] | None = None

    def __len__(self) -> int:
        """How many photographs there are."""
        return len(self.photographs)

    def sample(self, index: int, side: int, generator: torch.Generator, prior_input: PriorInput | None) -> Sample:
        """See `Source`; `side` is that of the degraded crop, the clean one's is `scale` times as long."""
        (top, height), (left, width) = (self._span(length, side, generator) for length in self.photographs.size(index))
        clean = self.photographs.part(index, top[0], left[0], height, width)
        long = side * self.scale
        clean = pad_to(clean, max(height, long) // self.scale * self.scale, max(width, long) // self.scale * self.scale)
        small = self._small(clean)
        degrade = drawn_family(self.degradations, self.weights, generator).draw(generator)
        degraded = degrade(small, generator)
        rows, columns = (slice(before, before + side) for before in (top[1], left[1]))
        large_rows, large_columns = (
            slice(self.scale * before, self.scale * (before + side)) for before in (top[1], left[1])
        )
        turns, mirrored = random_below(4, generator), bool(random_below(2, generator))
        return Sample(
            turned(degraded[:, rows, columns], turns, mirrored).contiguous(),
            turned(clean[:, large_rows, large_columns], turns, mirrored).contiguous(),
            torch.tensor(WHOLE),
            None,
            degrade,
            scale=self.scale,
        )

    def example(self, index: int) -> Sample:
        """The middle of a photograph under a degradation whose strength and noise are drawn by `index` alone."""
        generator = torch.Generator().manual_seed(index)
        clean = self.photographs[index]
        rows, columns = (min(EXAMPLE_SIDE, length) // self.scale * self.scale for length in clean.shape[1:])
        top, left = (clean.shape[1] - rows) // 2, (clean.shape[2] - columns) // 2
        clean = clean[:, top : top + rows, left : left + columns].contiguous()
        degradation = self.degradations[index % len(self.degradations)].draw(generator)
        degraded = degradation(self._small(clean), generator)
        return Sample(degraded, clean, torch.tensor(WHOLE), degraded, degradation, scale=self.scale)

    def files(self) -> Iterator[Path]:
        """See `Source`."""
        yield from self.photographs.paths

    def parts(self) -> "Sequence[Reduced]":
        """See `Source`."""
        return [self]

    def turn(self, number: int) -> "Reduced":
        """See `Source`."""
        return self

    def seen_whole(self) -> "Reduced":
        """See `Source`."""
        return self

    def without(self, files: Container[Path]) -> "Reduced":
        """The photographs that are not among these resolved paths."""
        kept = [path for path in self.photographs.paths if path.resolve() not in files]
        return replace(self, photographs=Photographs(kept))

    def _small(self, clean: Tensor) -> Tensor:
        height, width = (length // self.scale for length in clean.shape[1:])
        return bicubic(clean, height, width, stored=True)

    def _span(self, length: int, side: int, generator: torch.Generator) -> tuple[tuple[int, int], int]:
        """Where along one side of a photograph a crop lies with its margin: the first pixel, how many pixels of the
        small picture stand before the crop, and how long both are, in pixels of the photograph."""
        long = side * self.scale
        if length <= long:
            return (0, 0), length
        start = random_below(length - long + 1, generator)
        before, after = (min(MARGIN, room // self.scale) for room in (start, length - long - start))
        return (start - before * self.scale, before), (before + side + after) * self.scale


class Turns:
    """Sources whose samples differ in size, such as those of several scales: each batch is drawn from one of them.

    Args:
        sources: one or more; batch `n` is the turn of source `n` modulo their number.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        if not sources:
            raise ValueError("turns need a source or more")
        self.sources = list(sources)

    def __len__(self) -> int:
        """How many photographs there are; the sources have the same ones."""
        return len(self.sources[0])

    def sample(self, index: int, side: int, generator: torch.Generator, prior_input: PriorInput | None) -> Sample:
        """See `Source`: of a source that is drawn."""
        source = self.sources[random_below(len(self.sources), generator)]
        return source.sample(index, side, generator, prior_input)

    def example(self, index: int) -> Sample:
        """The examples of the first source."""
        return self.sources[0].example(index)

    def files(self) -> Iterator[Path]:
        """See `Source`."""
        yield from self.sources[0].files()

    def parts(self) -> Sequence[Source]:
        """See `Source`."""
        return [part for source in self.sources for part in source.parts()]

    def turn(self, number: int) -> Source:
        """The source of batch `number`."""
        return self.sources[number % len(self.sources)].turn(number // len(self.sources))

    def seen_whole(self) -> "Turns":
        """See `Source`."""
        return Turns([source.seen_whole() for source in self.sources])
