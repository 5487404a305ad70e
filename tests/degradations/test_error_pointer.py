"""The word of a text that a mistake is about is pointed at."""

import pytest

from pellucid.degradations import parse_drawn
from pellucid.degradations.error_pointer import pointer
from pellucid.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nose sigma=2", "nose"),
        ("noise sigm=2", "sigm=2"),
        ("noise 25", "25"),
        ("noise sigma=x", "sigma=x"),
        ("noise sigma=5..1", "sigma=5..1"),
        ("noise", "noise"),
        ("noise sigma=3 chance=4", "chance=4"),
        ("noise sigma=3 bits=8.5", "bits=8.5"),
        ("blur sigma=1 light=liner", "light=liner"),
        ("real-world mst=3", "mst=3"),
        ("noise sigma=3,\tjepg quality=4", "jepg"),
    ],
)
def test_the_word_is_pointed_at(text, word):
    assert pointed(text) == (text.index(word), len(word))


@pytest.mark.parametrize(
    ("text", "start", "length"),
    [
        ("noise sigma=1 sigma=2", 14, 7),  # the second time
        ("blur sigma=2, noise sigma=300", 20, 9),  # not the first sigma
        ("noise sigma=2, noise sigma=300", 21, 9),
        ("noise sigma=1,,noise sigma=2", 13, 1),
        ("noise sigma=1, ", 13, 1),
        (", noise sigma=1", 0, 1),
        ("noise sigma=3, clean", 15, 5),
    ],
)
def test_the_place_is_the_right_one(text, start, length):
    assert pointed(text) == (start, length)


def pointed(text):
    """Where the carets are, and how many."""
    with pytest.raises(SettingsError) as error:
        parse_drawn(text)
    shown, carets = pointer(text, str(error.value)).split("\n")
    assert shown == "  " + text.replace("\t", " ")
    assert set(carets) == {" ", "^"}
    return carets.index("^") - 2, carets.count("^")


def test_nothing_is_pointed_at_in_nothing():
    assert pointer(" ", "empty degradation") == ""
