"""Batches of degraded patches, of what is asked for, and of what that leaves; batch `n` is a pure function of `n`."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.data.graphics import drawn_page
from pellucid.data.sources import Source, Synthetic, random_below
from pellucid.degradations import Clean, Degradation
from pellucid.diffusion.operations import less, operation_of
from pellucid.diffusion.prompts import Clause, Prompt
from pellucid.diffusion.small import THUMB
from pellucid.errors import DataError
from pellucid.images import quantise
from pellucid.training.diffusion.settings import DiffusionSettings
from pellucid.training.encoder.batches import generator_of

__all__ = ["Asked", "DiffusionBatch", "DiffusionBatches", "asked_of", "degraded_and_target"]

DRAWS = 1000
"""Chains that are drawn, at most, for one that is not held back."""
LATEST = 1 - 2**-24
"""The time at which there is nothing but noise: the last number before 1."""


@dataclass(frozen=True)
class DiffusionBatch:
    """Patches, and what is to be said of them.

    Attributes:
        degraded: (B, 3, crop, crop) in [0, 1].
        target: what is left when it is done as asked, same shape.
        words: the prompts.
        times: where between picture and noise, of 1000 parts; (B,) in [0, 1).
        seed: of the noise.
        unseen: which of the degraded patches are not shown, (B,) bool.
        grid: where the patches lie in what counts as their photographs, (B, 4), as fractions.
        thumb: those photographs, degraded and small, (B, 3, THUMB, THUMB).
        alone: of which patches nothing is told of the photograph, (B,) bool.
    """

    degraded: Tensor
    target: Tensor
    words: tuple[str, ...]
    times: Tensor
    seed: int
    unseen: Tensor
    grid: Tensor
    thumb: Tensor
    alone: Tensor

    def to(self, device: torch.device) -> "DiffusionBatch":
        """The same on a device, the patches channels last."""
        moved: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Tensor):
                layout = torch.channels_last if value.ndim == 4 else torch.preserve_format
                moved[one.name] = value.to(device, memory_format=layout)
        return replace(self, **moved)


@dataclass(frozen=True)
class Asked:
    """What is done to a picture, and how much of each step is asked to be taken away.

    Attributes:
        steps: the degradations, in order.
        parts: of each, 0 (it stays) to 1 (it goes).
        prompt: that says so.
        unseen: whether the picture is not shown.
    """

    steps: tuple[Degradation, ...]
    parts: tuple[float, ...]
    prompt: Prompt
    unseen: bool = False


def asked_of(steps: Sequence[Any], settings: DiffusionSettings, generator: torch.Generator) -> Asked:
    """What is asked for of a picture to which these steps were done, drawn as the settings say."""
    drawn = _uniform(generator)
    everything = tuple(1.0 for _ in steps)
    if drawn < settings.all:
        return Asked(tuple(steps), everything, Prompt(all=True))
    if drawn < settings.all + settings.bad:
        return Asked(tuple(steps), tuple(0.0 for _ in steps), Prompt(bad=True))
    if drawn < settings.all + settings.bad + settings.unseen:
        return Asked(tuple(steps), everything, Prompt(), unseen=True)
    kind = _uniform(generator)
    if kind < settings.part:
        parts = tuple(min(1.0, 1.1 * _uniform(generator)) for _ in steps)
    elif kind < settings.part + settings.some and len(steps) > 1:
        parts = tuple(float(random_below(2, generator)) for _ in steps)
    else:
        parts = everything
    clauses = []
    for step, part in zip(steps, parts, strict=True):
        verb = operation_of(step)
        assert verb is not None
        if part == 0 and _uniform(generator) < 0.5:  # not named, or named with the amount 0: it stays either way
            continue
        silent = part == 1 and _uniform(generator) < settings.without_number
        clauses.append(Clause(verb, None if silent else round(part * step.severity, 2)))
    if _uniform(generator) < settings.absent:
        named = {operation_of(step) for step in steps}
        others = [verb for verb in ("denoise", "deblur", "dejpeg", "sr") if verb not in named]
        if others:
            clauses.append(Clause(others[random_below(len(others), generator)], 0.0))
    prompt = Prompt() if drawn >= 1 - settings.unsaid else Prompt(tuple(clauses))
    return Asked(tuple(steps), parts, prompt)


def degraded_and_target(clean: Tensor, asked: Asked, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A clean picture (3, H, W) degraded, and with what nobody asked to take away: both from the same draws.

    Each is stored to 8 bits after every step, as chains are.
    """
    seeds = torch.randint(2**31, (len(asked.steps),), generator=generator).tolist()
    degraded, target = clean, clean
    for step, part, seed in zip(asked.steps, asked.parts, seeds, strict=True):
        left = less(step, 1 - part)
        degraded = quantise(step(degraded, torch.Generator().manual_seed(seed)), 8)
        if not isinstance(left, Clean):
            target = quantise(left(target, torch.Generator().manual_seed(seed)), 8)
    return degraded, target


