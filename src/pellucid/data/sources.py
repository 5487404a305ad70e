"""Where training pictures come from: clean photographs that are degraded on the fly, or pairs as they were taken.

A source draws nothing by itself: every choice comes from the generator it is given.
"""

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.data.crops import Box, find_crop, turned_box
from pellucid.data.exposure import matched_exposure
from pellucid.data.folders import Photographs
from pellucid.degradations import Degradation, Family
from pellucid.degradations.camera import photographed
from pellucid.errors import DataError
from pellucid.images.padding import pad_to
from pellucid.refinement.channels import as_rgb

__all__ = [
    "EXAMPLE_SIDE",
    "WHOLE",
    "Images",
    "Mixture",
    "Pairs",
    "PriorInput",
    "Sample",
    "Source",
    "Synthetic",
    "drawn_family",
    "random_below",
    "turned",
]

PriorInput = Literal["whole", "crop"]
"""What a prior is shown of a photograph: all of it, as when it restores, or the training crop alone."""

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
EXAMPLE_SIDE = 256
"""Pixels of an example's side, where a photograph is larger."""


@dataclass(frozen=True)
class Sample:
    """A crop of a photograph.

    Attributes:
        degraded: (3, h, w), or (6, h, w) of the two views of a dual-pixel sensor, the left one first.
        clean: the same place, (3, h, w), or `scale` times as large; None where no clean picture exists.
        grid: where the crop lies in the whole photograph: top, left, bottom, right as fractions of its sides, (4,).
        seen: what the prior is shown, (3, H, W); None if nothing was asked for.
        seen_clean: the clean partner of `seen`, for an oracle; None where there is none, as of the larger photographs
            that a pair's files are crops of.
        degradation: what was done to it here; None where it was taken as it is.
        real: whether it was degraded when it was taken, and may have more than anybody knows.
        kind: what a real one suffers from, where that is known.
        restored: what a network makes of the degraded picture, at the same place, (3, h, w); None where none was asked.
        scale: how many times longer the sides of the clean picture are.
        reference: another picture of the photograph that a guided network is shown, (3, H, W), turned alike.
    """

    degraded: Tensor
    clean: Tensor | None
    grid: Tensor
    seen: Tensor | None
    degradation: Degradation | None = None
    real: bool = False
    kind: str | None = None
    seen_clean: Tensor | None = None
    scale: int = 1
    restored: Tensor | None = None
    reference: Tensor | None = None


class Images(Protocol):
    """Pictures by their number, each (3, H, W)."""

    def __getitem__(self, index: int, /) -> Tensor:
        """One of them."""
        ...


