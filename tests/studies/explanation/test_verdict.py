"""What is said, and that no more is said than the numbers allow."""

import pytest

from pellucid.studies.explanation.differences import columns_of
from pellucid.studies.explanation.feeding import FED
from pellucid.studies.explanation.verdict import fixed_notes, verdict_on
from support.explained import result

SPREAD = (-0.4, 0.5, -0.5, 0.4, -0.3, 0.3, 0.0, 0.1)


def verdict(count=8, others=(), student=None, **differences):
    """Of photographs where the network has 30 dB and R 31 dB, or what is given; a difference "?" is lost in spread."""
    rows = []
    for index in range(count):
        values = {"boosted": 31.0, "zeros": 31.0, "another": 31.0} | differences
        values = {name: 31.0 + SPREAD[index] if value == "?" else value for name, value in values.items()}
        rows.append(result(index, **values))
    return verdict_on(columns_of(rows, others, student), others, student)


@pytest.mark.parametrize(
    ("differences", "start"),
    [
        ({"count": 5}, "Not to be told"),
        ({"boosted": 29.0}, "No: R makes the network's result worse"),
        ({"boosted": 30.001}, "Not shown: R gains nothing measurable"),
        ({"another": "?"}, "Not shown: R gains, but not measurably by what"),
        ({"another": 32.0}, "Not shown: R gains, but not measurably by what"),
        ({"another": 30.5}, "In part"),
        ({"another": 30.5, "a": 30.2, "b": 30.9, "others": ("a", "b")}, "Yes, on these photographs"),
        ({"another": 30.5, "a": 30.2, "b": "?", "others": ("a", "b")}, "Not shown: R gains and listens"),
        ({"another": 30.5, "a": 30.2, "b": 31.5, "others": ("a", "b")}, "Not shown: R gains and listens"),
    ],
)
def test_the_answer(differences, start):
    assert verdict(**differences).answer.startswith(start)


@pytest.mark.parametrize(
    ("differences", "sentence"),
    [
        ({}, "R gains +1.000 [+1.000, +1.000] dB over the network alone."),
        ({"boosted": 29.5}, "R loses against the network alone: -0.500 [-0.500, -0.500] dB."),
        ({"boosted": 30.001}, "R does not differ measurably from the network alone: +0.0010 [+0.0010, +0.0010] dB."),
        ({"count": 3}, "These are 3 photographs: the intervals are rough, and no p below 0.25 is possible."),
        ({"another": 30.5}, "With its own vector it is +0.500 [+0.500, +0.500] dB above another picture's: R uses"),
        ({"another": 31.5}, "With its own vector it is below another picture's"),
        ({"another": 31.0}, "Feeding it another picture's vector changes nothing measurable"),
        ({"another": "?"}, "Feeding it another picture's vector is not shown to make a difference"),
        ({"another": "?"}, "The gain is not shown to be due to what the prior says of the picture; that could be"),
        ({"zeros": 30.0}, "Feeding it zeros costs: own over that +1.000"),
        ({"zeros": 30.0}, "So it needs a vector of the kind it was trained with, but not this picture's."),
        ({"a": 30.2, "others": ("a",)}, "Compared with a it is better: +0.800"),
        ({"a": "?", "others": ("a",)}, "Compared with a it is not shown to differ"),
        ({"s": 30.9, "student": "s"}, "The student loses against the true prior: -0.100"),
        ({"s": 31.0, "student": "s"}, "The student does not differ measurably from the true prior: +0.000"),
    ],
)  # fmt: skip
def test_the_sentences(differences, sentence):
    [column] = verdict(**differences).columns
    assert any(said.startswith(sentence) for said in column.sentences), column.sentences


def test_nothing_is_said_of_a_gain_that_is_not_there():
    [column] = verdict(boosted=30.0, another=30.0, zeros=30.0).columns
    assert not any("The gain is not shown" in sentence or "R gains" in sentence for sentence in column.sentences)


def test_where_columns_differ_it_depends():
    rows = [result(index, condition="noise sigma=5") for index in range(8)]
    rows += [result(index, condition="noise sigma=50", boosted=29.0) for index in range(8)]
    found = verdict_on(columns_of(rows))
    assert found.answer.startswith("It depends")
    assert [said.column for said in found.columns] == ["set, noise sigma=5", "set, noise sigma=50"]
    assert found.columns[1].answer.startswith("No")


def test_a_gain_that_depends_on_the_input_is_told():
    rows = [result(index, degraded=10.0 + index, boosted=33.0 - index / 3) for index in range(12)]
    [said] = verdict_on(columns_of(rows)).columns
    assert any("on the worst third" in sentence for sentence in said.sentences)


def test_deaf_is_only_who_hears_nothing():
    rows = [result(index, zeros=31.0, another=31.0) for index in range(8)]
    for row in rows:
        row.changes.update(dict.fromkeys(FED, 0.0))
    assert "does not look at the prior" in verdict_on(columns_of(rows)).answer
    rows[3].changes["fed zeros"] = 1e-6
    assert "does not look at the prior" not in verdict_on(columns_of(rows)).answer


def test_notes():
    assert len(list(fixed_notes(student=None, jointly=False))) == 1
    notes = list(fixed_notes(student="student:clip", jointly=True))
    assert "trained together" in notes[1]
    assert "student:clip" in notes[2]
