"""Results as files and tables, each with the protocol that its numbers were made by."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pellucid.errors import DataError
from pellucid.evaluation.evaluate import Row, Summary
from pellucid.metrics import Protocol

__all__ = ["as_document", "as_markdown", "write_results"]


def as_document(
    rows: Sequence[Row], summaries: Sequence[Summary], protocol: Protocol, made: dict[str, Any]
) -> dict[str, Any]:
    """All of an evaluation as one JSON-able document; `made` says with what models, data and seed.

    JSON has no infinity: the PSNR of identical pictures is null.
    """
    return {
        "protocol": {"name": protocol.name, "description": protocol.describe()},
        "made": made,
        "summaries": [_finite(asdict(summary)) for summary in summaries],
        "rows": [_finite(asdict(row)) for row in rows],
    }


def _finite(entries: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in entries.items()
    }


def as_markdown(summaries: Sequence[Summary], protocol: Protocol) -> str:
    """The table in Markdown, its protocol below it."""
    lines = ["| condition | model | PSNR dB | SSIM | gain dB | s / photograph |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(cells(summary))} |" for summary in summaries]
    return "\n".join([*lines, "", f"Protocol {protocol.describe()}. Intervals: 95 %, bootstrap over photographs.", ""])


def cells(summary: Summary) -> list[str]:
    """The texts of one row of a table: condition, model, PSNR, SSIM, gain, seconds."""
    return [
        summary.condition,
        summary.model,
        f"{summary.psnr:.2f}{_span(summary.psnr_interval, 2)}",
        f"{summary.ssim:.4f}",
        "" if summary.gain is None else f"{summary.gain:+.3f}{_span(summary.gain_interval, 3)}",
        f"{summary.seconds:.2f}",
    ]


def write_results(document: dict[str, Any], summaries: Sequence[Summary], protocol: Protocol, folder: Path) -> None:
    """Writes `results.json`, `results.csv` (a line per photograph) and `results.md` to a folder.

    Raises:
        DataError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
        (folder / "results.md").write_text(as_markdown(summaries, protocol), encoding="utf-8")
        with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(document["rows"][0]))
            writer.writeheader()
            writer.writerows(document["rows"])
    except OSError as error:
        raise DataError(f"{folder}: results cannot be written ({error.strerror or error})") from error


def _span(interval: tuple[float, float] | None, digits: int) -> str:
    return "" if interval is None else f" [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"