class Source(Protocol):
    """Photographs by their number, from 0 to len(source) - 1."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def sample(self, index: int, side: int, generator: torch.Generator, prior_input: PriorInput | None) -> Sample:
        """A crop of `side` x `side` pixels at a random place, turned and mirrored; smaller photographs are padded."""
        ...

    def example(self, index: int) -> Sample:
        """Always the same sample, not turned, seen whole: for validation."""
        ...

    def files(self) -> Iterator[Path]:
        """Every file that is looked at."""
        ...

    def parts(self) -> "Sequence[Source]":
        """The sources that it is made of: itself, or those of a mixture."""
        ...

    def turn(self, number: int) -> "Source":
        """What batch `number` is drawn from: itself, unless sources take turns."""
        ...

    def seen_whole(self) -> "Source":
        """The same without windows: whole photographs, whatever that costs."""
        ...


@dataclass(frozen=True)
class Synthetic:
    """Clean photographs; each crop draws one of the degradations.

    Args:
        photographs: the clean photographs.
        degradations: one of them is drawn for each crop; example n has the one whose turn it is.
        grey: part of the crops that are made grey, with the same noise in all channels, as grey photographs have it.
        weights: how often each degradation is drawn, in proportion; None for all alike.
        window: a random part of this side, in pixels, counts as the whole photograph; None for the photograph as it is.
        enlarged: part of the crops that are from the photograph made up to twice as large, softer pixel by pixel.
        photographed: part of the crops that a camera without noise takes a picture of first (`camera.photographed`).
    """

    photographs: Photographs
    degradations: Sequence[Family]
    grey: float = 0.0
    weights: Sequence[float] | None = None
    window: int | None = None
    enlarged: float = 0.0
    photographed: float = 0.0

    def __len__(self) -> int:
        """How many photographs there are."""
        return len(self.photographs)

    def sample(self, index: int, side: int, generator: torch.Generator, prior_input: PriorInput | None) -> Sample:
        """See `Source`. Noise is drawn last, so that place and strength do not depend on what the prior is shown."""
        clean = self.window_of(index, side, generator)
        top, left = _corner(clean, side, generator)
        place = (slice(None), slice(top, top + side), slice(left, left + side))
        degrade = drawn_family(self.degradations, self.weights, generator).draw(generator)
        if self.grey and float(torch.rand((), generator=generator)) < self.grey:
            # One channel is degraded and then repeated: three would get noise that averages out.
            clean = clean.mean(0, keepdim=True)
        grid = torch.tensor(_inner(WHOLE, top, left, side, clean.shape))
        if prior_input == "whole":
            # The prior sees the photograph that the crop is from, whole and with the very same noise.
            seen = degrade(clean.contiguous(), generator).expand(3, -1, -1)
            degraded = seen[place]
        else:
            degraded = degrade(clean[place].contiguous(), generator).expand(3, -1, -1)
            seen = degraded
        clean_crop = clean[place].expand(3, -1, -1)
        partner = clean.expand(3, -1, -1) if prior_input == "whole" else clean_crop
        return Sample(degraded, clean_crop, grid, seen if prior_input else None, degrade, seen_clean=partner)

    def example(self, index: int) -> Sample:
        """The middle of a photograph under a degradation whose strength and noise are drawn by `index` alone."""
        generator = torch.Generator().manual_seed(index)
        clean = self.photographs[index]
        degradation = self.degradations[index % len(self.degradations)].draw(generator)
        degraded = degradation(clean, generator)
        height, width = (min(EXAMPLE_SIDE, length) for length in clean.shape[1:])
        top, left = (clean.shape[1] - height) // 2, (clean.shape[2] - width) // 2
        place = (slice(None), slice(top, top + height), slice(left, left + width))
        rows, columns = clean.shape[1:]
        grid = torch.tensor([top / rows, left / columns, (top + height) / rows, (left + width) / columns])
        return Sample(degraded[place], clean[place], grid, degraded, degradation, seen_clean=clean)

    def files(self) -> Iterator[Path]:
        """See `Source`."""
        yield from self.photographs.paths

    def parts(self) -> "Sequence[Synthetic]":
        """See `Source`."""
        return [self]

    def turn(self, number: int) -> "Synthetic":
        """See `Source`."""
        return self

    def seen_whole(self) -> "Synthetic":
        """See `Source`."""
        return replace(self, window=None)

    def without(self, files: Container[Path]) -> "Synthetic":
        """The photographs that are not among these resolved paths."""
        kept = [path for path in self.photographs.paths if path.resolve() not in files]
        return replace(self, photographs=Photographs(kept))

    def window_of(self, index: int, side: int, generator: torch.Generator) -> Tensor:
        """What counts as the whole photograph, clean, turned at random: (3, h, w), at least `side` long."""
        return pad_to(turned(self._clean(index, side, generator), *_turn(generator)), side, side)

    def chain(self, most: int, single: float, clean: float, generator: torch.Generator) -> list[Degradation]:
        """Up to `most` of the degradations in random order, each of another kind; with a chance of `clean` none, of
        `single` one."""
        if float(torch.rand((), generator=generator)) < clean:
            return []
        alone = most == 1 or float(torch.rand((), generator=generator)) < single
        count = 1 if alone else 2 + random_below(most - 1, generator)
        steps: list[Any] = []
        for _ in range(3 * count):
            step: Any = drawn_family(self.degradations, self.weights, generator).draw(generator)
            if step.severity > 0 and step.kind not in {one.kind for one in steps}:
                steps.append(step)
            if len(steps) == count:
                break
        return steps

    def _clean(self, index: int, side: int, generator: torch.Generator) -> Tensor:
        """What counts as the whole photograph: all of it, or a random part, at least `side` long where it can be."""
        enlarged = self.enlarged and float(torch.rand((), generator=generator)) < self.enlarged
        factor = 1 + float(torch.rand((), generator=generator)) if enlarged else 1.0
        if self.window is None:
            clean = self.photographs[index]
        else:
            rows, columns = self.photographs.size(index)
            height, width = (min(math.ceil(max(self.window, side) / factor), length) for length in (rows, columns))
            top, left = random_below(rows - height + 1, generator), random_below(columns - width + 1, generator)
            clean = self.photographs.part(index, top, left, height, width)
        if enlarged:
            size = [math.ceil(length * factor) for length in clean.shape[1:]]
            clean = F.interpolate(clean[None], size, mode="bicubic", align_corners=False)[0].clamp_(0, 1)
        if self.photographed and float(torch.rand((), generator=generator)) < self.photographed:
            clean = photographed(clean, generator)
        return clean


class Mixture:
    """Several sources, each drawn from as often as its weight says; of those without photographs none.

    Args:
        sources: one or more.
        weights: of the sources, in proportion.
    """

    def __init__(self, sources: Sequence[Source], weights: Sequence[float]) -> None:
        if not sources or len(sources) != len(weights):
            raise ValueError(f"one weight for each source: got {len(sources)} sources and {len(weights)} weights")
        self.sources = list(sources)
        self.weights = [weight if len(source) else 0.0 for source, weight in zip(sources, weights, strict=True)]

    def __len__(self) -> int:
        """How many photographs there are, over all sources."""
        return sum(map(len, self.sources))

    def sample(self, index: int, side: int, generator: torch.Generator, prior_input: PriorInput | None) -> Sample:
        """See `Source`. Which source is drawn by weight, and which of its photographs by the generator, not `index`."""
        source = self.sources[_weighted(self.weights, generator)]
        return source.sample(random_below(len(source), generator), side, generator, prior_input)

    def example(self, index: int) -> Sample:
        """The examples of the sources, one source after the other."""
        for source in self.sources:
            if index < len(source):
                return source.example(index)
            index -= len(source)
        raise IndexError(index)

    def files(self) -> Iterator[Path]:
        """See `Source`."""
        for source in self.sources:
            yield from source.files()

    def parts(self) -> "Sequence[Source]":
        """See `Source`."""
        return [part for source in self.sources for part in source.parts()]

    def turn(self, number: int) -> "Mixture":
        """See `Source`."""
        return self

    def seen_whole(self) -> "Mixture":
        """See `Source`."""
        return Mixture([source.seen_whole() for source in self.sources], self.weights)


class Pairs:
    """Real degraded photographs, with clean partners where there are any.

    The files may be crops of larger photographs. Then `wholes` holds these, perhaps averaged down: the prior is shown
    them, and the place of each crop is found in them (`crops.find_crop`). A file whose place is not found, or that has
    no whole, counts as a whole photograph by its position.

    Args:
        degraded: files of degraded photographs.
        clean: their clean partners, in the same order, or None.
        wholes: the photographs that the degraded files are crops of, in the same order, or None.
        memory: bytes that decoded photographs may take, all together.
        kind: what the photographs suffer from, where that is known.
        degradations: one of them is drawn for each crop, and done to the degraded photograph on top of what it has:
            there are few pairs, and each is then another one every time. Not together with `wholes`.
        weights: how often each degradation is drawn, in proportion; None for all alike.
        match_exposure: bring each degraded photograph to the exposure of its clean partner
            (`exposure.matched_exposure`), so that of a dark one the noise is left. Not together with `wholes`.
        restored: what a network makes of each degraded photograph, in the same order, of the same size. Not together
            with what changes the degraded photographs.
        references: another picture of each degraded photograph, in the same order, of any size.
        right: the right views of a dual-pixel sensor, in the order of the degraded ones, which are then the left ones;
            what is degraded has six channels then, left before right, turned and mirrored together, and the prior is
            shown their mean. Not together with what changes the degraded photographs, nor with `wholes`, `restored`.
    """

    def __init__(
        self,
        degraded: Sequence[Path],
        clean: Sequence[Path] | None = None,
        wholes: Sequence[Path] | None = None,
        *,
        memory: int = 4 << 30,
        kind: str | None = None,
        degradations: Sequence[Family] = (),
        weights: Sequence[float] | None = None,
        match_exposure: bool = False,
        restored: Images | None = None,
        references: Images | None = None,
        right: Sequence[Path] | None = None,
    ) -> None:
        if right is not None and (degradations or match_exposure or wholes is not None or restored is not None):
            raise ValueError("the two views of a dual-pixel sensor are as they were taken, whole, and not restored yet")
        if (degradations or match_exposure) and restored is not None:
            raise ValueError("what is restored of a photograph is not known of what is made of it")
        if (degradations or match_exposure) and wholes is not None:
            raise ValueError("what is done to a crop cannot be done to the photograph that it is from")
        if match_exposure and clean is None:
            raise ValueError("the exposure of a clean partner needs one")
        self.match_exposure, self.restored, self.references = match_exposure, restored, references
        self.kind, self.degradations, self.weights = kind, degradations, weights
        kinds = [paths for paths in (degraded, clean, wholes, right) if paths is not None]
        if len({len(paths) for paths in kinds}) > 1:
            lengths = [len(paths) for paths in kinds]
            raise ValueError(f"degraded, clean, wholes and right must be of one length, got {lengths}")
        share = memory // len(kinds)
        self.degraded = Photographs(degraded, memory=share)
        self.clean = None if clean is None else Photographs(clean, memory=share)
        self.wholes = None if wholes is None else Photographs(wholes, memory=share)
        self.right = None if right is None else Photographs(right, memory=share)
        self._boxes: dict[int, Box] = {}

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.degraded)

    def sample(self, index: int, side: int, generator: torch.Generator, prior_input: PriorInput | None) -> Sample:
        """See `Source`; degraded, clean and what the prior is shown are turned alike."""
        turns, mirrored = _turn(generator)
        degraded, clean = (None if image is None else turned(image, turns, mirrored) for image in self._pair(index))
        assert degraded is not None
        shape = degraded.shape
        top, left = _corner(degraded, side, generator)
        place = (slice(None), slice(top, top + side), slice(left, left + side))
        degradation = None
        if self.degradations:
            degradation = drawn_family(self.degradations, self.weights, generator).draw(generator)
            degraded = degradation(degraded.contiguous(), generator)
        box = turned_box(self._box(index), turns, mirrored)
        crop = pad_to(degraded, side, side)[place].contiguous()
        seen = None
        if prior_input == "whole":
            seen = turned(self.wholes[index], turns, mirrored) if self.wholes is not None else _seen(degraded)
        elif prior_input:
            seen = _seen(crop)
        partner = None if clean is None else pad_to(clean, side, side)[place].contiguous()
        restored = self._restored(index)
        if restored is not None:
            restored = pad_to(turned(restored, turns, mirrored), side, side)[place].contiguous()
        grid = torch.tensor(_inner(box, top, left, side, shape))
        seen_clean = partner if prior_input != "whole" else clean if self.wholes is None else None
        reference = None if self.references is None else turned(self.references[index], turns, mirrored)
        return Sample(
            crop, partner, grid, seen, degradation, real=True, kind=self.kind, seen_clean=seen_clean, restored=restored,
            reference=reference,
        )  # fmt: skip

    def example(self, index: int) -> Sample:
        """A pair as it is."""
        degraded, clean = self._pair(index)
        seen = _seen(degraded) if self.wholes is None else self.wholes[index]
        box, restored = torch.tensor(self._box(index)), self._restored(index)
        seen_clean = clean if self.wholes is None else None
        reference = None if self.references is None else self.references[index]
        return Sample(
            degraded, clean, box, seen, real=True, kind=self.kind, seen_clean=seen_clean, restored=restored,
            reference=reference,
        )  # fmt: skip

    def files(self) -> Iterator[Path]:
        """See `Source`."""
        for photographs in (self.degraded, self.clean, self.wholes, self.right):
            yield from photographs.paths if photographs is not None else ()

    def parts(self) -> "Sequence[Pairs]":
        """See `Source`."""
        return [self]

    def turn(self, number: int) -> "Pairs":
        """See `Source`."""
        return self

    def seen_whole(self) -> "Pairs":
        """See `Source`: pairs have no windows."""
        return self

    def without(self, files: Container[Path]) -> "Pairs":
        """The pairs of which no file is among these resolved paths."""
        sides = (self.degraded, self.clean, self.wholes, self.right)
        columns = [None if each is None else each.paths for each in sides]
        kept = [
            place
            for place in range(len(self))
            if not any(column is not None and column[place].resolve() in files for column in columns)
        ]
        degraded, clean, wholes, right = (
            None if column is None else [column[place] for place in kept] for column in columns
        )
        assert degraded is not None
        return Pairs(
            degraded,
            clean,
            wholes,
            right=right,
            kind=self.kind,
            degradations=self.degradations,
            weights=self.weights,
            match_exposure=self.match_exposure,
            restored=None if self.restored is None else _Chosen(self.restored, kept),
            references=None if self.references is None else _Chosen(self.references, kept),
        )

    def with_restored(self, restored: Images) -> "Pairs":
        """The same pairs, with what a network makes of each degraded photograph, in their order."""
        files = [None if each is None else each.paths for each in (self.degraded, self.clean, self.wholes)]
        degraded, *others = files
        assert degraded is not None
        return Pairs(degraded, *others, kind=self.kind, restored=restored)

    def _restored(self, index: int) -> Tensor | None:
        """What a network makes of a degraded photograph, where that is known."""
        if self.restored is None:
            return None
        restored = self.restored[index]
        height, width = self.degraded.size(index)
        if restored.shape != (3, height, width):
            raise DataError(
                f"{self.degraded.paths[index]}: {width} x {height} pixels, and what is restored of it "
                f"{restored.shape[2]} x {restored.shape[1]}"
            )
        return restored

    def _pair(self, index: int) -> tuple[Tensor, Tensor | None]:
        degraded = self.degraded[index]
        clean = None if self.clean is None else self._partner(index, degraded, self.clean, "partner")
        if self.right is not None:
            degraded = torch.cat([degraded, self._partner(index, degraded, self.right, "right view")])
        if self.match_exposure and clean is not None:
            degraded = matched_exposure(degraded, clean)
        return degraded, clean

    def _partner(self, index: int, degraded: Tensor, others: Photographs, what: str) -> Tensor:
        """The picture of the same number among others. Raises DataError where it is of another size."""
        partner = others[index]
        if partner.shape != degraded.shape:
            sizes = " and ".join(f"{image.shape[2]} x {image.shape[1]}" for image in (degraded, partner))
            raise DataError(
                f"{self.degraded.paths[index]}: of another size than its {what} {others.paths[index]} ({sizes})"
            )
        return partner

    def _box(self, index: int) -> Box:
        """Where the file lies in its whole photograph."""
        if self.wholes is None:
            return WHOLE
        if index not in self._boxes:
            self._boxes[index] = find_crop(self.degraded[index], self.wholes[index]) or WHOLE
        return self._boxes[index]


def _seen(degraded: Tensor) -> Tensor:
    """What a prior is shown of a picture, (3, H, W): of two views, (6, H, W), their mean."""
    return as_rgb(degraded[None])[0]


@dataclass(frozen=True)
class _Chosen:
    """Some of the pictures, by new numbers."""

    images: Images
    numbers: Sequence[int]

    def __getitem__(self, index: int) -> Tensor:
        return self.images[self.numbers[index]]


def drawn_family(families: Sequence[Family], weights: Sequence[float] | None, generator: torch.Generator) -> Family:
    """One of them: each as often, or as often as its weight says."""
    if weights is None:
        return families[random_below(len(families), generator)]
    return families[_weighted(weights, generator)]


def _weighted(weights: Sequence[float], generator: torch.Generator) -> int:
    """An index, as often as its weight says."""
    return int(torch.multinomial(torch.tensor(weights, dtype=torch.float64), 1, generator=generator))


def random_below(bound: int, generator: torch.Generator) -> int:
    """A whole number from 0 to `bound` - 1."""
    return int(torch.randint(bound, (), generator=generator))


def _turn(generator: torch.Generator) -> tuple[int, bool]:
    """Quarter turns, and whether left and right change places: one of eight positions."""
    return random_below(4, generator), bool(random_below(2, generator))


def turned(image: Tensor, turns: int, mirrored: bool) -> Tensor:
    """(C, H, W) by quarter turns, then perhaps mirrored."""
    image = torch.rot90(image, turns, (1, 2))
    return image.flip(2) if mirrored else image


def _corner(image: Tensor, side: int, generator: torch.Generator) -> tuple[int, int]:
    """Top and left of a random crop; 0 where the image is no longer than the crop."""
    top, left = (random_below(max(length - side, 0) + 1, generator) for length in image.shape[1:])
    return top, left


def _inner(box: Box, top: int, left: int, side: int, shape: Sequence[int]) -> Box:
    """The box, in the whole photograph, of a crop of a picture of `shape` (C, h, w) which itself lies at `box`."""
    rows, columns = (box[2] - box[0]) / shape[1], (box[3] - box[1]) / shape[2]
    return (
        box[0] + rows * top,
        box[1] + columns * left,
        box[0] + rows * (top + side),
        box[1] + columns * (left + side),
    )
