"""The grammar of prompts: what to take away, how much of it, and where.

    prompt   := [sentence "."] tasks | "remove all degradation" | ""
    tasks    := clause {("," | ";" | "and") clause}
    clause   := verb [amount] [region]
    amount   := ["X"] number ["%"] | unit number | number unit | "light" | "medium" | "heavy"
    region   := "@" name | "in the" name

    denoise 20                                      20 of 100, see `operations`
    sr X16, denoise sigma 25                        several, in any order
    motion deblur 25px @face; denoise 10 @ground    each in its region
    a red fox. sr 60                                a sentence says what is seen
    deblur                                          all of it, however much that is
    sr60-up4-cfg11                                  short, as in names of files: prompt, enlarging, guidance

`str(prompt)` is the canonical text, which parses back to the same prompt.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pellucid.degradations import Chain, Degradation
from pellucid.diffusion.operations import LARGEST, OPERATIONS, operation_of
from pellucid.errors import SettingsError, unknown_name

__all__ = ["ALL", "NEGATIVE", "Clause", "Prompt", "prompt_of", "read_prompt", "read_shorthand"]

ALL = "remove all degradation"
"""The prompt that asks for everything, whatever it is."""
NEGATIVE = "bad"
"""The prompt of pictures as they should not be: what a network has learnt to give back as it is."""
WORDS = {"light": 20.0, "medium": 50.0, "heavy": 80.0}
"""Amounts in words."""

_VERBS = {name: verb for verb, one in OPERATIONS.items() for name in (verb, *one.aliases)}
_VERB = re.compile("|".join(re.escape(name) for name in sorted(_VERBS, key=len, reverse=True)) + r"(?![\w-])")
_NUMBER = r"\d+(?:\.\d+)?"


@dataclass(frozen=True)
class Clause:
    """One operation.

    Attributes:
        verb: of OPERATIONS.
        amount: the severity to be taken away, 0 to 100; None for all there is.
        region: where, by a name; None for everywhere.
    """

    verb: str
    amount: float | None = None
    region: str | None = None

    def __str__(self) -> str:
        amount = "" if self.amount is None else f" {round(self.amount, 2):g}"
        return f"{self.verb}{amount}" + (f" @{self.region}" if self.region else "")


@dataclass(frozen=True)
class Prompt:
    """What is asked for.

    Attributes:
        clauses: the operations.
        sentence: what is seen in the picture, for models that read; empty for nothing.
        all: whether everything is to be taken away.
        bad: whether it describes what is not wanted: a picture that is left as bad as it came.
    """

    clauses: tuple[Clause, ...] = ()
    sentence: str = ""
    all: bool = False
    bad: bool = False

    def __str__(self) -> str:
        tasks = ALL if self.all else NEGATIVE if self.bad else ", ".join(map(str, self.clauses))
        return f"{self.sentence}. {tasks}".strip() if self.sentence else tasks

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that are named, in order, each once."""
        return tuple(dict.fromkeys(clause.region for clause in self.clauses if clause.region))

    def within(self, region: str | None) -> "Prompt":
        """What is asked for in a region: its own clauses and those of everywhere; None for outside of all."""
        own = tuple(Clause(one.verb, one.amount) for one in self.clauses if one.region in (None, region))
        return Prompt(own, self.sentence, self.all, self.bad)


def prompt_of(degradation: Degradation) -> Prompt:
    """The prompt that describes a degradation, or a chain of them in its order."""
    steps: Sequence[Any] = degradation.steps if isinstance(degradation, Chain) else (degradation,)
    named = ((operation_of(step), step.severity) for step in steps)
    return Prompt(tuple(Clause(verb, round(severity, 2)) for verb, severity in named if verb is not None))


@lru_cache(maxsize=4096)
def read_prompt(text: str) -> Prompt:
    """The prompt that a text says.

    Raises:
        SettingsError: it does not parse; the message quotes the word, and a second line points at it.
    """
    sentence, tasks, start = _parted(text)
    said = tasks.strip().lower()
    if said in ("", ALL, NEGATIVE):
        return Prompt((), sentence, said == ALL, said == NEGATIVE)
    clauses = []
    for found in re.finditer(r"(?:(?!\s+and\s)[^,;])+", tasks):
        piece = re.sub(r"^\s*and\s+", lambda match: " " * len(match[0]), found[0])
        clauses.append(_clause(piece, start + found.start(), text))
    for gap in re.finditer(r"^\s*([,;])|([,;])\s*(?=[,;]|$)", tasks):
        raise _error(text, start + gap.start(gap.lastindex or 0), 1, "nothing stands before or after a comma")
    seen: set[tuple[str, str | None]] = set()
    for clause in clauses:
        if (clause.verb, clause.region) in seen:
            raise SettingsError(f"prompt {text!r}: {clause.verb!r} is asked for twice in one place")
        seen.add((clause.verb, clause.region))
    return Prompt(tuple(clauses), sentence)


