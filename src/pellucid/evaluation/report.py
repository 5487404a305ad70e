"""Results as files and tables, each with the protocol that its numbers were made by."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

from pellucid import __version__
from pellucid.errors import DataError
from pellucid.evaluation.rows import Row
from pellucid.evaluation.summary import Summary
from pellucid.metrics import Protocol

__all__ = ["FORMAT", "HEADINGS", "as_csv", "as_document", "as_json", "as_markdown", "lines_of", "write_files"]

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
) -> dict[str, Any]:
    """All of an evaluation as one JSON-able document.

    JSON has no infinity: the PSNR of identical pictures is null.

    Args:
        rows: every score.
        summaries: of the rows.
        protocols: those that the rows name.
        made: with what models, data, seed and options.
        quoted: published numbers for the same columns: table, model, data, condition, protocol, psnr, ssim, source.
    """
    return {
        "format": FORMAT,
        "pellucid": __version__,
        "made": dict(made),
        "protocols": {protocol.name: protocol.describe() for protocol in protocols},
        "summaries": [_finite(asdict(summary)) for summary in summaries],
        "rows": [row.as_dict() for row in rows],
        "quoted": [dict(row) for row in quoted],
    }


def lines_of(document: Mapping[str, Any], protocol: str) -> list[list[str]]:
    """The table of one protocol as texts, a line per column and model in the order of `HEADINGS`, quoted ones last."""
    lines = []
    summaries = [summary for summary in document["summaries"] if summary["protocol"] == protocol]
    columns = dict.fromkeys((summary["data"], summary["condition"]) for summary in summaries)
    quoted = [row for row in document["quoted"] if row["protocol"] == protocol]
    columns |= dict.fromkeys((row["data"], row["condition"]) for row in quoted)
    for column in columns:
        lines += [_line(summary) for summary in summaries if (summary["data"], summary["condition"]) == column]
        lines += [_quoted_line(row) for row in quoted if (row["data"], row["condition"]) == column]
    return lines


def as_markdown(document: Mapping[str, Any]) -> str:
    """The tables in Markdown, one per protocol, with the protocol below each."""
    parts = []
    for protocol, description in document["protocols"].items():
        parts += [f"| {' | '.join(HEADINGS)} |", "|---|---|---|" + "---:|" * (len(HEADINGS) - 3)]
        parts += [f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines_of(document, protocol)]
        parts += ["", f"Protocol {description}.", ""]
    parts += ["Intervals: 95 %, bootstrap over photographs; gains are paired.", ""]
    return "\n".join(parts)


def as_csv(document: Mapping[str, Any]) -> str:
    """Every score, a line per photograph, model and column, and the published numbers of the same columns."""
    rows = [{"origin": "run", **row, **row["extra"]} for row in document["rows"]]
    rows += [{"origin": f"quoted: {row['source']}", **row} for row in document["quoted"]]
    fields = dict.fromkeys(key for row in rows for key in row if key not in ("extra", "source", "table"))
    text = StringIO()
    writer = csv.DictWriter(text, fieldnames=list(fields), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Writes texts to a folder, by name.

    Raises:
        DataError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            partial = folder / f".{name}.partial"
            partial.write_text(text, encoding="utf-8", newline="")
            partial.replace(folder / name)
    except OSError as error:
        raise DataError(f"{folder}: results cannot be written ({error.strerror or error})") from error


def as_json(document: Mapping[str, Any]) -> str:
    """The document as text."""
    return json.dumps(document, indent=1, allow_nan=False)


def _line(summary: Mapping[str, Any]) -> list[str]:
    gain, seconds, memory = summary["gain"], summary["seconds"], summary["memory"]
    return [
        summary["data"],
        summary["condition"],
        summary["model"],
        str(summary["photographs"]),
        _number(summary["psnr"], 2, infinite=True) + _span(summary["psnr_interval"], 2),
        _number(summary["ssim"], 4),
        "" if gain is None else f"{gain:+.3f}{_span(summary['gain_interval'], 3)}",
        _number(seconds, 3),
        "" if memory is None else f"{memory / 2**20:.0f}",
    ]


def _quoted_line(row: Mapping[str, Any]) -> list[str]:
    name = f"{row['model']} (quoted: {row['source']})"
    return [row["data"], row["condition"], name, "", _number(row["psnr"], 2), _number(row["ssim"], 4), "", "", ""]


def _number(value: float | None, digits: int, *, infinite: bool = False) -> str:
    """A number, or nothing; where null stands for infinity, that."""
    return f"{value:.{digits}f}" if value is not None else "inf" if infinite else ""


def _span(interval: Sequence[float] | None, digits: int) -> str:
    return "" if interval is None else f" [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def _escaped(cell: str) -> str:
    return cell.replace("|", r"\|")


def _finite(entries: dict[str, Any]) -> dict[str, Any]:
    return entries | {"psnr": entries["psnr"] if entries["psnr"] < float("inf") else None}
