"""The tables in an evaluation's document (`results.json`), for whatever prints them: one table per protocol."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

__all__ = ["Cell", "Column", "Line", "Table", "tables_of"]


class Column(NamedTuple):
    """What the numbers below one another have in common, beside the table's protocol."""

    data: str
    condition: str


@dataclass(frozen=True)
class Cell:
    """The numbers of one model in one column; None where there is none."""

    psnr: float | None
    """In dB; infinite where nothing differs."""
    ssim: float | None
    psnr_interval: Sequence[float] | None = None
    gain: float | None = None
    """In dB of PSNR over the baseline, paired."""
    gain_interval: Sequence[float] | None = None
    gain_p: float | None = None
    seconds: float | None = None
    memory: float | None = None
    """The most at a time, in bytes."""
    extra: Mapping[str, float] | None = None
    """Further metrics by name."""
    photographs: int | None = None
    psnr_rank: int | None = None
    """1 for the best of the column, 2 for the second, else None; equal as printed (2 decimals) is equal in rank."""
    ssim_rank: int | None = None
    """The same, at 4 decimals."""

    @property
    def proven(self) -> bool:
        """Whether the interval of the gain leaves out 0."""
        return self.gain_interval is not None and (self.gain_interval[0] > 0 or self.gain_interval[1] < 0)


@dataclass(frozen=True)
class Line:
    """One model across a table."""

    model: str
    cells: tuple[Cell | None, ...]
    """One per column; None where the model has no numbers."""
    source: str | None = None
    """Who published the numbers; None where they were run."""


@dataclass(frozen=True)
class Table:
    """All numbers of one protocol."""

    protocol: str | None
    """Its name; None for quoted numbers whose source does not say how they were made."""
    description: str
    """What the document says of the protocol."""
    columns: tuple[Column, ...]
    """Those of one set of photographs are neighbours, by rising condition."""
    run: tuple[Line, ...]
    quoted: tuple[Line, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """Those that were run, then those that are quoted."""
        return self.run + self.quoted

    @property
    def sources(self) -> dict[str, list[Line]]:
        """The quoted lines by who published them."""
        found: dict[str, list[Line]] = {}
        for line in self.quoted:
            found.setdefault(line.source or "", []).append(line)
        return found

    def of(self, columns: Sequence[Column]) -> "Table":
        """The table of some of its columns, without lines that have no numbers there."""
        places = [self.columns.index(column) for column in columns]

        def cut(lines: tuple[Line, ...]) -> tuple[Line, ...]:
            kept = [replace(line, cells=tuple(line.cells[place] for place in places)) for line in lines]
            return tuple(line for line in kept if any(line.cells))

        return replace(self, columns=tuple(columns), run=cut(self.run), quoted=cut(self.quoted))

    @property
    def note(self) -> str:
        """How the numbers are made, as a sentence to put below the table."""
        if self.protocol is None:
            return "How these numbers were made is not said by their sources: compare them with no others."
        named = self.description.startswith(self.protocol)
        return f"Protocol {self.description if named else f'{self.protocol}: {self.description}'}."


def tables_of(document: Mapping[str, Any]) -> list[Table]:
    """The tables of a document, in the order of its protocols; numbers without a protocol have a table of their own.

    Sets and lines keep the order in which the document names them first. Run and quoted numbers of a column are
    ranked together, since they claim to be made alike; a quoted model has one line for each source.
    """
    summaries, quoted = document.get("summaries", []), document.get("quoted", [])
    described = document.get("protocols", {})
    protocols = dict.fromkeys([*described, *(entry["protocol"] for entry in [*summaries, *quoted])])
    names = [name for name in protocols if name is not None] + [name for name in protocols if name is None]
    tables = [
        _table(
            name,
            described.get(name, "not described"),
            [entry for entry in summaries if entry["protocol"] == name],
            [entry for entry in quoted if entry["protocol"] == name],
        )
        for name in names
    ]
    return [table for table in tables if table.columns]


def _table(name: str | None, description: str, summaries: Sequence[Any], quoted: Sequence[Any]) -> Table:
    named = dict.fromkeys(Column(entry["data"], entry["condition"]) for entry in [*summaries, *quoted])
    sets = list(dict.fromkeys(column.data for column in named))
    columns = tuple(sorted(named, key=lambda column: (sets.index(column.data), _natural(column.condition))))
    cells = {(Column(entry["data"], entry["condition"]), entry["model"], None): _run(entry) for entry in summaries}
    cells |= {
        (Column(entry["data"], entry["condition"]), entry["model"], entry["source"]): Cell(entry["psnr"], entry["ssim"])
        for entry in quoted
    }
    for column in columns:
        there = [key for key in cells if key[0] == column]
        by_psnr = _ranks([cells[key].psnr for key in there], 2)
        by_ssim = _ranks([cells[key].ssim for key in there], 4)
        for key, first, second in zip(there, by_psnr, by_ssim, strict=True):
            cells[key] = replace(cells[key], psnr_rank=first, ssim_rank=second)
    lines = [
        Line(model, tuple(cells.get((column, model, source)) for column in columns), source)
        for model, source in dict.fromkeys(key[1:] for key in cells)
    ]
    run = tuple(line for line in lines if line.source is None)
    return Table(name, description, columns, run, tuple(line for line in lines if line.source is not None))


def _run(summary: Mapping[str, Any]) -> Cell:
    """The cell of a summary, where a PSNR that is null is infinite."""
    numbers: dict[str, Any] = {
        field.name: summary.get(field.name) for field in fields(Cell) if "rank" not in field.name
    }
    return Cell(**numbers | {"psnr": math.inf if summary["psnr"] is None else summary["psnr"]})


def _natural(text: str) -> list[tuple[float, str]]:
    """A key that sorts texts with numbers by these: sigma=5 before sigma=15."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return [(float(part), "") if index % 2 else (-1.0, part) for index, part in enumerate(parts)]


def _ranks(values: Iterable[float | None], digits: int) -> list[int | None]:
    """1 for the highest and 2 for the next, as rounded; None for the others, and where there is nothing to compare."""
    rounded = [None if value is None else round(value, digits) for value in values]
    known = [value for value in rounded if value is not None]
    if len(known) < 2:
        return [None] * len(rounded)
    podium = sorted(set(known), reverse=True)[:2]
    return [podium.index(value) + 1 if value in podium else None for value in rounded]
