"""What all reports share: one HTML file that needs nothing else, how numbers are written in it, and how it is saved."""

import base64
import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from pellucid.errors import DataError
from pellucid.evaluation.reports.figures import COLOURS

__all__ = ["as_uri", "number", "render", "said", "span", "write_page"]

_HOME = "pellucid.evaluation.reports"


def render(template: str, *, package: str = _HOME, style: str | None = None, **context: Any) -> str:
    """A page as the text of one HTML file.

    Everything is inside; a content security policy forbids the browser to load anything else and to run any script but
    the reports' own. Every text of the context is escaped.

    Args:
        template: which extends `page.html`; in the folder `templates` of its package, like the style.
        package: where it is.
        style: a further style sheet, after the shared one.
        context: what the template speaks of.
    """
    loader = ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, _HOME))])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "span": span, "size": _size, "duration": _duration}
    styles = _asset(_HOME, "report.css") + (_asset(package, style) if style else "")
    script = _asset(_HOME, "report.js")
    return environment.get_template(template).render(
        style=styles,
        script=script,
        policy=f"default-src 'none'; img-src data:; style-src {_allowed(styles)}; script-src {_allowed(script)}",
        colours=["#" + bytes(colour).hex() for colour in COLOURS],
        **context,
    )


def write_page(text: str, path: str | os.PathLike[str]) -> None:
    """Writes a page to a file, making its folder. Raises DataError where it cannot be written."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(text.encode("utf-8", "backslashreplace"))  # names of files need not be Unicode
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: the report cannot be written ({error.strerror or error})") from error


def as_uri(png: bytes) -> str:
    """The bytes of a PNG file as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def said(entries: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is known, as pairs of texts."""
    return [(key.replace("_", " "), _text(value)) for key, value in entries.items() if value not in (None, [], {}, "")]


def _asset(package: str, name: str) -> str:
    return (files(package) / "templates" / name).read_text(encoding="utf-8")


def _allowed(text: str) -> str:
    """How a content security policy names an inline style or script of that text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        known = {key: entry for key, entry in value.items() if entry is not None}
        nested = ((key, _text(entry), isinstance(entry, Mapping)) for key, entry in known.items())
        return ", ".join(f"{key} ({text})" if inner else f"{key}: {text}" for key, text, inner in nested)
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) >= 100_000 else str(value)
    return str(value)


def number(value: float | None, digits: int, signed: bool = False) -> str:
    """A number with so many digits behind the point and a real minus; nothing for None."""
    if value is None:
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    value = round(value, digits) + 0.0  # -0.0 becomes 0.0
    return f"{value:{'+' if signed and value else ''}.{digits}f}".replace("-", "−")


def span(interval: Sequence[float] | None, digits: int, signed: bool = False) -> str:
    """An interval as two numbers; nothing for None."""
    return "" if interval is None else " to ".join(number(bound, digits, signed) for bound in interval)


def _duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return ""
    return f"{_short(seconds * 1000)} ms" if seconds < 1 else f"{_short(seconds)} s"


def _size(count: float | None) -> str:
    """Bytes as people say them."""
    if count is None:
        return ""
    power = max(power for power in range(4) if power == 0 or count >= 1000**power)
    return f"{_short(count / 1000**power)} {('bytes', 'kB', 'MB', 'GB')[power]}"


def _short(value: float) -> str:
    """About three digits, never an exponent."""
    return f"{value:.{0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2}f}"
