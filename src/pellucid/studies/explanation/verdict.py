"""What the numbers allow to be said, in plain words and no more than that."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pellucid.studies.explanation.differences import FEWEST, Comparison, ExplainedColumn
from pellucid.studies.explanation.feeding import ANOTHER, BOOSTED, FED, NETWORK, RANDOM, ZEROS
from pellucid.studies.explanation.labels import difference_text, levels_text

__all__ = ["ColumnVerdict", "Verdict", "fixed_notes", "verdict_on"]

ANSWERS = {
    "few": "Not to be told: with fewer than {fewest} photographs nothing can be shown.",
    "worse": "No: R makes the network's result worse.",
    "no gain": "Not shown: R gains nothing measurable over the network alone.",
    "deaf": "No: R gains, but it does not look at the prior at all.",
    "not content": "Not shown: R gains, but not measurably by what the prior says of the picture.",
    "control": "Not shown: R gains and listens to the prior, but a model that it was compared with is not "
    "clearly worse.",
    "listens": "In part: R gains, and needs the picture's own vector for that; whether an R trained without the "
    "prior would gain as much is not answered here.",
    "helps": "Yes, on these photographs: R gains, needs the picture's own vector for that, and beats every model "
    "that it was compared with.",
}
"""The answers to whether the prior helps, on one column."""

NOTHING = 0.02
"""In dB: an interval within this to both sides of 0 is one of no difference."""
ROUNDING = 12**-0.5
"""What rounding to 8 bits does to a picture: root mean square, in levels."""


@dataclass(frozen=True)
class ColumnVerdict:
    """What is said of one column: its name, the short answer, and the sentences that it rests on."""

    column: str
    answer: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """The short answer over all columns, and each column's."""

    answer: str
    columns: tuple[ColumnVerdict, ...]


def verdict_on(columns: Sequence[ExplainedColumn], others: Sequence[str] = (), student: str | None = None) -> Verdict:
    """Whether the prior helps, as far as the columns tell.

    Args:
        columns: of one model; at least one.
        others: names of the models that it was compared with.
        student: the name of the model whose prior is distilled.
    """
    answers = [_answer(column, others) for column in columns]
    said = tuple(
        ColumnVerdict(
            f"{column.data}, {column.condition}",
            ANSWERS[answer].format(fewest=FEWEST),
            tuple(_sentences(column, others, student)),
        )
        for column, answer in zip(columns, answers, strict=True)
    )
    if len(set(answers)) == 1:
        return Verdict(said[0].answer, said)
    return Verdict("It depends on the photographs and their degradation: see each below.", said)


def _answer(column: ExplainedColumn, others: Sequence[str]) -> str:
    gain, content = column.comparison(BOOSTED, NETWORK), column.comparison(BOOSTED, ANOTHER)
    if gain is None or content is None or gain.photographs < FEWEST:
        return "few"
    if gain.shown <= 0:
        return "worse" if gain.shown else "no gain"
    if _deaf(column):
        return "deaf"
    if content.shown <= 0:
        return "not content"
    if not others:
        return "listens"
    against = [column.comparison(BOOSTED, other) for other in others]
    return "helps" if all(one is not None and one.shown > 0 for one in against) else "control"


def _sentences(column: ExplainedColumn, others: Sequence[str], student: str | None) -> Iterator[str]:
    gain = column.comparison(BOOSTED, NETWORK)
    if gain is None:
        yield "R cannot be compared: fewer than two photographs have an error that is not 0."
        return
    if gain.photographs < FEWEST:
        yield (
            f"These are {gain.photographs} photographs: the intervals are rough, and no p below "
            f"{2 / 2**gain.photographs:.2g} is possible."
        )
    if gain.shown > 0:
        yield f"R gains {_said(gain)} over the network alone."
    elif gain.shown < 0:
        yield f"R loses against the network alone: {_said(gain)}."
    else:
        how = "R does not differ measurably from" if _nothing(gain) else "R is not shown to gain over"
        yield f"{how} the network alone: {_said(gain)}."
    yield from _listening(column, gain)
    for other in others:
        if (one := column.comparison(BOOSTED, other)) is not None:
            same = "not measurably different" if _nothing(one) else "not shown to differ"
            how = {1: "better", 0: same, -1: "worse"}[one.shown]
            yield f"Compared with {other} it is {how}: {_said(one)}."
    if student and (one := column.comparison(student, BOOSTED)) is not None:
        same = "does not differ measurably from" if _nothing(one) else "is not shown to differ from"
        how = {1: "gains on", 0: same, -1: "loses against"}[one.shown]
        alike = "" if column.likeness is None else f" (mean cosine of their vectors: {column.likeness:.3f})"
        yield f"The student {how} the true prior: {_said(one)}{alike}."
    yield from _extremes(column)
    yield from _spectrum(column)


