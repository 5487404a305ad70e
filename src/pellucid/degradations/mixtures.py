"""Mixtures: families of degradations that no single text with ranges describes.

`real-world` draws what may have happened to a photograph of unknown origin: one to four degradations in the order in
which a scene, a lens, a sensor and a file add theirs, sometimes in another order, sometimes a second round of
processing after the first (as the second order of Real-ESRGAN, Wang et al., ICCVW 2021, arXiv 2107.10833, section 3.3),
and now and then nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, get_type_hints

import torch

from pellucid.degradations.chains import Clean, Degradation
from pellucid.degradations.texts import Family, chained, parse_family
from pellucid.errors import SettingsError, unknown_name

__all__ = ["MIXTURES", "SINGLE", "RealWorld", "Single", "parse_mixture"]

SINGLE: dict[str, tuple[str, ...]] = {
    "rain": ("rain amount=5..100",),
    "snow": ("snow amount=5..100",),
    "haze": ("haze amount=10..85",),
    "low-light": ("low-light exposure=0.02..0.5 gamma=1..1.5 noise=0..40 cast=0..0.3",),
    "blur": (
        "blur sigma=0.6..4 ratio=0.5..1 angle=0..180",
        "defocus radius=1..8",
        "shake length=4..40",
    ),
    "noise": (
        "noise sigma=3..55 bits=8",
        "sensor-noise sigma=4..40 correlation=0..1",
        "poisson-noise peak=8..500",
        "impulse-noise part=0.01..0.2 unit=pixel|channel",
    ),
    "low-resolution": ("resample factor=1.5..4 kernel=area|bilinear|bicubic",),
    "ringing": ("ringing cutoff=0.8..2.2",),
    "jpeg": ("jpeg quality=8..90",),
}
"""Every kind with its families, in the order in which they happen: scene, lens, sensor, processing, file."""

WEATHER = ("rain", "snow", "haze")
"""Of these a mixture has one at most."""


@dataclass(frozen=True)
class Single:
    """One degradation, each kind as likely as any other.

    Args:
        clean: how often there is none.
    """

    clean: float = 0.0

    def __post_init__(self) -> None:
        _check_chances(clean=self.clean)

    def draw(self, generator: torch.Generator) -> Degradation:
        """A definite degradation, or `Clean`."""
        if _happens(self.clean, generator):
            return Clean()
        return _drawn(list(SINGLE)[_below(len(SINGLE), generator)], generator)


@dataclass(frozen=True)
class RealWorld:
    """One to four degradations of different kinds, usually in their natural order; sometimes a second round.

    Args:
        fewest, most: how many kinds the first round has, each number as likely as any other.
        clean: how often there is none at all.
        shuffled: how often the order of the first round is random.
        second: how often a second round follows a first one of fewer than `most` kinds: blur, resampling, noise and
            JPEG, each with a probability of 0.4, whether they came before or not, as when a photograph is edited and
            sent on.
    """

    fewest: int = 1
    most: int = 4
    clean: float = 0.03
    shuffled: float = 0.2
    second: float = 0.2

    def __post_init__(self) -> None:
        if not 1 <= self.fewest <= self.most <= len(SINGLE) - len(WEATHER) + 1:
            raise SettingsError(f"real-world: needs 1 <= fewest <= most <= 7, got {self.fewest} and {self.most}")
        _check_chances(clean=self.clean, shuffled=self.shuffled, second=self.second)

    def draw(self, generator: torch.Generator) -> Degradation:
        """A definite degradation, a chain, or `Clean`."""
        if _happens(self.clean, generator):
            return Clean()
        count = self.fewest + _below(self.most - self.fewest + 1, generator)
        kinds = self._kinds(count, generator)
        if not _happens(self.shuffled, generator):
            kinds.sort(key=list(SINGLE).index)
        if count < self.most and _happens(self.second, generator):
            kinds += [kind for kind in ("blur", "low-resolution", "noise", "jpeg") if _happens(0.4, generator)]
        return chained([_drawn(kind, generator) for kind in kinds])

    @staticmethod
    def _kinds(count: int, generator: torch.Generator) -> list[str]:
        """Kinds in random order, with one weather at most."""
        kinds: list[str] = []
        for place in torch.randperm(len(SINGLE), generator=generator).tolist():
            kind = list(SINGLE)[place]
            if len(kinds) < count and not (kind in WEATHER and any(one in WEATHER for one in kinds)):
                kinds.append(kind)
        return kinds


MIXTURES: Mapping[str, Callable[..., Family]] = {"real-world": RealWorld, "single": Single}
"""By the name that texts give them."""


def parse_mixture(text: str) -> Family:
    """The mixture that a text such as `real-world most=2` describes.

    Raises:
        SettingsError: an unknown key, or a value that is not allowed.
    """
    name, *assignments = text.split()
    kind: Any = MIXTURES[name]
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]
    values: dict[str, Any] = {}
    for word in assignments:
        key, equals, value = word.partition("=")
        if not equals:
            raise SettingsError(f"degradation {text!r}: expected key=value at {word!r}")
        if key not in known:
            raise SettingsError(f"degradation {text!r}: {unknown_name('parameter', key, known)}")
        try:
            values[key] = hints[key](value)
        except ValueError:
            wanted = "whole number" if hints[key] is int else "number"
            raise SettingsError(f"degradation {text!r}: not a {wanted} at {word!r}") from None
    family: Family = kind(**values)
    return family


def _drawn(kind: str, generator: torch.Generator) -> Degradation:
    families = SINGLE[kind]
    return _parsed(families[_below(len(families), generator)]).draw(generator)


@cache
def _parsed(text: str) -> Family:
    return parse_family(text)


def _check_chances(**chances: float) -> None:
    for name, chance in chances.items():
        if not 0 <= chance <= 1:
            raise SettingsError(f"{name} is a probability, 0 to 1, got {chance:g}")


def _below(bound: int, generator: torch.Generator) -> int:
    """A whole number from 0 to bound - 1."""
    return int(torch.randint(bound, (), generator=generator))


def _happens(chance: float, generator: torch.Generator) -> bool:
    """Whether what has this probability happens."""
    return float(torch.rand((), generator=generator)) < chance
