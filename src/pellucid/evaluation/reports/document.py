"""Results as files and tables, each with the protocol that its numbers were made by."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import StringIO
from typing import Any

from pellucid.evaluation.rows import Row
from pellucid.evaluation.score import Failure
from pellucid.evaluation.summary import Summary
from pellucid.metrics import Protocol
from pellucid.version import __version__

__all__ = [
    "FORMAT",
    "HEADINGS",
    "as_csv",
    "as_document",
    "as_json",
    "as_markdown",
    "closing_notes",
    "described",
    "headings_of",
    "lines_of",
]

FORMAT = 1
"""Of the document."""

HEADINGS = ("data", "condition", "model", "photographs", "PSNR dB", "SSIM", "gain dB", "s / photograph", "peak MB")
"""What `lines_of` holds."""


def as_document(
    rows: Sequence[Row],
    summaries: Sequence[Summary],
    protocols: Sequence[Protocol],
    made: Mapping[str, Any],
    quoted: Sequence[Mapping[str, Any]] = (),
    *,
    failures: Sequence[Failure] = (),
    notes: Sequence[str] = (),
    drawn: Mapping[str, bool] | None = None,
) -> dict[str, Any]:
    """All of an evaluation as one JSON-able document.

    JSON has no infinity: the PSNR of identical pictures is null.

    Args:
        rows: every score.
        summaries: of the rows.
        protocols: those that the rows name.
        made: with what models, data, seed and options.
        quoted: published numbers for the same columns: table, model, data, condition, protocol, psnr, ssim, source.
        failures: photographs that are in no mean.
        notes: what else people should know.
        drawn: by protocol, whether noise was drawn for its pictures; they may have been given.
    """
    drawn = drawn or {}
    return {
        "format": FORMAT,
        "pellucid": __version__,
        "made": dict(made),
        "protocols": {one.name: one.describe(drawn=drawn.get(one.name, True)) for one in protocols},
        "summaries": [_finite(asdict(summary)) for summary in summaries],
        "rows": [row.as_dict() for row in rows],
        "quoted": [dict(row) for row in quoted],
        "failures": [asdict(failure) for failure in failures],
        "notes": list(notes),
    }


def headings_of(document: Mapping[str, Any]) -> list[str]:
    """What the columns of `lines_of` are: `HEADINGS`, and the further metrics of the document."""
    return [*HEADINGS, *_extras(document)]


def lines_of(document: Mapping[str, Any], protocol: str | None) -> list[list[str]]:
    """The table of one protocol as texts, a line per column and model in the order of `headings_of`, quoted ones last.

    None stands for quoted numbers that none of our protocols makes.
    """
    lines = []
    summaries = [summary for summary in document["summaries"] if summary["protocol"] == protocol]
    columns = dict.fromkeys((summary["data"], summary["condition"]) for summary in summaries)
    quoted = [row for row in document["quoted"] if row["protocol"] == protocol]
    columns |= dict.fromkeys((row["data"], row["condition"]) for row in quoted)
    extras = _extras(document)
    for column in columns:
        lines += [_line(summary, extras) for summary in summaries if (summary["data"], summary["condition"]) == column]
        lines += [_quoted_line(row, extras) for row in quoted if (row["data"], row["condition"]) == column]
    return lines


def described(document: Mapping[str, Any]) -> dict[str | None, str]:
    """The protocols of a document's tables in words; None for quoted numbers that none of ours makes."""
    found: dict[str | None, str] = {name: f"Protocol {text}." for name, text in document["protocols"].items()}
    if any(row["protocol"] is None for row in document["quoted"]):
        found[None] = "Quoted numbers that none of our protocols makes: compare them with no others."
    return found


def closing_notes(document: Mapping[str, Any]) -> list[str]:
    """What stands below the tables."""
    models = document.get("made", {}).get("models", {})
    known = [one for one in models.values() if "precision" in one] if isinstance(models, Mapping) else []
    computed = sorted({f"{one['precision']} on {one['device']}" for one in known})
    failures = document.get("failures", [])
    return [
        "Intervals: 95 %, bootstrap over photographs; gains are paired.",
        *([f"Computed in {', '.join(computed)}."] if computed else []),
        *document.get("notes", []),
        *(
            f"Not scored, and in nobody's mean: {one['data']}, {one['condition']}, {one['photograph']}: {one['reason']}"
            for one in failures
        ),
    ]


def as_markdown(document: Mapping[str, Any]) -> str:
    """The tables in Markdown, one per protocol, with the protocol below each."""
    headings = headings_of(document)
    parts = []
    for protocol, description in described(document).items():
        parts += [f"| {' | '.join(headings)} |", "|---|---|---|" + "---:|" * (len(headings) - 3)]
        parts += [f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines_of(document, protocol)]
        parts += ["", description, ""]
    parts += [*(f"- {_escaped(note)}" for note in closing_notes(document)), ""]
    return "\n".join(parts)


def as_csv(document: Mapping[str, Any]) -> str:
    """Every score, a line per photograph, model and column, and the published numbers of the same columns."""
    rows = [{"origin": "run", **row, **row["extra"], "psnr": _or_inf(row["psnr"])} for row in document["rows"]]
    rows += [{"origin": f"quoted: {row['source']}", **row} for row in document["quoted"]]
    fields = dict.fromkeys(key for row in rows for key in row if key not in ("extra", "source", "table"))
    text = StringIO()
    writer = csv.DictWriter(text, fieldnames=list(fields), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _unarmed(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def as_json(document: Mapping[str, Any]) -> str:
    """The document as text."""
    return json.dumps(document, indent=1, allow_nan=False)


def _line(summary: Mapping[str, Any], extras: Sequence[str]) -> list[str]:
    gain, seconds, memory = summary["gain"], summary["seconds"], summary["memory"]
    return [
        summary["data"],
        summary["condition"],
        summary["model"],
        str(summary["photographs"]),
        _number(summary["psnr"], 2, infinite=True) + _identical(summary) + _span(summary["psnr_interval"], 2),
        _number(summary["ssim"], 4),
        "" if gain is None else f"{gain:+.3f}{_span(summary['gain_interval'], 3)}",
        _number(seconds, 3),
        "" if memory is None else f"{memory / 2**20:.0f}",
        *(_number(summary["extra"].get(name), 4) for name in extras),
    ]


def _quoted_line(row: Mapping[str, Any], extras: Sequence[str]) -> list[str]:
    name = f"{row['model']} (quoted: {row['table']})"
    numbers = [_number(row["psnr"], 2), _number(row["ssim"], 4)]
    return [row["data"], row["condition"], name, "", *numbers, "", "", "", *("" for _ in extras)]


def _extras(document: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for summary in document["summaries"] for name in summary["extra"]))


def _or_inf(value: float | None) -> float:
    return float("inf") if value is None else value


def _unarmed(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def _number(value: float | None, digits: int, *, infinite: bool = False) -> str:
    """A number, or nothing; where null stands for infinity, that."""
    return f"{value:.{digits}f}" if value is not None else "inf" if infinite else ""


def _identical(summary: Mapping[str, Any]) -> str:
    return f" ({summary['identical']} identical)" if summary["identical"] else ""


def _span(interval: Sequence[float] | None, digits: int) -> str:
    return "" if interval is None else f" [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", r"\|").replace("<", "&lt;")


def _finite(entries: dict[str, Any]) -> dict[str, Any]:
    return entries | {"psnr": entries["psnr"] if entries["psnr"] < float("inf") else None}