def read_shorthand(text: str) -> tuple[Prompt, dict[str, float]] | None:
    """Prompt and numbers of a text such as `sr60-up4-cfg11` or `sr60-deblur20-steps10`; None where it is none.

    The numbers are `up`, how often the picture is enlarged first, `cfg`, the weight of the words, and `steps`.
    """
    pieces = [re.fullmatch(rf"([a-z]+)({_NUMBER})", part) for part in text.strip().lower().split("-")]
    if not pieces or any(piece is None for piece in pieces):
        return None
    numbers: dict[str, float] = {}
    clauses = []
    for piece in pieces:
        assert piece is not None
        name, value = piece[1], float(piece[2])
        if name in ("up", "cfg", "steps"):
            numbers[name] = value
        elif name in _VERBS and value <= LARGEST:
            clauses.append(Clause(_VERBS[name], value))
        else:
            return None
    return (Prompt(tuple(clauses)), numbers) if clauses else None


def _parted(text: str) -> tuple[str, str, int]:
    """The sentence before the last full stop that ends one, what is asked for, and where that begins."""
    stops = list(re.finditer(r"\.(?=\s|$)", text))
    if not stops:
        return "", text, 0
    last = stops[-1]
    return text[: last.start()].strip(), text[last.end() :], last.end()


def _clause(piece: str, start: int, text: str) -> Clause:
    body, region = piece, None
    place = re.search(r"(?:@\s*|\bin the\s+)([\w-]+)\s*$", piece)
    if place:
        body, region = piece[: place.start()], place[1]
    elif "@" in piece:
        raise _error(text, start + piece.index("@"), 1, "a region is one name after @, as in denoise 20 @sky")
    lowered = body.lower()
    first = len(body) - len(body.lstrip())
    verb = _VERB.match(lowered, first)
    rest = ""
    if verb is None:  # X16, 20 and so on may stand right behind the verb
        tight = re.match(rf"([a-z-]+?)({_NUMBER}.*)$", lowered[first:].strip(), re.DOTALL)
        if tight is None or tight[1] not in _VERBS:
            word = re.match(r"\S*", body[first:])
            assert word is not None
            raise _error(text, start + first, max(1, len(word[0])), _unknown(word[0]))
        name, rest, after = tight[1], tight[2], first + len(tight[1])
    else:
        name, rest, after = verb[0], lowered[verb.end() :], verb.end()
    amount = _amount(_VERBS[name], rest, start + after, text)
    return Clause(_VERBS[name], amount, region)


def _amount(verb: str, rest: str, start: int, text: str) -> float | None:
    said = rest.strip()
    if not said:
        return None
    place = start + len(rest) - len(rest.lstrip())
    if said in WORDS:
        return WORDS[said]
    units = OPERATIONS[verb].units or {}
    known = "|".join(units) or "(?!)"
    before = re.fullmatch(rf"({known})\s*=?\s*({_NUMBER})", said)
    after = re.fullmatch(rf"({_NUMBER})\s*({known})", said)
    plain = re.fullmatch(rf"x?\s*({_NUMBER})\s*%?", said)
    if before or after:
        unit, number = (before[1], before[2]) if before else (after[2], after[1])  # type: ignore[index]
        amount = units[unit](float(number))
    elif plain:
        amount = float(plain[1])
    else:
        forms = ", ".join(f"'{verb} {form}'" for form in ("20", *([f"{next(iter(units))} 2"] if units else [])))
        raise _error(text, place, len(said), f"{said!r} is no amount of {verb!r}; write for example {forms}")
    if not 0 <= amount <= LARGEST:
        raise _error(text, place, len(said), f"{verb} {said}: the strength is {amount:g} of 0..{LARGEST:g}")
    return amount


def _unknown(word: str) -> str:
    """What is wrong with a verb: near names of all that there are, and the list without aliases."""
    near = unknown_name("verb", word, _VERBS).partition("; known:")[0].partition(" known:")[0].rstrip("; ")
    return f"{near}; known: {', '.join(OPERATIONS)}"


def _error(text: str, place: int, length: int, message: str) -> SettingsError:
    shown = re.sub(r"\s", " ", text)
    return SettingsError(f"prompt {text!r}: {message}\n  {shown}\n  {' ' * place}{'^' * length}")
