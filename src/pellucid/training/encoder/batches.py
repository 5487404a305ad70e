"""Batches of composite views of degraded photographs, with what is wrong with them, for the degradation encoder.

Degrading a whole photograph costs more than a step of the encoder, so every view is used several times: step n draws
from the last `size` of a sequence of examples that grows by `fresh` a step. Example i is a pure function of the seed
and i, and batch n of the seed and n; what is kept between steps only saves time. So a resumed training sees exactly
what an uninterrupted one would.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from pellucid.data.sources import Sample, Source
from pellucid.degradations import KINDS, severities
from pellucid.diagnosis.heads import rows_of
from pellucid.images import quantise
from pellucid.priors.composite import TILES, join_tiles, split_tiles
from pellucid.training.encoder.captions import caption, meaning, tokens

__all__ = [
    "UNSAID",
    "EncoderBatch",
    "EncoderBatches",
    "Example",
    "Examples",
    "Labels",
    "Pool",
    "generator_of",
    "labelled",
    "rearranged",
    "seen_photograph",
]

FAINT = 10.0
"""Of a severity below this nobody can say by looking whether a kind is there."""

UNSAID = -1
"""The meaning of no caption: the contrastive loss leaves such photographs out."""


@dataclass(frozen=True)
class Labels:
    """What is known of B photographs.

    Attributes:
        known: whether it is known if a kind is there, (B, kinds) bool.
        present: whether it is there, (B, kinds) bool.
        measured: whether its severity is known, (B, kinds) bool.
        severity: 0 to 100, (B, kinds).
        meaning: of the caption, (B,); see `captions.meaning`.
        tokens: of the caption, (B, LENGTH) int64.
    """

    known: Tensor
    present: Tensor
    measured: Tensor
    severity: Tensor
    meaning: Tensor
    tokens: Tensor

    def to(self, device: torch.device) -> "Labels":
        """The same on a device."""
        return Labels(*(getattr(self, field.name).to(device) for field in fields(self)))

    def rows(self, places: Tensor) -> "Labels":
        """The labels of some of the photographs, by their numbers (n,)."""
        return Labels(*(getattr(self, field.name)[places] for field in fields(self)))

    @property
    def certain(self) -> "Labels":
        """The same, where a kind that is there so faintly that nobody sees it counts neither as there nor as absent."""
        faint = self.present & self.measured & (self.severity < FAINT)
        return replace(self, known=self.known & ~faint, present=self.present & ~faint)

    @staticmethod
    def join(labels: Sequence["Labels"]) -> "Labels":
        """The labels of all photographs, those of the first first."""
        return Labels(*(torch.cat([getattr(one, field.name) for one in labels]) for field in fields(Labels)))


@dataclass(frozen=True)
class Example:
    """What the encoder is shown of a photograph, a composite view (1, 3, s, s) uint8, and what is known of it."""

    view: Tensor
    labels: Labels


@dataclass(frozen=True)
class EncoderBatch:
    """B views, (B, 3, s, s) in [0, 1], and what is known of their photographs."""

    views: Tensor
    labels: Labels

    def to(self, device: torch.device) -> "EncoderBatch":
        """The same on a device, the views channels last."""
        return EncoderBatch(self.views.to(device, memory_format=torch.channels_last), self.labels.to(device))


@dataclass(frozen=True)
class Examples:
    """Examples by their number: photographs of a source, and what is known of them.

    Args:
        source: photographs whose degradation, or at least one kind of it, is known.
        view: from a photograph (1, 3, H, W) to what the encoder is shown of it, (1, 3, s, s), both in [0, 1].
        seed: of all draws.
    """

    source: Source
    view: Callable[[Tensor], Tensor]
    seed: int = 0

    def __call__(self, index: int, rank: int = 0) -> Example:
        """Example `index` of process `rank`."""
        image, labels = seen_photograph(self.source, None, generator_of(self.seed, rank, index))
        return Example((self.view(image[None]) * 255).round().byte(), labels)


def seen_photograph(source: Source, index: int | None, generator: torch.Generator) -> tuple[Tensor, Labels]:
    """Photograph `index` of a source, whole, degraded as it draws, as `labelled` gives it; None draws the index."""
    if index is None:
        index = int(torch.randint(len(source), (), generator=generator))
    return labelled(source.sample(index, 1, generator, "whole"), generator)


def labelled(sample: Sample, generator: torch.Generator) -> tuple[Tensor, Labels]:
    """What is seen of a sample, (3, H, W) of 8 bits, and its labels, with a caption that the generator draws.

    Of a real photograph it is known what was done to it here and perhaps one kind that it had before, of which not how
    strong it was; not what else it has.
    """
    assert sample.seen is not None
    there_is = {} if sample.degradation is None else severities(sample.degradation)
    found = {kind: severity for kind, severity in there_is.items() if kind in KINDS}
    drawn, severity = (torch.tensor([row]) for row in rows_of(found))
    if sample.real:
        before = torch.tensor([[kind == sample.kind for kind in KINDS]])
        there, measured = drawn | before, drawn & ~before
        # Without a severity there is no caption.
        labels = Labels(there, there, measured, severity * measured, torch.tensor([UNSAID]), tokens("")[None])
    else:
        said = tokens(caption(found, generator))[None]
        labels = Labels(torch.ones_like(drawn), drawn, drawn, severity, torch.tensor([meaning(found)]), said)
    return quantise(sample.seen, 8), labels


class Pool:
    """The examples that steps draw from, made ahead by a thread.

    Args:
        make: example by number.
        first: examples that the first step draws from.
        fresh: new ones with every step after that.
        size: the oldest are given up beyond so many.
    """

    def __init__(self, make: Callable[[int], Example], *, first: int, fresh: int, size: int) -> None:
        self.make, self.first, self.fresh, self.size = make, first, fresh, size
        self._kept: dict[int, Future[Example]] = {}
        self._thread = ThreadPoolExecutor(1, "examples")

    def window(self, step: int) -> range:
        """The numbers of the examples that a step draws from."""
        end = self.first + step * self.fresh
        return range(max(0, end - self.size), end)

    def at(self, step: int, places: Sequence[int]) -> list[Example]:
        """Examples by their places in the step's window, which need not differ."""
        window = self.window(step)
        for old in [number for number in self._kept if number < window.start]:
            del self._kept[old]
        futures = [self._example(window[place]) for place in places]
        try:
            found = [future.result() for future in futures]
        except BaseException:
            self._thread.shutdown(wait=False, cancel_futures=True)  # or the process would end only when all are made
            raise
        for number in range(window.stop, self.window(step + 1).stop):
            self._example(number)
        return found

    def _example(self, number: int) -> Future[Example]:
        if number not in self._kept:
            self._kept[number] = self._thread.submit(self.make, number)
        return self._kept[number]


