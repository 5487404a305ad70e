"""The tables of an evaluation for a paper: LaTeX that needs booktabs and nothing else."""

import math
import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from pellucid.evaluation.reports.document import closing_notes
from pellucid.evaluation.reports.tables import Cell, Line, Table, tables_of

__all__ = ["as_latex", "escaped"]

_DAGGER = r"$^{\dagger}$"
_WIDEST = 90
"""How many letters fit into a line, about."""
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",  # what it prints anyway; with some packages it is a command
    "`": r"\textasciigrave{}",
    "σ": r"$\sigma$",
}


def as_latex(document: Mapping[str, Any]) -> str:
    r"""One `table` per protocol, for a document that says `\usepackage{booktabs}`.

    Each column (set and condition) has PSNR, and SSIM and gain where any model has them; the best of a column is bold,
    the second underlined. Quoted lines stand below a rule, with a dagger that names their source. The caption says by
    which protocol the numbers were made. What is too wide for a page is cut between sets, one part below the other.
    Letters that pdfLaTeX does not know (of other scripts than Latin) are kept as they are: compile with XeLaTeX or
    LuaLaTeX where there are any.

    Args:
        document: what `results.json` holds.
    """
    version = " ".join(str(document.get("pellucid", "")).split())
    head = f"% Made by pellucid {version}. In the preamble: \\usepackage{{booktabs}}\n"
    notes = "".join(f"% {' '.join(note.split())}\n" for note in closing_notes(document))
    return "\n".join([head + notes, *map(_table, tables_of(document))])


def escaped(text: str) -> str:
    """A text that LaTeX prints as it is, on one line, wherever in a row of a table it stands."""
    plain = " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())
    safe = "".join(_SPECIAL.get(character, character) for character in plain)
    safe = re.sub("-(?=-)", "-{}", safe)  # hyphens side by side would become one dash
    return "{}" + safe if safe.startswith(("[", "*")) else safe  # after the end of a row these would be an option of it


def _table(table: Table) -> str:
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        r"\setlength{\belowcaptionskip}{6pt}",
        rf"\caption{{{_caption(table)}}}",
        "\n\\par\\medskip\n".join(map(_tabular, _parts(table))),
        *([_sources(table)] if table.quoted else []),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _numbers(table: Table) -> list[list[str]]:
    """What is printed of each column: PSNR, and SSIM and gain where any line has them."""
    return [
        [
            "psnr",
            *(name for name in ("ssim", "gain") if any(cell and getattr(cell, name) is not None for cell in cells)),
        ]
        for cells in zip(*(line.cells for line in table.lines), strict=True)
    ]


def _parts(table: Table) -> list[Table]:
    """The table, cut between sets where it would be wider than a page: below one another it can be read."""
    room = _WIDEST - max(len(line.model) for line in table.lines)
    widths = [
        max(len(column.condition), 8 * len(names)) for column, names in zip(table.columns, _numbers(table), strict=True)
    ]
    parts: list[list[int]] = [[]]
    for _, group in groupby(range(len(widths)), lambda index: table.columns[index].data):
        indices = list(group)
        if parts[-1] and sum(widths[index] for index in [*parts[-1], *indices]) > room:
            parts.append([])
        parts[-1] += indices
    return [table.of([table.columns[index] for index in part]) for part in parts]


def _tabular(table: Table) -> str:
    numbers = _numbers(table)
    lines = [
        rf"\begin{{tabular}}{{@{{}}l{'r' * sum(map(len, numbers))}@{{}}}}",
        r"\toprule",
        *_header(table, numbers),
        *(_row(line, numbers) for line in table.run),
        *([r"\midrule"] if table.run and table.quoted else []),
        *(_row(line, numbers) for line in table.quoted),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def _caption(table: Table) -> str:
    """What is in the table, over what, and how it was made."""
    said = {"psnr": "PSNR in dB", "ssim": "SSIM", "gain": r"$\Delta$, the paired gain in PSNR over the baseline"}
    printed = {name for names in _numbers(table) for name in names}
    counts: dict[str, int] = {}
    for line in table.run:
        for column, cell in zip(table.columns, line.cells, strict=True):
            if cell and cell.photographs:
                counts[column.data] = max(counts.get(column.data, 0), cell.photographs)
    over = ", ".join(f"{count} photographs of {escaped(data)}" for data, count in counts.items())
    sentences = [
        ", ".join(text for name, text in said.items() if name in printed),
        f"Means over {over}" if over else "",
        escaped(table.note).rstrip("."),
        "Best in bold, second underlined" if len(table.lines) > 1 else "",
        r"$^{*}$: the 95\,\% interval of the gain leaves out 0" if "gain" in printed else "",
    ]
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def _header(table: Table, numbers: list[list[str]]) -> list[str]:
    """Three rows: sets, conditions, and what the numbers are; rules below the first two."""
    conditions = [(column.condition, len(names)) for column, names in zip(table.columns, numbers, strict=True)]
    columns = zip(table.columns, numbers, strict=True)
    sets = [
        (data, sum(len(names) for _, names in group)) for data, group in groupby(columns, lambda pair: pair[0].data)
    ]
    titles = {"psnr": "PSNR", "ssim": "SSIM", "gain": r"$\Delta$"}
    return [
        *_spanning(sets),
        *_spanning(conditions),
        " & ".join(["Model", *(titles[name] for names in numbers for name in names)]) + r" \\",
        r"\midrule",
    ]


def _spanning(cells: list[tuple[str, int]]) -> list[str]:
    """A row of the header whose cells span several columns, and the rules below them."""
    rules, first = [], 2
    for _, width in cells:
        rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    row = " & ".join(["", *(rf"\multicolumn{{{width}}}{{c}}{{{escaped(text)}}}" for text, width in cells)])
    return [row + r" \\", " ".join(rules)]


def _row(line: Line, numbers: list[list[str]]) -> str:
    name = escaped(line.model) + (_DAGGER if line.source is not None else "")
    printed = [_number(cell, name) for cell, names in zip(line.cells, numbers, strict=True) for name in names]
    return " & ".join([name, *printed]) + r" \\"


def _number(cell: Cell | None, name: str) -> str:
    """One number of a cell; empty where there is none."""
    if cell is None:
        return ""
    if name == "psnr":
        return _ranked(cell.psnr, 2, cell.psnr_rank)
    if name == "ssim":
        return _ranked(cell.ssim, 4, cell.ssim_rank)
    if cell.gain is None:
        return ""
    gain = round(cell.gain, 3) + 0.0  # -0.0 becomes 0.0
    return f"${gain:{'+' if gain else ''}.3f}{'^{*}' if cell.proven else ''}$"


def _ranked(value: float | None, digits: int, rank: int | None) -> str:
    if value is None:
        return ""
    text = r"$\infty$" if math.isinf(value) else f"{value:.{digits}f}"
    return {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(rank or 0, text)


def _sources(table: Table) -> str:
    """The footnote: who published which of the quoted lines."""
    said = "; ".join(
        f"{escaped(', '.join(line.model for line in lines))}: {escaped(source)}"
        for source, lines in table.sources.items()
    )
    return rf"\par\smallskip{{\footnotesize {_DAGGER} Quoted, not run. {said}.\par}}"
