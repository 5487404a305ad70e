"""An evaluation as one HTML file that needs nothing else: tables, photographs, crops, error maps."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pellucid.errors import DataError
from pellucid.evaluation.candidates import DEGRADED
from pellucid.evaluation.reports.choice import telling_photographs
from pellucid.evaluation.reports.document import closing_notes
from pellucid.evaluation.reports.figures import CLEAN, LARGEST, FigurePlace, Figures, Kind
from pellucid.evaluation.reports.page import as_uri, number, render, said
from pellucid.evaluation.reports.plot import StripPlot, strip_plot
from pellucid.evaluation.reports.tables import Column, Table, tables_of

__all__ = ["as_html"]


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
class ShownPhotograph:
    """One photograph of the figures."""

    photograph: str
    reasons: tuple[str, ...]
    crops: tuple[Crop, ...]
    clean: str | None


@dataclass(frozen=True)
class ReportSection:
    """What a report shows of one column beside its place in a table."""

    data: str
    condition: str
    protocol: str
    plot: StripPlot | None
    shown: tuple[ShownPhotograph, ...]


def as_html(document: Mapping[str, Any], figures_folder: str | os.PathLike[str] | None = None) -> str:
    """A report as the text of one HTML file.

    Pictures are inside as data URIs; see `page.render`. Without scripts all is there but sorting, filtering and the
    enlarged view.

    Args:
        document: what `results.json` holds.
        figures_folder: that of `Figures`; figures that are not there are left out. None shows none.
    """
    figures = None if figures_folder is None else Figures(figures_folder)
    made = document.get("made", {})
    tables = tables_of(document)
    return render(
        "report.html",
        version=document.get("pellucid", ""),
        made=said({key: value for key, value in made.items() if key not in ("models", "date")}),
        models=_models(made.get("models")),
        date=made.get("date"),
        tables=[(table, _headers(table)) for table in tables],
        sections=[section for table in tables for section in _sections(document, table, figures)],
        rows=_rows(document.get("rows", [])),
        extras=list(dict.fromkeys(name for row in document.get("rows", []) for name in row.get("extra", {}))),
        notes=closing_notes(document),
        degraded=DEGRADED,
        largest=LARGEST,
    )


def _models(models: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each model's name and what is known of it, whether the document has details or names alone."""
    if isinstance(models, Mapping):
        return [(name, said(details)) for name, details in models.items()]
    return [(str(name), []) for name in models or []]


def _headers(table: Table) -> list[tuple[str, list[str]]]:
    """The sets of a table's columns, each with its conditions."""
    return [(data, [column.condition for column in group]) for data, group in groupby(table.columns, lambda c: c.data)]


def _sections(document: Mapping[str, Any], table: Table, figures: Figures | None) -> Iterator[ReportSection]:
    """The columns of a table that have rows."""
    for column in table.columns:
        rows, summaries = (
            [entry for entry in document.get(kind, []) if _is_of(entry, column, table.protocol)]
            for kind in ("rows", "summaries")
        )
        if rows and table.protocol is not None:
            shown = [] if figures is None else _shown(rows, figures)
            yield ReportSection(*column, table.protocol, strip_plot(rows, summaries), tuple(shown))


def _is_of(entry: Mapping[str, Any], column: Column, protocol: str | None) -> bool:
    return (entry["data"], entry["condition"], entry["protocol"]) == (*column, protocol)


def _shown(rows: Sequence[Mapping[str, Any]], figures: Figures) -> Iterator[ShownPhotograph]:
    """The telling photographs of a column that have figures."""
    for choice in telling_photographs(rows):
        scores = {
            row["model"]: math.inf if row["psnr"] is None else row["psnr"]
            for row in rows
            if row["photograph"] == choice.photograph
        }
        place = FigurePlace(rows[0]["data"], rows[0]["condition"], rows[0]["protocol"], choice.photograph)
        best = round(max(scores.values()), 2)
        crops = tuple(
            Crop(model, number(psnr, 2), round(psnr, 2) == best, uri, _uri(figures, place, model, "error"))
            for model, psnr in scores.items()
            if (uri := _uri(figures, place, model, "zoom"))
        )
        if crops:
            yield ShownPhotograph(choice.photograph, choice.reasons, crops, _uri(figures, place, CLEAN, "zoom"))


def _uri(figures: Figures, place: FigurePlace, model: str | None, kind: Kind) -> str | None:
    """A figure as a data URI; None where there is none."""
    path = figures.path(place, model, kind)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    return as_uri(data) if data else None


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