@dataclass(frozen=True)
class EncoderBatches:
    """Batches of views, their tiles in another order and some of them mirrored, and of labels.

    Args:
        source: what the examples are drawn from.
        size: of a batch.
        seed: of all draws.
        pool: the pool of each process, by its rank.
    """

    source: Source
    size: int
    seed: int
    pool: Callable[[int], Pool]

    def at(self, number: int, *, rank: int = 0) -> EncoderBatch:
        """Batch `number` of process `rank`."""
        generator = generator_of(self.seed, rank, number, 1)
        pool = self.pool(rank)
        places = torch.randint(len(pool.window(number)), (self.size,), generator=generator).tolist()
        examples = pool.at(number, places)
        views = torch.cat([example.view for example in examples]).float() / 255
        order = torch.stack([torch.randperm(TILES, generator=generator) for _ in examples])
        mirrored = torch.rand(self.size, generator=generator) < 0.5
        return EncoderBatch(rearranged(views, order, mirrored), Labels.join([example.labels for example in examples]))


def rearranged(views: Tensor, order: Tensor, mirrored: Tensor) -> Tensor:
    """Composite views (B, 3, s, s), their tiles in another order, int64 (B, TILES), and some mirrored, bool (B,).

    It is as if the photograph had been cut at other places, or mirrored: what is wrong with it stays.
    """
    whole, tiles = split_tiles(views)
    tiles = tiles[torch.arange(len(tiles))[:, None], order]
    return torch.where(
        mirrored[:, None, None, None], join_tiles(whole.flip(3), tiles.flip(4)), join_tiles(whole, tiles)
    )


def generator_of(seed: int, rank: int, number: int, stream: int = 0) -> torch.Generator:
    """A generator of its own for each number of each process, in one of several streams.

    They are: examples (0), batches (1), draws of the calibration (2), photographs that the heads are fitted to (3), and
    those that a gate is taught by (4).
    """
    entropy = np.random.SeedSequence([seed, rank, number], spawn_key=(stream,)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(entropy >> 1))
