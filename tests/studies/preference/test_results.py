"""Counts, shares and what they are worth, on votes counted by hand."""

import json

import pytest

from pellucid.studies.preference.plan import Plan, PlannedPhotograph
from pellucid.studies.preference.results import as_document, results_of
from pellucid.studies.preference.votes import Vote


@pytest.fixture
def results():
    """Of two photographs and a third without a vote; anna: a a, b a; bert: a tie, b; eve: a. All have A on the left."""
    answers = [
        *[("anna", "x", 0, "a"), ("anna", "x", 1, "a"), ("anna", "y", 0, "b"), ("anna", "y", 1, "a")],
        *[("bert", "x", 0, "a"), ("bert", "x", 1, "tie"), ("bert", "y", 0, "b"), ("eve", "x", 0, "a")],
        ("eve", "no longer there", 0, "b"),
    ]
    votes = [
        Vote(participant=who, photograph=what, repetition=turn, number=1, left="a", choice=choice)
        for who, what, turn, choice in answers
    ]
    photographs = tuple(PlannedPhotograph(name=name, a="1", b="2", input="3", clean=None) for name in "xyz")
    return results_of(Plan(a="one", b="two", repeat=2, ties=True, photographs=photographs), votes)


def counts(preference):
    return preference.a, preference.b, preference.ties


def test_counts(results):
    assert counts(results.overall) == (5, 2, 1)
    assert {name: counts(one) for name, one in results.participants.items()} == {
        "anna": (3, 1, 0), "bert": (1, 1, 1), "eve": (1, 0, 0)
    }  # fmt: skip
    assert {name: counts(one) for name, one in results.photographs.items()} == {
        "x": (4, 0, 1), "y": (1, 2, 0), "z": (0, 0, 0)
    }  # fmt: skip
    assert counts(results.by_participant) == (2, 0, 1)
    assert counts(results.by_photograph) == (1, 1, 0)
    assert results.left == 5
    assert results.agreeing == (1, 2)  # anna on x, but not on y; a tie is no preference


def test_ties_are_left_out_of_share_interval_and_test(results):
    assert results.overall.share == 5 / 7
    # binom.test(5, 7) of R: p = 0.4531, interval 0.2904209 to 0.9633074
    assert results.overall.p == pytest.approx(0.453125)
    assert results.overall.interval == pytest.approx((0.2904209, 0.9633074), abs=1e-6)


def test_without_a_vote_there_is_no_share(results):
    one = results.photographs["z"]
    assert (one.share, one.interval, one.p) == (None, None, None)


def test_the_document_is_json_and_says_its_method(results):
    document = json.loads(json.dumps(as_document(results), allow_nan=False))
    assert (document["a"], document["b"], document["trials_per_participant"]) == ("one", "two", 6)
    assert document["overall"]["a"] == 5
    assert document["photographs"][2] == {
        "photograph": "z", "a": 0, "b": 0, "ties": 0, "share": None, "low": None, "high": None, "p": None
    }  # fmt: skip
    assert "Clopper-Pearson" in document["method"]
    assert "left out" in document["method"]
