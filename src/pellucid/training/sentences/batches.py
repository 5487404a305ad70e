"""Batches of sentences, and of photographs with sentences that are true of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.data.recolouring import recoloured
from pellucid.data.sources import Source, drawn_family, random_below
from pellucid.degradations import KINDS, severities
from pellucid.training.editing.crops import clean_parts, uniform
from pellucid.training.encoder.batches import generator_of
from pellucid.training.sentences.settings import SentencesSettings
from pellucid.words.facts import measured
from pellucid.words.sentences import STATEMENTS, Said, sentence_of, true_statements
from pellucid.words.vocabulary import Vocabulary

__all__ = ["SeenBatch", "SentenceBatch", "SentenceBatches", "SentenceExample", "SentenceExamples", "drawn_statements"]

WINDOW = 288
"""Pixels of a photograph's side that are looked at, at its own resolution."""


@dataclass(frozen=True)
class SentenceExample:
    """What the tower of pictures is shown, (1, 3, s, s) uint8, and all statements that are true of it."""

    view: Tensor
    statements: tuple[str, ...]


@dataclass(frozen=True)
class SentenceBatch:
    """Sentences as numbers of words (n, LENGTH); what they state, (n, statements) of 0 and 1; and a number for each
    meaning, (n,)."""

    tokens: Tensor
    stated: Tensor
    meaning: Tensor

    def to(self, device: torch.device) -> "SentenceBatch":
        """The same on a device."""
        return SentenceBatch(self.tokens.to(device), self.stated.to(device), self.meaning.to(device))


@dataclass(frozen=True)
class SeenBatch:
    """Views (B, 3, s, s) in [0, 1], a true sentence for each, and which others are true of it, (B, B) bool."""

    views: Tensor
    said: SentenceBatch
    true: Tensor

    def to(self, device: torch.device) -> "SeenBatch":
        """The same on a device."""
        views = self.views.to(device, memory_format=torch.channels_last)
        return SeenBatch(views, self.said.to(device), self.true.to(device))


@dataclass(frozen=True)
class SentenceExamples:
    """Examples by their number.

    Args:
        source: clean photographs and degradations.
        view: from a photograph (1, 3, H, W) to what the tower is shown.
        seed: of all draws.
        recoloured: part of the photographs whose colours are changed.
    """

    source: Source
    view: Callable[[Tensor], Tensor]
    seed: int
    recoloured: float

    def __call__(self, index: int, rank: int = 0) -> SentenceExample:
        """Example `index` of process `rank`."""
        generator = generator_of(self.seed, rank, index)
        parts = clean_parts(self.source)
        part = parts[int(torch.multinomial(torch.tensor([float(len(one)) for one in parts]), 1, generator=generator))]
        photograph = part.photographs[random_below(len(part), generator)]
        sides = [min(length, int(WINDOW * (0.75 + 0.5 * uniform(generator)))) for length in photograph.shape[1:]]
        top, left = (
            random_below(length - side + 1, generator) for length, side in zip(photograph.shape[1:], sides, strict=True)
        )
        image = photograph[:, top : top + sides[0], left : left + sides[1]]
        image = (image.flip(2) if uniform(generator) < 0.5 else image).contiguous()
        if uniform(generator) < self.recoloured:
            image = recoloured(image, generator)
        degradation = drawn_family(part.degradations, part.weights, generator).draw(generator)
        image = degradation(image, generator).clamp(0, 1)
        facts = measured(image[None], severities(degradation))
        return SentenceExample((self.view(image[None]) * 255).round().byte(), tuple(true_statements(facts)))


def drawn_statements(true: Sequence[str], most: int, generator: torch.Generator) -> list[str]:
    """Some of the statements that are true of a picture, one at least; those of the whole less often."""
    if not true:
        return ["clean"] if uniform(generator) < 0.5 else ["keep noise"]
    weights = torch.tensor([0.5 if one.startswith("whole") else 1.0 for one in true])
    count = min(1 + random_below(most, generator), len(true))
    return [true[place] for place in torch.multinomial(weights, count, generator=generator).tolist()]


@dataclass(frozen=True)
class SentenceBatches:
    """Batches of text, and from `settings.text_steps` on of pictures.

    Args:
        source: what the examples are drawn from.
        size: pictures of a batch.
        seed: of all draws.
        settings: what is learnt when.
        vocabulary: of the tower of text.
        pool: examples by the step and by places in what there is at that step.
    """

    source: Source
    size: int
    seed: int
    settings: SentencesSettings
    vocabulary: Vocabulary
    window: Callable[[int], int]
    examples: Callable[[int, Sequence[int]], list[SentenceExample]]

    def at(self, number: int, *, rank: int = 0) -> SentenceBatch | SeenBatch:
        """Batch `number` of process `rank`."""
        generator = generator_of(self.seed, rank, number, 1)
        step = max(0, number - self.settings.text_steps)
        text = number < self.settings.text_steps
        count = self.settings.texts if text else self.size
        places = torch.randint(self.window(step), (count,), generator=generator).tolist()
        examples = self.examples(step, places)
        said = []
        for example in examples:
            statements = drawn_statements(example.statements, self.settings.most, generator)
            if text and uniform(generator) < 0.35:
                statements = (
                    _other(generator) if uniform(generator) < 0.6 else [*statements[:2], *_other(generator)[:1]]
                )
            said.append(sentence_of(list(dict.fromkeys(statements)), generator))
        written = _numbered(said, self.vocabulary)
        if text:
            return written
        true = torch.tensor(
            [[said_.statements <= _numbers(example.statements) for said_ in said] for example in examples]
        )
        return SeenBatch(torch.cat([example.view for example in examples]).float() / 255, written, true)


def _other(generator: torch.Generator) -> list[str]:
    """Statements of no picture: wishes, and colours of which any may be asked for."""
    drawn = uniform(generator)
    if drawn < 0.5:
        verbs = ["remove", "remove", "remove", "keep"]
        kinds = torch.randperm(len(KINDS), generator=generator)[: 1 + random_below(2, generator)].tolist()
        return [f"{verbs[random_below(4, generator)]} {KINDS[kind]}" for kind in kinds]
    count = 1 + random_below(3, generator)
    return [STATEMENTS[place] for place in torch.randperm(len(STATEMENTS), generator=generator)[:count].tolist()]


def _numbers(statements: Sequence[str]) -> frozenset[int]:
    return frozenset(STATEMENTS.index(one) for one in statements)


def _numbered(said: Sequence[Said], vocabulary: Vocabulary) -> SentenceBatch:
    stated = torch.zeros(len(said), len(STATEMENTS))
    meanings: dict[frozenset[int], int] = {}
    for row, one in zip(stated, said, strict=True):
        row[sorted(one.statements)] = 1.0
    meaning = torch.tensor([meanings.setdefault(one.statements, len(meanings)) for one in said])
    return SentenceBatch(vocabulary.tokens([one.text for one in said]), stated, meaning)
