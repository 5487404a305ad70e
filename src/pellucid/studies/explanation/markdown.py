"""An explanation as Markdown and as JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pellucid.evaluation.candidates import DEGRADED
from pellucid.studies.explanation.feeding import BOOSTED, NETWORK
from pellucid.studies.explanation.labels import BAND_LABELS, METHOD, difference_text, label_of, levels_text, probe_text

__all__ = ["as_markdown"]


def as_markdown(document: Mapping[str, Any]) -> str:
    """The verdict, then the tables of every column."""
    parts = [f"# Does the prior help? {document['made']['model']}", "", f"**{document['verdict']['answer']}**", ""]
    for said in document["verdict"]["columns"]:
        answer = "" if said["answer"] == document["verdict"]["answer"] else f" {said['answer']}"
        parts += [f"*{said['column']}*:{answer}", "", *(f"- {text}" for text in said["sentences"]), ""]
    parts += [f"Note: {note}" for note in document["notes"]] + [""]
    for column in document["columns"]:
        parts += [f"## {column['data']}, {column['condition']}", "", *_column(column, document["protocols"]), ""]
    text = "\n".join([*parts, METHOD, ""])
    return text.encode("utf-8", "backslashreplace").decode()  # names of files need not be Unicode


def _column(column: Mapping[str, Any], protocols: Mapping[str, str]) -> Iterator[str]:
    names = (DEGRADED, NETWORK, BOOSTED)
    psnr = ", ".join(f"{name} {_decibels(column['psnr'][name])}" for name in names)
    yield f"{column['photographs']} photographs; PSNR in dB: {psnr}. Protocol {protocols[column['protocol']]}."
    yield ""
    yield from _table(
        ["difference in PSNR", "dB", "p", "photographs"],
        [[label_of(one["first"], one["second"]), *_numbers(one)] for one in column["comparisons"]],
    )
    if column["changes"]:
        moved = ", ".join(f"{name} {levels_text(value)}" for name, value in column["changes"].items())
        yield ""
        yield f"How far the result moves, in levels of 255 (root mean square): {moved}."
    if column["probe"]:
        yield ""
        yield probe_text(column["probe"])
    if column["terciles"]:
        yield ""
        yield "By the PSNR of the input:"
        yield ""
        thirds = column["terciles"]
        labels = [label_of(one["first"], one["second"]) for one in thirds[0]["comparisons"]]
        lines = [
            [f"{third['low']:.2f} to {third['high']:.2f} dB", *map(_brief, third["comparisons"])] for third in thirds
        ]
        yield from _table(["input", *labels], lines)
    yield ""
    yield "By spatial frequency, dB less error in the luma:"
    yield ""
    lines = []
    for band in column["bands"]:
        found = {(one["first"], one["second"]): _brief(one) for one in band["comparisons"]}
        lines.append([band["band"], f"{band['share']:.1%}", *(found.get(pair, "") for pair in BAND_LABELS)])
    yield from _table(["structures", "share of the error", *BAND_LABELS.values()], lines)


def _table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(map(_escaped, headings))} |"
    yield "|---|" + "---:|" * (len(headings) - 1)
    for line in lines:
        yield f"| {' | '.join(map(_escaped, line))} |"


def _numbers(one: Mapping[str, Any]) -> list[str]:
    return [_brief(one), f"{one['p']:.2g}", str(one["photographs"])]


def _brief(one: Mapping[str, Any]) -> str:
    return difference_text(one["mean"], one["low"], one["high"])


def _decibels(value: float | None) -> str:
    return "inf" if value is None else f"{value:.2f}"


def _escaped(cell: str) -> str:
    return cell.replace("|", r"\|")