@dataclass(frozen=True)
class _Sample:
    """One patch of a batch."""

    degraded: Tensor
    target: Tensor
    words: str
    unseen: bool
    grid: Tensor
    thumb: Tensor


@dataclass(frozen=True)
class DiffusionBatches:
    """Patches of a source's photographs.

    Args:
        source: clean photographs and degradations.
        crop: side of a patch, in pixels.
        size: patches of a batch.
        seed: of all draws.
        settings: what is asked for.
    """

    source: Source
    crop: int
    size: int
    seed: int
    settings: DiffusionSettings

    def __post_init__(self) -> None:
        if not len(self.source):
            raise DataError("no photographs to train on")
        for part in self.source.parts():
            if not isinstance(part, Synthetic):
                raise DataError("diffusion learns from clean photographs (data.folder), not from pairs")

    def at(self, number: int, *, rank: int = 0) -> DiffusionBatch:
        """Batch `number` of process `rank`."""
        generator = generator_of(self.seed, rank, number)
        different = -(-self.size // self.settings.draws)
        samples = ([self._sample(generator) for _ in range(different)] * self.settings.draws)[: self.size]
        # One time in each part of the whole range: batches of random times differ more than what they teach.
        times = (
            torch.randperm(self.size, generator=generator) + torch.rand(self.size, generator=generator)
        ) / self.size
        if self.settings.regression:
            times[torch.rand(self.size, generator=generator) < self.settings.regression] = LATEST
        return DiffusionBatch(
            torch.stack([sample.degraded for sample in samples]),
            torch.stack([sample.target for sample in samples]),
            tuple(sample.words for sample in samples),
            times,
            random_below(2**31, generator),
            torch.tensor([sample.unseen for sample in samples]),
            torch.stack([sample.grid for sample in samples]),
            torch.stack([sample.thumb for sample in samples]),
            torch.rand(self.size, generator=generator) < self.settings.alone,
        )

    def _asked(self, source: Synthetic, generator: torch.Generator) -> Asked:
        settings = self.settings
        for _ in range(DRAWS):
            chain = source.chain(settings.most, settings.single, settings.clean, generator)
            asked = asked_of(chain, settings, generator)
            if not _held_back(asked, settings):
                return asked
        raise DataError("diffusion.held_back and orders_held_back leave nothing of data.degradations to train on")

    def _sample(self, generator: torch.Generator) -> _Sample:
        parts = self.source.parts()
        counts = torch.tensor([float(len(part)) for part in parts])
        source = parts[int(torch.multinomial(counts, 1, generator=generator))]
        assert isinstance(source, Synthetic)
        if self.settings.pages and _uniform(generator) < self.settings.pages:
            whole = drawn_page(generator)
        else:
            whole = source.window_of(random_below(len(source), generator), self.crop, generator)
        side = max(self.crop, source.window or self.crop)
        whole = _part(whole, side, generator).contiguous()
        asked = Asked((), (), Prompt(), unseen=True)
        if not self.settings.prior:
            asked = self._asked(source, generator)
        degraded, target = degraded_and_target(whole, asked, generator)
        height, width = whole.shape[1:]
        top, left = (random_below(length - self.crop + 1, generator) for length in (height, width))
        rows, columns = slice(top, top + self.crop), slice(left, left + self.crop)
        return _Sample(
            degraded[:, rows, columns],
            target[:, rows, columns],
            str(asked.prompt),
            asked.unseen,
            torch.tensor([top / height, left / width, rows.stop / height, columns.stop / width]),
            F.interpolate(degraded[None], (THUMB, THUMB), mode="bilinear", antialias=True)[0],
        )


def _held_back(asked: Asked, settings: DiffusionSettings) -> bool:
    """Whether training must not see this: an amount or an order that is kept for measuring."""
    steps: Sequence[Any] = asked.steps
    verbs = [operation_of(step) for step in steps]
    if any(pair in settings.orders_held_back for pair in combinations(verbs, 2)):
        return True
    if settings.held_back is None:
        return False
    low, high = settings.held_back
    named = [clause.amount for clause in asked.prompt.clauses if clause.amount is not None]
    return any(low <= amount <= high for amount in [step.severity for step in steps] + named)


def _part(image: Tensor, side: int, generator: torch.Generator) -> Tensor:
    top, left = (random_below(max(length - side, 0) + 1, generator) for length in image.shape[1:])
    return image[:, top : top + side, left : left + side]


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))
