"""D, the degradations: clean image in, degraded image out, every draw from an explicit generator.

A degradation is written as text, `noise sigma=25 bits=8`, prints itself as that text, and is read back from it. In a recipe
a number may be a range, `noise sigma=0..55`: each photograph then draws its own value.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, get_type_hints

import torch
from torch import Tensor

from pellucid.degradations.noise import GaussianNoise
from pellucid.errors import SettingsError, unknown_name

__all__ = ["DEGRADATIONS", "Degradation", "DrawnDegradation", "GaussianNoise", "as_text", "parse", "parse_drawn"]


class Degradation(Protocol):
    """y = D(x): clean (..., H, W) in [0, 1] to degraded of the same shape, drawing from the generator alone."""

    def __call__(self, clean: Tensor, generator: torch.Generator, /) -> Tensor:
        """Apply the degradation."""
        ...


DEGRADATIONS: Mapping[str, Callable[..., Degradation]] = {
    "noise": GaussianNoise,
}


@dataclass(frozen=True)
class DrawnDegradation:
    """A degradation whose parameters are ranges: every call to `draw` makes a definite one."""

    name: str
    ranges: Mapping[str, tuple[float, float]]

    def draw(self, generator: torch.Generator) -> Degradation:
        """A degradation with each parameter uniform in its range."""
        drawn = {}
        for key, (low, high) in self.ranges.items():
            drawn[key] = low if low == high else low + (high - low) * float(torch.rand((), generator=generator))
        return _build(self.name, drawn)


def parse(text: str) -> Degradation:
    """The degradation that a text such as `noise sigma=25` describes.

    Raises:
        SettingsError: the text does not parse; the message points at the word.
    """
    drawn = parse_drawn(text)
    for key, (low, high) in drawn.ranges.items():
        if low != high:
            raise SettingsError(f"degradation {text!r}: {key} is a range; one number is needed here")
    return _build(drawn.name, {key: low for key, (low, _) in drawn.ranges.items()})


def parse_drawn(text: str) -> DrawnDegradation:
    """The family of degradations that a text with ranges, such as `noise sigma=0..55`, describes.

    Raises:
        SettingsError: the text does not parse, or an end of a range is not allowed.
    """
    words = text.split()
    if not words:
        raise SettingsError("empty degradation; write for example: noise sigma=25")
    name, *assignments = words
    if name not in DEGRADATIONS:
        raise SettingsError(f"degradation {text!r}: {unknown_name('degradation', name, DEGRADATIONS)}")
    ranges = {}
    for word in assignments:
        key, equals, value = word.partition("=")
        if not equals:
            raise SettingsError(f"degradation {text!r}: expected key=value at {word!r}")
        if key in ranges:
            raise SettingsError(f"degradation {text!r}: {key} is given twice")
        ranges[key] = _range(text, word, value)
    for end in (0, 1):
        _build(name, {key: span[end] for key, span in ranges.items()})
    return DrawnDegradation(name, ranges)


def as_text(degradation: Degradation) -> str:
    """The text from which `parse` makes an equal degradation."""
    for name, kind in DEGRADATIONS.items():
        if type(degradation) is kind:
            values = ((field, getattr(degradation, field.name)) for field in fields(degradation))  # type: ignore[arg-type]
            return " ".join([name, *(f"{field.name}={value!r}" for field, value in values if value != field.default)])
    raise TypeError(f"not in DEGRADATIONS: {type(degradation).__name__}")


def _range(text: str, word: str, value: str) -> tuple[float, float]:
    low, dots, high = value.partition("..")
    try:
        span = (float(low), float(high) if dots else float(low))
    except ValueError:
        raise SettingsError(f"degradation {text!r}: not a number or a range at {word!r}") from None
    if not all(map(math.isfinite, span)):
        raise SettingsError(f"degradation {text!r}: not a finite number at {word!r}")
    if not span[0] <= span[1]:
        raise SettingsError(f"degradation {text!r}: the range at {word!r} runs backwards")
    return span


def _build(name: str, values: Mapping[str, float]) -> Degradation:
    kind = DEGRADATIONS[name]
    hints: dict[str, Any] = get_type_hints(kind)
    known = [key for key in hints if key != "return"]
    for key in values:
        if key not in known:
            raise SettingsError(f"degradation {name}: {unknown_name('parameter', key, known)}")
        if hints[key] is int and values[key] != int(values[key]):
            raise SettingsError(f"degradation {name}: {key} takes whole numbers, got {values[key]:g}")
    try:
        return kind(**{key: hints[key](value) for key, value in values.items()})
    except TypeError:
        raise SettingsError(f"degradation {name}: needs {', '.join(k for k in known if k not in values)}") from None
