"""What is restored: degraded photographs with their clean truth, loaded one at a time."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from pellucid import images
from pellucid.degradations import as_text, parse, parse_drawn
from pellucid.degradations.seeding import drawn_for
from pellucid.errors import DataError, SettingsError
from pellucid.metrics import PROTOCOLS, NoiseStream, Protocol

__all__ = ["PAIRS", "Case", "ahead", "condition_of", "degraded_cases", "noisy_cases", "paired_cases"]

PAIRS = "pairs"
"""The condition of photographs that are degraded already."""


@dataclass(frozen=True)
class Case:
    """A degraded photograph and its clean truth.

    Attributes:
        data: the set or folder that it is from.
        condition: how it was degraded: "noise sigma=25", a degradation or a family of them, or `PAIRS`.
        photograph: its name in the set.
        load: gives (degraded, clean), (1, 3, H, W) each. The cases of one iterator are to be loaded in order: noise on
            8 bits is drawn from one stream for all of them.
        degradation: what was done to this photograph, as a text that `pellucid.degradations.parse` reads; None for the
            noise of the tables, and for pairs.
    """

    data: str
    condition: str
    photograph: str
    load: Callable[[], tuple[Tensor, Tensor]]
    degradation: str | None = None
    told: Mapping[str, float] = field(default_factory=dict)
    """What models that can be told numbers may know of it: `sigma`, where its noise was drawn so."""


def noisy_cases(data: str, paths: Sequence[Path], sigmas: Sequence[float], protocol: Protocol, seed: int) -> list[Case]:
    """Clean photographs with seeded Gaussian noise, drawn as the protocol says; level by level, in the order given.

    Raises:
        SettingsError: the protocol draws no noise.
        DataError: (when loaded) a photograph is too small for the protocol.
    """
    stream = NoiseStream(protocol, seed)
    names = _names(paths)

    def case(path: Path, sigma: float) -> Case:
        def load() -> tuple[Tensor, Tensor]:
            clean = _cropped(images.read(path).pixels, protocol, path)
            return stream.degrade(clean, sigma), clean

        return Case(data, f"noise sigma={sigma:g}", names[path], load, told={"sigma": sigma})

    return [case(path, sigma) for sigma in sigmas for path in paths]


def degraded_cases(
    data: str, paths: Sequence[Path], degradations: Sequence[str], protocol: Protocol, seed: int
) -> list[Case]:
    """Clean photographs, degraded as texts say and stored on 8 bits; text by text, in the order given.

    What is drawn depends on the seed and a photograph's path below the folder `data` alone (where there is no such
    folder: below the one that holds them all), not on the order or the other texts: of files of 8 bits the pixels are
    those that `pellucid degrade` writes for the same folder, text and seed.

    Raises:
        SettingsError: a text does not parse, or the protocol is for pictures that were degraded otherwise.
        DataError: (when loaded) a photograph is too small for the protocol.
    """
    if not protocol.synthetic:
        known = " and ".join(name for name, record in PROTOCOLS.items() if record.synthetic)
        raise SettingsError(
            f"the protocol {protocol.name} is not for degradations given as texts, for other tables make theirs "
            f"otherwise; {known} are"
        )
    names = _names(paths)
    folder = Path(data)
    below = {
        path: path.relative_to(folder).as_posix() if path.is_relative_to(folder) else names[path] for path in paths
    }
    families = {condition_of(text): parse_drawn(text) for text in degradations}

    def case(path: Path, condition: str) -> Case:
        drawn = drawn_for(families[condition], seed, Path(below[path]).with_suffix("").as_posix())

        def load() -> tuple[Tensor, Tensor]:
            clean = _cropped(images.read(path).pixels, protocol, path)
            return images.quantise(drawn(clean, grey=protocol.colour == "grey"), 8), clean

        return Case(data, condition, names[path], load, drawn.text)

    return [case(path, condition) for condition in families for path in paths]


def condition_of(text: str) -> str:
    """What a column of this degradation, or family of them, is called: the same for the same definite degradation.

    Raises:
        SettingsError: the text does not parse.
    """
    try:
        return as_text(parse(text))
    except SettingsError:  # a family, or no degradation at all
        parse_drawn(text)
        return ", ".join(" ".join(part.split()) for part in text.split(","))


def paired_cases(data: str, pairs: Sequence[tuple[Path, Path]], protocol: Protocol) -> list[Case]:
    """Pairs of degraded and clean files.

    The degraded picture may be smaller by a whole factor, for networks that enlarge; it is then not cut to what the
    protocol cuts pictures to.

    Raises:
        DataError: (when loaded) partners of other sizes, of different depths where the protocol does not round, or too
            small for it.
    """
    # Where several degraded pictures share a clean one, only the degraded ones tell them apart.
    shared = len({second for _, second in pairs}) < len(pairs)
    names = _names([pair[0 if shared else 1] for pair in pairs])

    def case(first: Path, second: Path) -> Case:
        def load() -> tuple[Tensor, Tensor]:
            degraded, clean = images.read(first), images.read(second)
            if degraded.bits != clean.bits and protocol.quantisation == "none":  # else both are rounded to 8 bits
                raise DataError(
                    f"{first}: {degraded.bits} bits, but {second} has {clean.bits}; a pair must be of one depth"
                )
            sizes = degraded.pixels.shape[2:], clean.pixels.shape[2:]
            if sizes[0] == sizes[1]:
                return _cropped(degraded.pixels, protocol, first), _cropped(clean.pixels, protocol, second)
            factor = sizes[1][0] // sizes[0][0]
            if sizes[1] != (sizes[0][0] * factor, sizes[0][1] * factor):
                said = " and ".join(f"{width} x {height}" for height, width in sizes)
                raise DataError(f"{first}: differs in size from {second} ({said} pixels)")
            return degraded.pixels, _cropped(clean.pixels, protocol, second)

        return Case(data, PAIRS, names[first if shared else second], load)

    return [case(first, second) for first, second in pairs]


def ahead(cases: Sequence[Case]) -> Iterator[tuple[Case, "Future[tuple[Tensor, Tensor]]"]]:
    """The cases in order with what they have loaded, each read while the one before it is being worked on."""
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(cases[0].load) if cases else None
        for index, case in enumerate(cases):
            loaded = following
            following = reader.submit(cases[index + 1].load) if index + 1 < len(cases) else None
            assert loaded is not None
            wait([loaded])
            yield case, loaded


def _cropped(image: Tensor, protocol: Protocol, path: Path) -> Tensor:
    try:
        return protocol.crop(image)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """What to call files: their paths below the folder that holds them all, with slashes."""
    above = os.path.commonpath([path.parent for path in paths]) if paths else ""
    return {path: Path(os.path.relpath(path, above)).as_posix() for path in paths}
