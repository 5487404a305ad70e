"""Degradations as text: printed, parsed back, and drawn from ranges.

noise sigma=25                               one degradation
blur sigma=1.5, noise sigma=25, jpeg quality=40     a chain, in order
noise sigma=0..55, resample kernel=area|bicubic     numbers from a range, words or numbers from a list: a family
blur sigma=0.5..3 chance=0.5, noise sigma=5..25     a step that happens half of the time
real-world                                   a mixture, see `mixtures`
"""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, Literal, Protocol, get_args, get_origin, get_type_hints

import torch

from pellucid.degradations.aberration import Aberration
from pellucid.degradations.banding import Banding
from pellucid.degradations.blur import DefocusBlur, GaussianBlur, ShakeBlur
from pellucid.degradations.camera import CameraNoise
from pellucid.degradations.chains import Chain, Clean, Degradation
from pellucid.degradations.colours import ColourCast, Fading
from pellucid.degradations.compression import Jpeg
from pellucid.degradations.film import FilmGrain
from pellucid.degradations.haze import Haze
from pellucid.degradations.low_light import LowLight
from pellucid.degradations.noise import GaussianNoise, ImpulseNoise, PoissonNoise
from pellucid.degradations.rain import Rain
from pellucid.degradations.rain_lines import RainLines
from pellucid.degradations.resampling import Resample
from pellucid.degradations.ringing import Ringing
from pellucid.degradations.sensor import SensorNoise
from pellucid.degradations.snow import Snow
from pellucid.errors import SettingsError, unknown_name

__all__ = ["DEGRADATIONS", "DrawnChain", "DrawnDegradation", "Family", "Span", "as_text", "parse", "parse_family"]

DEGRADATIONS: Mapping[str, Callable[..., Degradation]] = {
    "clean": Clean,
    "noise": GaussianNoise,
    "poisson-noise": PoissonNoise,
    "sensor-noise": SensorNoise,
    "camera-noise": CameraNoise,
    "film-grain": FilmGrain,
    "impulse-noise": ImpulseNoise,
    "blur": GaussianBlur,
    "defocus": DefocusBlur,
    "shake": ShakeBlur,
    "rain": Rain,
    "rain-lines": RainLines,
    "snow": Snow,
    "haze": Haze,
    "low-light": LowLight,
    "jpeg": Jpeg,
    "resample": Resample,
    "ringing": Ringing,
    "colour-cast": ColourCast,
    "fading": Fading,
    "aberration": Aberration,
    "banding": Banding,
}
"""By the name that texts give them."""

MOST_VALUES = 10_000
"""Combinations of listed values and whole numbers in one family: each of them is checked."""
CHANCE = "chance"
"""The key, in a family, of the probability that a step happens."""

Value = float | str


class Family(Protocol):
    """Degradations of which one is drawn for each photograph."""

    def draw(self, generator: torch.Generator) -> Degradation:
        """A definite degradation."""
        ...