def _listening(column: ExplainedColumn, gain: Comparison) -> Iterator[str]:
    """What wrong vectors do."""
    if _deaf(column):
        yield "Whatever vector it is fed, its picture is the same, bit for bit: R does not look at the prior."
        return
    own = column.comparison(BOOSTED, ANOTHER)
    moved = column.changes.get(ANOTHER, 0.0)
    if own is not None and own.shown > 0:
        yield (
            f"With its own vector it is {_said(own)} above another picture's: "
            "R uses what the vector says of the picture."
        )
    elif own is not None and own.shown < 0:
        yield (
            f"With its own vector it is below another picture's, {_said(own)}: "
            "what the vector says of the picture hurts."
        )
    elif own is not None:
        how = "changes nothing measurable" if _nothing(own) else "is not shown to make a difference"
        yield (
            f"Feeding it another picture's vector {how}: own over another's {_said(own)}; the pictures "
            f"differ by {levels_text(moved)} levels of 255 (root mean square), {_beside_rounding(moved)}."
        )
        if gain.shown > 0:
            yield (
                "The gain is not shown to be due to what the prior says of the picture; "
                f"that could be worth {max(own.high, 0):.3f} dB at most, the end of that interval."
            )
    yield from _meaningless(column)
    blank = column.comparison(BOOSTED, ZEROS)
    if own is not None and blank is not None and own.shown <= 0 < blank.shown:
        yield "So it needs a vector of the kind it was trained with, but not this picture's."


def _meaningless(column: ExplainedColumn) -> Iterator[str]:
    """What vectors do that say nothing of any picture."""
    found = {"zeros": column.comparison(BOOSTED, ZEROS), "a random vector": column.comparison(BOOSTED, RANDOM)}
    fed = {what: one for what, one in found.items() if one is not None}
    for what, one in fed.items():
        if one.shown:
            how = "costs" if one.shown > 0 else "is better than its own"
            yield f"Feeding it {what} {how}: own over that {_said(one)}."
    without = [f"{what} (own over that {_said(one)})" for what, one in fed.items() if not one.shown]
    if without:
        yield f"Feeding it {' or '.join(without)} is not shown to make a difference."


def _extremes(column: ExplainedColumn) -> Iterator[str]:
    """Where the gain is another on the worst inputs than on the best."""
    ends = [one for third in column.terciles for one in third.comparisons if _pair(one) == (BOOSTED, NETWORK)]
    if len(ends) > 1 and (ends[0].low > ends[-1].high or ends[0].high < ends[-1].low):
        yield f"The gain depends on the input: {_said(ends[0])} on the worst third, {_said(ends[-1])} on the best."


def _spectrum(column: ExplainedColumn) -> Iterator[str]:
    """The octave in which R takes most error away."""
    gains = {band.band: one for band in column.bands for one in band.comparisons if _pair(one) == (BOOSTED, NETWORK)}
    shown = {name: one for name, one in gains.items() if one.shown > 0}
    if shown:
        most = max(shown, key=lambda name: shown[name].mean)
        yield f"By frequency R takes away most in structures of {most}: {_said(shown[most])} less error."


def _deaf(column: ExplainedColumn) -> bool:
    return all(column.changes.get(name, 0.0) == 0.0 for name in FED)


def _pair(one: Comparison) -> tuple[str, str]:
    return one.first, one.second


def _nothing(one: Comparison) -> bool:
    """Whether a difference is known to be hardly there, rather than not known."""
    return max(abs(one.low), abs(one.high)) <= NOTHING


def _said(one: Comparison) -> str:
    return difference_text(one.mean, one.low, one.high) + " dB"


def _beside_rounding(moved: float) -> str:
    return f"{'less' if moved < ROUNDING else 'more'} than rounding to 8 bits does ({ROUNDING:.2f})"


def fixed_notes(*, student: str | None, jointly: bool) -> Iterator[str]:
    """What is to be known of a model's explanation, whatever its numbers.

    Args:
        student: the name of the model's prior, if that is a student.
        jointly: whether its network was trained together with R.
    """
    yield (
        "Wrong vectors are fed at inference, to the same weights. They tell whether R listens to its prior, not what "
        "an R trained without it would have learnt: `pellucid ablate` trains such controls, and --against compares "
        "with them."
    )
    if jointly:
        yield (
            "The network was trained together with R, so alone it may be worse than one that was trained without: a "
            "gain over it is R's, but not necessarily one over the best that the network could do. --against such a "
            "network tells."
        )
    if student:
        yield (
            f"The prior of this model is a student inside its file ({student}). What that loses against the prior it "
            "imitates is told by explaining the model that it was distilled from, with this one as --student."
        )
