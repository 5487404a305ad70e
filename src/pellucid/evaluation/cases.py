"""What is restored: degraded photographs with their clean truth, loaded one at a time."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pellucid import images
from pellucid.errors import DataError
from pellucid.metrics import NoiseStream, Protocol

__all__ = ["PAIRS", "Case", "ahead", "noisy_cases", "paired_cases"]

PAIRS = "pairs"
"""The condition of photographs that are degraded already."""


@dataclass(frozen=True)
class Case:
    """A degraded photograph and its clean truth.

    Attributes:
        data: the set or folder that it is from.
        condition: how it was degraded: "noise sigma=25", or `PAIRS`.
        photograph: its name in the set.
        load: gives (degraded, clean), (1, 3, H, W) each. The cases of one iterator are to be loaded in order: noise on
            8 bits is drawn from one stream for all of them.
    """

    data: str
    condition: str
    photograph: str
    load: Callable[[], tuple[Tensor, Tensor]]


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

        return Case(data, f"noise sigma={sigma:g}", names[path], load)

    return [case(path, sigma) for sigma in sigmas for path in paths]


def paired_cases(data: str, pairs: Sequence[tuple[Path, Path]], protocol: Protocol) -> list[Case]:
    """Pairs of degraded and clean files.

    The degraded picture may be smaller by a whole factor, for networks that enlarge; it is then not cut to what the
    protocol cuts pictures to.

    Raises:
        DataError: (when loaded) partners of other sizes, of different depths, or too small for the protocol.
    """
    # Where several degraded pictures share a clean one, only the degraded ones tell them apart.
    shared = len({second for _, second in pairs}) < len(pairs)
    names = _names([pair[0 if shared else 1] for pair in pairs])

    def case(first: Path, second: Path) -> Case:
        def load() -> tuple[Tensor, Tensor]:
            degraded, clean = images.read(first), images.read(second)
            if degraded.bits != clean.bits:
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
