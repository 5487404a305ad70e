"""Batches of degraded patches, of what is asked for, and of what that leaves; batch `n` is a pure function of `n`."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.data.graphics import drawn_page
from pellucid.data.sources import Source, Synthetic, random_below
from pellucid.degradations import Clean, Degradation
from pellucid.diffusion.operations import less, operation_of
from pellucid.diffusion.prompts import Clause, Prompt
from pellucid.errors import DataError
from pellucid.images import quantise
from pellucid.training.diffusion.settings import DiffusionSettings
from pellucid.training.encoder.batches import generator_of

__all__ = ["Asked", "DiffusionBatch", "DiffusionBatches", "asked_of", "degraded_and_target"]


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
    """

    degraded: Tensor
    target: Tensor
    words: tuple[str, ...]
    times: Tensor
    seed: int
    unseen: Tensor

    def to(self, device: torch.device) -> "DiffusionBatch":
        """The same on a device, the images channels last."""
        degraded, target = (
            image.to(device, memory_format=torch.channels_last) for image in (self.degraded, self.target)
        )
        return DiffusionBatch(degraded, target, self.words, self.times.to(device), self.seed, self.unseen.to(device))


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


def asked_of(steps: Sequence[Degradation], settings: DiffusionSettings, generator: torch.Generator) -> Asked:
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
        if part == 0:
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
        samples = [self._sample(generator) for _ in range(different)]
        samples = (samples * self.settings.draws)[: self.size]
        degraded, target = (torch.stack([sample[part] for sample in samples]) for part in (0, 1))
        # One time in each part of the whole range: batches of random times differ more than what they teach.
        times = (
            torch.randperm(self.size, generator=generator) + torch.rand(self.size, generator=generator)
        ) / self.size
        seed = random_below(2**31, generator)
        unseen = torch.tensor([sample[3] for sample in samples])
        return DiffusionBatch(degraded, target, tuple(sample[2] for sample in samples), times, seed, unseen)

    def _sample(self, generator: torch.Generator) -> tuple[Tensor, Tensor, str, bool]:
        parts = self.source.parts()
        counts = torch.tensor([float(len(part)) for part in parts])
        source = parts[int(torch.multinomial(counts, 1, generator=generator))]
        assert isinstance(source, Synthetic)
        if self.settings.pages and _uniform(generator) < self.settings.pages:
            whole = drawn_page(generator)
        else:
            whole = source.window_of(random_below(len(source), generator), self.crop, generator)
        side = max(self.crop, source.window or self.crop)
        whole = _part(whole, side, generator)
        if self.settings.prior:
            clean = _part(whole, self.crop, generator)
            return clean, clean, "", True
        asked = asked_of(
            source.chain(self.settings.most, self.settings.single, self.settings.clean, generator),
            self.settings,
            generator,
        )
        degraded, target = degraded_and_target(whole.contiguous(), asked, generator)
        both = _part(torch.cat([degraded, target]), self.crop, generator)
        return both[:3], both[3:], str(asked.prompt), asked.unseen


def _part(image: Tensor, side: int, generator: torch.Generator) -> Tensor:
    top, left = (random_below(max(length - side, 0) + 1, generator) for length in image.shape[1:])
    return image[:, top : top + side, left : left + side]


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))
