"""What a diagnosis says, in words and as data."""

import json

import pytest

from pellucid.degradations import KINDS
from pellucid.diagnosis import Diagnosis, Finding, grade


def diagnosis(**found):
    """A diagnosis in which the kinds in `found` have (probability, severity, low, high), the others nothing."""
    named = {key.replace("_", "-"): value for key, value in found.items()}
    rows = [(kind, named.get(kind, (0.1, 20.0, 5.0, 40.0))) for kind in KINDS]
    return Diagnosis(tuple(Finding(kind, p, p > 0.5, s, a, b) for kind, (p, s, a, b) in rows), 0.8)


def test_words_say_the_most_severe_first():
    found = diagnosis(jpeg=(0.9, 12.0, 4.0, 20.0), noise=(0.6, 48.0, 40.0, 58.0), low_light=(0.51, 20.4, 0, 30))
    assert found.words() == (
        "strong noise (severity 48 ± 9), light underexposure (severity 20 ± 15), slight JPEG blocking (severity 12 ± 8)"
    )
    assert not found.nothing_wrong
    assert found.likeliest.kind == "jpeg"
    assert [one.kind for one in found.present] == ["noise", "low-light", "jpeg"]


def test_leaving_alone_asks_for_more_than_nothing_wrong():
    assert diagnosis().leave_alone
    doubtful = diagnosis(snow=(0.35, 20.0, 5.0, 40.0))
    assert doubtful.nothing_wrong
    assert not doubtful.leave_alone


def test_nothing_wrong():
    found = diagnosis()
    assert found.nothing_wrong
    assert found.words() == "nothing wrong"
    assert found.present == ()
    assert found["snow"].probability == 0.1
    with pytest.raises(KeyError, match="fire"):
        _ = found["fire"]


def test_json_holds_every_kind():
    document = json.loads(json.dumps(diagnosis(blur=(0.9, 80.0, 70.0, 90.0)).as_dict()))
    assert list(document["kinds"]) == list(KINDS)
    assert document["kinds"]["blur"] == {
        "probability": 0.9,
        "present": True,
        "severity": 80.0,
        "low": 70.0,
        "high": 90.0,
    }
    assert (document["nothing_wrong"], document["coverage"]) == (False, 0.8)
    assert document["words"] == "heavy blur (severity 80 ± 10)"


@pytest.mark.parametrize(
    ("severity", "word"),
    [(0, "slight"), (14.9, "slight"), (15, "light"), (30, "moderate"), (45, "strong"), (70, "heavy"), (100, "heavy")],
)
def test_grades(severity, word):
    assert grade(severity) == word