@dataclass(frozen=True)
class Span:
    """What a parameter may be: a number from `low` to `high`, or one of `choices`."""

    low: float = 0.0
    high: float = 0.0
    choices: tuple[Value, ...] = ()

    @property
    def definite(self) -> bool:
        """Whether there is one value only."""
        return len(self.choices) == 1 if self.choices else self.low == self.high

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values that must be allowed for all to be."""
        return self.choices or (self.low, self.high)

    def draw(self, generator: torch.Generator, *, whole: bool) -> Value:
        """One of the choices, or a number uniform in the range; a definite value draws nothing."""
        if self.definite:
            return self.ends[0]
        if self.choices:
            return self.choices[int(torch.randint(len(self.choices), (), generator=generator))]
        if whole:
            return int(torch.randint(int(self.low), int(self.high) + 1, (), generator=generator))
        return self.low + (self.high - self.low) * float(torch.rand((), generator=generator))


@dataclass(frozen=True)
class DrawnDegradation:
    """A degradation whose parameters are ranges or lists: every call to `draw` makes a definite one."""

    name: str
    spans: Mapping[str, Span]
    chance: float = 1.0

    def draw(self, generator: torch.Generator) -> Degradation:
        """A degradation with each parameter drawn; `Clean` where it does not happen."""
        if self.chance < 1 and float(torch.rand((), generator=generator)) >= self.chance:
            return Clean()
        hints = _parameters(self.name)
        return _build(
            self.name, {key: span.draw(generator, whole=hints[key] is int) for key, span in self.spans.items()}
        )


@dataclass(frozen=True)
class DrawnChain:
    """Families of degradations, one after the other; those that do not happen are left out."""

    steps: tuple[DrawnDegradation, ...]

    def draw(self, generator: torch.Generator) -> Degradation:
        """A chain, or what is left of it: one degradation, or `Clean`."""
        return chained([step.draw(generator) for step in self.steps])


def chained(steps: list[Degradation]) -> Degradation:
    """The steps, less those that are `Clean`, as one degradation."""
    happening = [step for step in steps if not isinstance(step, Clean)]
    if not happening:
        return Clean()
    return happening[0] if len(happening) == 1 else Chain(tuple(happening))


def parse(text: str) -> Degradation:
    """The degradation, or chain, that a text such as `blur sigma=2, noise sigma=25` describes.

    Raises:
        SettingsError: the text does not parse; the message points at the word.
    """
    family = parse_family(text)
    for step in family.steps if isinstance(family, DrawnChain) else (family,):
        for key, span in step.spans.items():
            if not span.definite:
                raise SettingsError(f"degradation {text!r}: {key} is a range or a list; one value is needed here")
        if step.chance < 1:
            raise SettingsError(
                f"degradation {text!r}: {CHANCE} leaves open what happens; a definite one is needed here"
            )
    return family.draw(torch.Generator())


def parse_family(text: str) -> DrawnDegradation | DrawnChain:
    """The family of degradations that a text with ranges, such as `noise sigma=0..55`, describes.

    Raises:
        SettingsError: the text does not parse, or an end of a range is not allowed.
    """
    parts = text.split(",")
    if not text.strip():
        raise SettingsError("empty degradation; write for example: noise sigma=25")
    if not all(part.strip() for part in parts):
        raise SettingsError(f"degradation {text!r}: nothing stands before or after a comma")
    steps = tuple(_step(part, text) for part in parts)
    if len(steps) == 1:
        return steps[0]
    family = DrawnChain(steps)
    try:
        Chain(tuple(_build(step.name, {key: span.ends[0] for key, span in step.spans.items()}) for step in steps))
    except SettingsError as error:
        raise SettingsError(f"degradation {text!r}: {error}") from None
    return family


def as_text(degradation: Degradation) -> str:
    """The text from which `parse` makes an equal degradation."""
    if isinstance(degradation, Chain):
        return ", ".join(map(as_text, degradation.steps))
    for name, kind in DEGRADATIONS.items():
        if type(degradation) is kind:
            values = ((field, getattr(degradation, field.name)) for field in fields(degradation))  # type: ignore[arg-type]
            return " ".join(
                [name, *(f"{field.name}={_short(value)}" for field, value in values if value != field.default)]
            )
    raise TypeError(f"not in DEGRADATIONS: {type(degradation).__name__}")


def _short(value: Value) -> Value:
    """Whole numbers as people write them, 25 for 25.0; others to the last digit."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _step(part: str, text: str) -> DrawnDegradation:
    name, *assignments = part.split()
    if name not in DEGRADATIONS:
        raise SettingsError(f"degradation {text!r}: {unknown_name('degradation', name, DEGRADATIONS)}")
    hints = _parameters(name)
    spans: dict[str, Span] = {}
    for word in assignments:
        key, equals, value = word.partition("=")
        if not equals:
            raise SettingsError(f"degradation {text!r}: expected key=value at {word!r}")
        if key in spans:
            raise SettingsError(f"degradation {text!r}: {key} is given twice")
        if key not in hints and key != CHANCE:
            raise SettingsError(f"degradation {name}: {unknown_name('parameter', key, hints)}")
        spans[key] = _span(text, word, value, hints.get(key, float))
    chance = spans.pop(CHANCE, Span(1, 1))
    if not chance.definite or not 0 <= float(chance.ends[0]) <= 1:
        raise SettingsError(f"degradation {text!r}: {CHANCE} is a probability, 0 to 1")
    missing = [field.name for field in fields(DEGRADATIONS[name]) if _needed(field) and field.name not in spans]  # type: ignore[arg-type]
    if missing:
        raise SettingsError(f"degradation {name}: needs {', '.join(missing)}")
    _check(name, spans, hints, text)
    return DrawnDegradation(name, spans, float(chance.ends[0]))


def _check(name: str, spans: Mapping[str, Span], hints: Mapping[str, Any], text: str) -> None:
    """Raises SettingsError where some draw would fail: everything drawn from lists or as whole numbers is tried."""
    for key, span in spans.items():
        for end in span.ends:
            if hints[key] is int and end != int(end):
                raise SettingsError(f"degradation {name}: {key} takes whole numbers, got {end:g}")
    values = [
        span.ends if span.choices or hints[key] is not int else range(int(span.low), int(span.high) + 1)
        for key, span in spans.items()
    ]
    if math.prod(map(len, values)) > MOST_VALUES:
        raise SettingsError(
            f"degradation {text!r}: more than {MOST_VALUES} combinations of values; give smaller ranges"
        )
    for drawn in itertools.product(*values):
        _build(name, dict(zip(spans, drawn, strict=True)))


def _span(text: str, word: str, value: str, hint: Any) -> Span:
    if get_origin(hint) is Literal:
        allowed = get_args(hint)
        chosen = tuple(value.split("|"))
        for one in chosen:
            if one not in allowed:
                raise SettingsError(f"degradation {text!r}: at {word!r}, {unknown_name('value', one, allowed)}")
        return Span(choices=chosen)
    if "|" in value:
        return Span(choices=tuple(_number(text, word, one) for one in value.split("|")))
    low, dots, high = value.partition("..")
    span = Span(_number(text, word, low), _number(text, word, high if dots else low))
    if span.low > span.high:
        raise SettingsError(f"degradation {text!r}: the range at {word!r} runs backwards")
    return span


def _number(text: str, word: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise SettingsError(f"degradation {text!r}: not a number or a range at {word!r}") from None
    if not math.isfinite(number):
        raise SettingsError(f"degradation {text!r}: not a finite number at {word!r}")
    return number


@cache
def _parameters(name: str) -> dict[str, Any]:
    """The parameters of a degradation and their types."""
    kind: Any = DEGRADATIONS[name]
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _build(name: str, values: Mapping[str, Value]) -> Degradation:
    hints = _parameters(name)
    return DEGRADATIONS[name](
        **{key: value if isinstance(value, str) else hints[key](value) for key, value in values.items()}
    )
