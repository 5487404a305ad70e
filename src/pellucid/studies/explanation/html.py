"""An explanation as one HTML file that needs nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pellucid.evaluation.candidates import DEGRADED
from pellucid.evaluation.reports.page import render, said
from pellucid.evaluation.reports.plot import ticks
from pellucid.studies.explanation.feeding import BOOSTED, NETWORK
from pellucid.studies.explanation.labels import BAND_LABELS, METHOD, digits_of, label_of, levels_text, probe_text
from pellucid.studies.explanation.pictures import PhotographPanels

__all__ = ["as_html"]

_MARGIN = 3
"""Kept free at both ends of a plot, in percent."""
_REACH = 0.01
"""In dB: a plot goes at least so far to both sides of 0, or nothing would look like much."""


@dataclass(frozen=True)
class Bar:
    """One interval in a plot of differences; places in percent from the left."""

    label: str
    mean: float
    low: float
    high: float
    difference: Mapping[str, Any]


@dataclass(frozen=True)
class Plot:
    """Differences on one scale, by what they are of."""

    zero: float
    ticks: tuple[tuple[float, str], ...]
    groups: tuple[tuple[str, tuple[Bar, ...]], ...]


def as_html(document: Mapping[str, Any], shown: Mapping[tuple[str, str, str], Sequence[PhotographPanels]]) -> str:
    """A report as the text of one HTML file; see `evaluation.page.render`.

    Args:
        document: what `explain.json` holds.
        shown: the photographs of each column (data, condition, protocol).
    """
    made = document["made"]
    return render(
        "explain.html",
        package="pellucid.studies.explanation",
        style="explain.css",
        version=document["pellucid"],
        made=said({key: value for key, value in made.items() if key not in ("models", "date", "model")}),
        model=made["model"],
        models=[(name, said(details)) for name, details in made["models"].items()],
        date=made["date"],
        verdict=document["verdict"],
        notes=document["notes"],
        tables=[_table(document, protocol) for protocol in document["protocols"]],
        sections=[
            {
                **column,
                "plot": _plot(_by_label(column["comparisons"])),
                "band_plot": _plot(_by_band(column["bands"])),
                "shown": shown.get((column["data"], column["condition"], column["protocol"]), []),
            }
            for column in document["columns"]
        ],
        label_of=label_of,
        digits_of=digits_of,
        levels_text=levels_text,
        probe_text=probe_text,
        names=(DEGRADED, NETWORK, BOOSTED),
        method=METHOD,
    )


def _table(document: Mapping[str, Any], protocol: str) -> dict[str, Any]:
    """All columns of one protocol, a line per comparison."""
    columns = [column for column in document["columns"] if column["protocol"] == protocol]
    pairs = dict.fromkeys((one["first"], one["second"]) for column in columns for one in column["comparisons"])
    lines = [
        (
            label_of(*pair),
            [
                next((one for one in column["comparisons"] if (one["first"], one["second"]) == pair), None)
                for column in columns
            ],
        )
        for pair in pairs
    ]
    headers = [(data, [one["condition"] for one in group]) for data, group in groupby(columns, lambda one: one["data"])]
    return {
        "protocol": protocol,
        "note": f"Protocol {document['protocols'][protocol]}.",
        "headers": headers,
        "columns": columns,
        "lines": lines,
    }


def _by_label(comparisons: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, Mapping[str, Any]]]]]:
    return [("", [(label_of(one["first"], one["second"]), one)]) for one in comparisons]


def _by_band(bands: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, Mapping[str, Any]]]]]:
    return [
        (
            f"{band['band']} ({band['share']:.0%} of the network's error)",
            [(BAND_LABELS[one["first"], one["second"]], one) for one in band["comparisons"]],
        )
        for band in bands
    ]


def _plot(groups: Sequence[tuple[str, Sequence[tuple[str, Mapping[str, Any]]]]]) -> Plot | None:
    """The places of all differences on one scale that holds 0; None where there are none."""
    values: list[float] = [one[key] for _, group in groups for _, one in group for key in ("low", "high", "mean")]
    if not values:
        return None
    low, high = min(-_REACH, *values), max(_REACH, *values)

    def place(value: float) -> float:
        return round(_MARGIN + (100 - 2 * _MARGIN) * (value - low) / (high - low), 3)

    bars = [
        (
            name,
            tuple(Bar(label, place(one["mean"]), place(one["low"]), place(one["high"]), one) for label, one in group),
        )
        for name, group in groups
    ]
    marks = tuple((place(tick), f"{tick:+g}" if tick else "0") for tick in ticks(low, high))
    return Plot(place(0.0), marks, tuple(bars))
