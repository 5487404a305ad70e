"""What degradations there are, read from the classes themselves: their fields, and what their docstrings say."""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pellucid.degradations.mixtures import MIXTURES
from pellucid.degradations.texts import CHANCE, DEGRADATIONS

__all__ = ["GRAMMAR", "Entry", "Parameter", "catalogue"]

GRAMMAR = (
    ("noise sigma=25", "one degradation with its parameters"),
    ("blur sigma=2, noise sigma=25, jpeg quality=40", "several, one after the other"),
    ("noise sigma=5..50", "a number from a range, drawn for each photograph"),
    ("noise sigma=15|25|50", "one of several values, drawn for each photograph"),
    (f"blur sigma=2 {CHANCE}=0.5, noise sigma=25", "a step that happens with this probability"),
    ("real-world", "a mixture: what happens is drawn, too"),
)
"""The forms of a text, and what they say."""


@dataclass(frozen=True)
class Parameter:
    """A key that a text may give.

    Attributes:
        name: the key.
        values: `number`, `whole number`, or the words that there are, with bars between.
        default: as text; None where it must be given.
        summary: what it means, with its range.
    """

    name: str
    values: str
    default: str | None
    summary: str


@dataclass(frozen=True)
class Entry:
    """A degradation, or a mixture of them.

    Attributes:
        name: that texts give it.
        kind: what it makes wrong (of `KINDS`), "mixture", or "" for what changes nothing.
        summary: what it is.
        severity: what its severity of 0 to 100 is; empty for a mixture.
        parameters: in their order.
    """

    name: str
    kind: str
    summary: str
    severity: str
    parameters: tuple[Parameter, ...]


def catalogue() -> list[Entry]:
    """Every degradation that a text may name, then the mixtures, in the order of their tables."""
    entries = [_entry(name, str(getattr(one, "kind", "")), one) for name, one in DEGRADATIONS.items()]
    return entries + [_entry(name, "mixture", one) for name, one in MIXTURES.items()]


def _entry(name: str, kind: str, described: Callable[..., Any]) -> Entry:
    of_class: Any = described
    text = inspect.getdoc(of_class) or ""
    about, _, arguments = text.partition("\nArgs:\n")
    summary, *paragraphs = (_one_line(paragraph) for paragraph in about.split("\n\n"))
    severity = next((one.removeprefix("Severity: ") for one in paragraphs if one.startswith("Severity: ")), "")
    said = dict(_arguments(arguments))
    hints = get_type_hints(of_class)
    parameters = tuple(
        Parameter(field.name, _values(hints[field.name]), _default(field), said.get(field.name, ""))
        for field in fields(of_class)
    )
    return Entry(name, kind, summary, severity or _of_property(of_class), parameters)


def _of_property(of_class: Any) -> str:
    """What the property `severity` says of itself, where the class does not."""
    known = inspect.getattr_static(of_class, "severity", None)
    return _one_line(inspect.getdoc(known) or "") if isinstance(known, property) else ""


def _arguments(text: str) -> Iterator[tuple[str, str]]:
    """The names and texts of the section "Args" of a docstring; names that share a text each get it."""
    found = re.split(r"^    (\w+(?:, \w+)*): ", text.split("\n\n")[0], flags=re.MULTILINE)[1:]
    for names, said in zip(found[::2], found[1::2], strict=True):
        for name in names.split(", "):
            yield name, _one_line(said)


def _values(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "|".join(map(str, get_args(hint)))
    return "whole number" if hint is int else "number"


def _default(field: "Field[Any]") -> str | None:
    if field.default is MISSING:
        return None
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


def _one_line(text: str) -> str:
    return " ".join(text.split())
