"""Requests in English beside what a reader has to understand of them, and whether it did.

`tests/words/requests-*.txt` say how what is expected is written: what becomes of each kind of degradation,
not of how a reader says so: `only` of one kind and `skip` of all others are the same.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pellucid.degradations import KINDS, MEASURED
from pellucid.errors import SettingsError
from pellucid.words.wishes import Wishes, wishes_in

BANDS = {"little": (0.01, 0.4), "some": (0.01, 0.9), "half": (0.4, 0.6), "most": (0.6, 0.95)}
EVERY = (*KINDS, *MEASURED)
REFUSALS = {"?": "", "?language": "only English is understood", "?contradiction": "contradicts itself"}


def requests_of(name: str) -> list[tuple[str, str]]:
    """Requests and what is expected, of a file beside `tests/words`."""
    lines = (Path(__file__).parents[1] / "words" / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split(" :: ") for line in lines if line and not line.startswith("#")]
    return [(text, expected.strip()) for text, expected in pairs]


def understood(text: str, expected: str, *, lenient: bool = False) -> bool:
    """Whether one of the readings that are as good is what is understood.

    Args:
        text: the request.
        expected: the readings, with || between them.
        lenient: further kinds may go, amounts count only as all or less, and a refusal may give any reason.
    """
    try:
        wishes: Wishes | str = wishes_in(text)
    except SettingsError as error:
        wishes = str(error)
    return any(_fits(wishes, reading.strip(), lenient) for reading in expected.split("||"))


def _fits(wishes: Wishes | str, reading: str, lenient: bool) -> bool:
    if isinstance(wishes, str) or reading.startswith("?"):
        return isinstance(wishes, str) and reading in REFUSALS and (lenient or REFUSALS[reading] in wishes)
    items = [item.strip() for item in reading.split(",")]
    named = {kind for item in items for kind in _kinds(item)}
    rest = float("everything" in reading)
    others = {round(_gone(wishes, kind), 2) for kind in EVERY if kind not in named}
    size = any(re.fullmatch(r"x[\d.]*", item) for item in items)
    detail = any(item.startswith("detail") for item in items)
    right = lenient or others == {rest} or "everything~" in reading
    right = right and (size or wishes.scale is None) and (lenient or detail or wishes.detail == 0)
    return right and all(_holds(wishes, item, lenient) for item in items)


def _kinds(item: str) -> Iterator[str]:
    names = [kind.strip(" -").split("~")[0] for kind in item.split("/")]
    meant = {"x": "low-resolution", "colour": "colour-cast"}
    yield from (meant.get(name, name) for name in names if meant.get(name, name) in EVERY)


def _gone(wishes: Wishes, kind: str) -> float:
    """How much of a kind goes, 0 to 1, where it is in the picture."""
    if wishes.only:
        return wishes.only.get(kind, 0.0) * wishes.strength
    if kind in wishes.skip or not wishes.restore:
        return 0.0
    return wishes.part.get(kind, 1.0) * wishes.strength


def _holds(wishes: Wishes, item: str, lenient: bool) -> bool:
    name, _, amount = item.partition("~")
    if item == "!":
        return bool(wishes.notes)
    if item == "-colour":
        return wishes.chroma == 0 or "colour-cast" in wishes.skip
    if item.startswith("-"):
        return _gone(wishes, item[1:]) == 0
    if name == "detail":
        return _within(wishes.detail, amount or "any", lenient)
    if re.fullmatch(r"x[\d.]*", item):
        wanted = item[1:]
        larger = wishes.scale is not None and (not wanted or wishes.scale == float(wanted))
        return larger or (not wanted and _gone(wishes, "low-resolution") > 0)
    if name == "everything":
        return not wishes.only and _within(wishes.strength, amount, lenient)
    gone = [_gone(wishes, kind) for kind in _kinds(item)]
    return any(_within(part, amount, lenient) for part in gone)


def _within(value: float, amount: str, lenient: bool) -> bool:
    if amount == "any":
        return value > 0
    if not amount:
        return value >= 0.99
    if lenient:
        return 0 < value < 0.99
    low, high = BANDS[amount] if amount in BANDS else (float(amount) - 0.02, float(amount) + 0.02)
    return low <= value <= high
