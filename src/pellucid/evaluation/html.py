"""An evaluation as one HTML file that needs nothing else: tables, photographs, crops, error maps."""

import base64
import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from pellucid.errors import DataError
from pellucid.evaluation.candidates import DEGRADED
from pellucid.evaluation.choice import telling_photographs
from pellucid.evaluation.figures import CLEAN, COLOURS, LARGEST, Figures, Kind, Place
from pellucid.evaluation.plot import StripPlot, strip_plot
from pellucid.evaluation.tables import Column, Table, tables_of

__all__ = ["as_html", "write_html"]


@dataclass(frozen=True)
class Crop:
    """What is shown of one model on one photograph."""

    model: str
    psnr: str
    best: bool
    zoom: str
    """A data URI."""
    error: str | None


@dataclass(frozen=True)
class Shown:
    """One photograph of the figures."""

    photograph: str
    reasons: tuple[str, ...]
    crops: tuple[Crop, ...]
    clean: str | None


@dataclass(frozen=True)
class Section:
    """What a report shows of one column beside its place in a table."""

    data: str
    condition: str
    protocol: str
    plot: StripPlot | None
    shown: tuple[Shown, ...]


def write_html(
    document: Mapping[str, Any], figures_folder: str | os.PathLike[str] | None, path: str | os.PathLike[str]
) -> None:
    """Writes a report of an evaluation to one file; see `as_html`. Raises DataError where it cannot be written."""
    text = as_html(document, figures_folder)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(text.encode("utf-8", "backslashreplace"))  # names of files need not be Unicode
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: the report cannot be written ({error.strerror or error})") from error


def as_html(document: Mapping[str, Any], figures_folder: str | os.PathLike[str] | None = None) -> str:
    """A report as the text of one HTML file.

    Everything is inside, pictures as data URIs; a content security policy forbids the browser to load anything else and
    to run any script but the report's own. Every text of the document is escaped. Without scripts all is there but
    sorting, filtering and the enlarged view.

    Args:
        document: what `results.json` holds.
        figures_folder: that of `Figures`; figures that are not there are left out. None shows none.
    """
    figures = None if figures_folder is None else Figures(figures_folder)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "span": _span, "size": _size, "duration": _duration}
    style, script = _asset("report.css"), _asset("report.js")
    made = document.get("made", {})
    tables = tables_of(document)
    return environment.from_string(_asset("report.html")).render(
        version=document.get("pellucid", ""),
        made=_said({key: value for key, value in made.items() if key not in ("models", "date")}),
        models=_models(made.get("models")),
        date=made.get("date"),
        tables=[(table, _headers(table)) for table in tables],
        sections=[section for table in tables for section in _sections(document, table, figures)],
        rows=_rows(document.get("rows", [])),
        extras=list(dict.fromkeys(name for row in document.get("rows", []) for name in row.get("extra", {}))),
        degraded=DEGRADED,
        colours=["#" + bytes(colour).hex() for colour in COLOURS],
        largest=LARGEST,
        style=style,
        script=script,
        policy=f"default-src 'none'; img-src data:; style-src {_allowed(style)}; script-src {_allowed(script)}",
    )


def _asset(name: str) -> str:
    return (files("pellucid.evaluation") / "templates" / name).read_text(encoding="utf-8")


def _allowed(text: str) -> str:
    """How a content security policy names an inline style or script of that text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _said(entries: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is known, as pairs of texts."""
    return [(key.replace("_", " "), _text(value)) for key, value in entries.items() if value not in (None, [], {}, "")]


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


def _models(models: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each model's name and what is known of it, whether the document has details or names alone."""
    if isinstance(models, Mapping):
        return [(name, _said(details)) for name, details in models.items()]
    return [(str(name), []) for name in models or []]


def _headers(table: Table) -> list[tuple[str, list[str]]]:
    """The sets of a table's columns, each with its conditions."""
    return [(data, [column.condition for column in group]) for data, group in groupby(table.columns, lambda c: c.data)]


def _sections(document: Mapping[str, Any], table: Table, figures: Figures | None) -> Iterator[Section]:
    """The columns of a table that have rows."""
    for column in table.columns:
        rows, summaries = (
            [entry for entry in document.get(kind, []) if _is_of(entry, column, table.protocol)]
            for kind in ("rows", "summaries")
        )
        if rows and table.protocol is not None:
            shown = [] if figures is None else _shown(rows, figures)
            yield Section(*column, table.protocol, strip_plot(rows, summaries), tuple(shown))


def _is_of(entry: Mapping[str, Any], column: Column, protocol: str | None) -> bool:
    return (entry["data"], entry["condition"], entry["protocol"]) == (*column, protocol)


def _shown(rows: Sequence[Mapping[str, Any]], figures: Figures) -> Iterator[Shown]:
    """The telling photographs of a column that have figures."""
    for choice in telling_photographs(rows):
        scores = {
            row["model"]: math.inf if row["psnr"] is None else row["psnr"]
            for row in rows
            if row["photograph"] == choice.photograph
        }
        place = Place(rows[0]["data"], rows[0]["condition"], rows[0]["protocol"], choice.photograph)
        best = round(max(scores.values()), 2)
        crops = tuple(
            Crop(model, _number(psnr, 2), round(psnr, 2) == best, uri, _uri(figures, place, model, "error"))
            for model, psnr in scores.items()
            if (uri := _uri(figures, place, model, "zoom"))
        )
        if crops:
            yield Shown(choice.photograph, choice.reasons, crops, _uri(figures, place, CLEAN, "zoom"))


def _uri(figures: Figures, place: Place, model: str | None, kind: Kind) -> str | None:
    """A figure as a data URI; None where there is none."""
    path = figures.path(place, model, kind)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    return f"data:image/png;base64,{base64.b64encode(data).decode()}" if data else None


def _rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each with what it gained over the degraded input, infinities as such."""
    places = ("data", "condition", "protocol", "photograph")
    psnr = [math.inf if row["psnr"] is None else row["psnr"] for row in rows]
    inputs = {
        tuple(row[key] for key in places): value
        for row, value in zip(rows, psnr, strict=True)
        if row["model"] == DEGRADED
    }
    complete = []
    for row, value in zip(rows, psnr, strict=True):
        before = inputs.get(tuple(row[key] for key in places))
        over = None if before is None or row["model"] == DEGRADED else (0.0 if value == before else value - before)
        complete.append({"seconds": None, "memory": None, "extra": {}, **row, "psnr": value, "over": over})
    return complete


def _number(value: float | None, digits: int, signed: bool = False) -> str:
    if value is None:
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    value = round(value, digits) + 0.0  # -0.0 becomes 0.0
    return f"{value:{'+' if signed and value else ''}.{digits}f}".replace("-", "−")


def _span(interval: Sequence[float] | None, digits: int, signed: bool = False) -> str:
    return "" if interval is None else " to ".join(_number(bound, digits, signed) for bound in interval)


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
