"""What a prompt can ask for: one operation for each way in which a photograph is degraded, and its strength.

An amount is the severity that is to be taken away, 0 to 100, on the scale of the degradation itself (its `severity`):
so a degradation says its prompt, and a prompt means the same whatever was trained. Units give the same in numbers that
people know: `denoise sigma 25`, `deblur 2px`, `sr 4x`, `dejpeg quality 40`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pellucid.degradations import DEGRADATIONS, Clean, Degradation

__all__ = ["LARGEST", "OPERATIONS", "Operation", "less", "operation_of", "verb_for"]

LARGEST = 100.0
"""The largest amount: as bad as pellucid trains for."""


LEAST = 0.1
"""A severity below which nothing is left."""
FAINTEST = 100_000.0
"""The peak from which on Poisson noise is none at 8 bits: a thousandth of a level and less."""


@dataclass(frozen=True)
class Operation:
    """What takes a kind of degradation away.

    Attributes:
        degradations: what it is for, by their names in texts.
        aliases: what else it is called.
        units: units of amounts, each with what makes a severity of it.
    """

    degradations: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    units: Mapping[str, Callable[[float], float]] | None = None


OPERATIONS: Mapping[str, Operation] = {
    "denoise": Operation(
        ("noise", "poisson-noise", "sensor-noise", "camera-noise", "film-grain", "impulse-noise"),
        ("remove noise", "remove grain", "clean noise"),
        {"sigma": lambda sigma: min(100, 2 * sigma)},
    ),
    "deblur": Operation(
        ("blur",),
        ("sharpen", "remove blur"),
        {"px": lambda sigma: min(100, 20 * sigma), "sigma": lambda sigma: min(100, 20 * sigma)},
    ),
    "defocus deblur": Operation(
        ("defocus",), ("refocus", "out-of-focus deblur"), {"px": lambda radius: min(100, 10 * radius)}
    ),
    "motion deblur": Operation(("shake",), ("unshake",), {"px": lambda length: min(100, 20 * length / math.sqrt(24))}),
    "dejpeg": Operation(
        ("jpeg",), ("deblock", "remove blocks", "remove artifacts"), {"quality": lambda quality: 100 - quality}
    ),
    "sr": Operation(
        ("resample",),
        ("upscale", "upsample", "super-resolve"),
        {"x": lambda factor: 100 * (1 - 1 / factor) if factor >= 1 else -1.0},
    ),
    "derain": Operation(("rain", "rain-lines"), ("remove rain",)),
    "desnow": Operation(("snow",), ("remove snow",)),
    "dehaze": Operation(("haze",), ("remove haze", "defog")),
    "brighten": Operation(("low-light",), ("light up",)),
    "dering": Operation(("ringing",), ("remove ringing",)),
}
"""By the verb that prompts use, in the order in which networks number them."""


def operation_of(degradation: Degradation) -> str | None:
    """The verb that takes a degradation away; None for `Clean`."""
    if isinstance(degradation, Clean):
        return None
    name = next(name for name, kind in DEGRADATIONS.items() if type(degradation) is kind)
    return next(verb for verb, operation in OPERATIONS.items() if name in operation.degradations)


def verb_for(kind: str) -> str:
    """The verb that takes a kind of degradation away; the first of several. Its amounts are the kind's severities."""
    names = [name for name, degradation in DEGRADATIONS.items() if getattr(degradation, "kind", None) == kind]
    return next(verb for verb, operation in OPERATIONS.items() if set(names) & set(operation.degradations))


def less(degradation: Any, part: float) -> Degradation:
    """The same degradation with so much of its severity, 0 (`Clean`) to 1 (itself); with the same draws it is the same
    noise, the same shake, weaker.

    Raises:
        TypeError: it cannot be made weaker.
    """
    if isinstance(degradation, Clean) or part * degradation.severity < LEAST:
        return Clean()  # a lens hardly out of focus has no kernel that can be drawn
    if part >= 1:
        weaker: Degradation = degradation
        return weaker
    name = next(name for name, kind in DEGRADATIONS.items() if type(degradation) is kind)
    changed: dict[str, Any]
    if name == "jpeg":
        changed = {"quality": round(100 - part * degradation.severity)}
    elif name == "resample":
        changed = {"factor": 1 / (1 - part * degradation.severity / 100)}
    elif name == "poisson-noise":
        changed = {"peak": min(FAINTEST, degradation.peak / part**2)}
    elif name in _LINEAR:
        changed = {_LINEAR[name]: part * getattr(degradation, _LINEAR[name])}
    else:
        raise TypeError(f"{name} cannot be made weaker")
    less_severe: Degradation = replace(degradation, **changed)
    return less_severe


_LINEAR = {
    "noise": "sigma",
    "sensor-noise": "sigma",
    "impulse-noise": "part",
    "blur": "sigma",
    "defocus": "radius",
    "shake": "length",
    "rain": "amount",
    "snow": "amount",
    "haze": "amount",
}
"""Degradations whose severity is in proportion to one of their parameters."""
