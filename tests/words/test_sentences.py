"""Sentences state what they are made of, and reading finds colours in them again."""

import pytest
import torch

from pellucid.words.facts import COLOURS, Facts
from pellucid.words.reading import colours_in, language_of
from pellucid.words.sentences import STATEMENTS, described, sentence_of, true_statements, words_of_templates
from pellucid.words.vocabulary import Vocabulary, split_words


def test_all_words_of_all_sentences_are_in_the_vocabulary():
    words, generator = Vocabulary.of(words_of_templates()), torch.Generator().manual_seed(0)
    for number in range(len(STATEMENTS) * 6):
        said = sentence_of([STATEMENTS[number % len(STATEMENTS)]], generator)
        assert [word for word in split_words(said.text) if not words.knows(word)] == []
        assert said.statements == {number % len(STATEMENTS)}


def test_the_same_is_said_in_many_ways():
    generator = torch.Generator().manual_seed(0)
    assert len({sentence_of(["above blue", "below green"], generator).text for _ in range(50)}) > 40


def test_only_what_is_measured_is_true():
    shares = torch.zeros(6, len(COLOURS))
    shares[:, COLOURS.index("grey")] = 1
    shares[1] = torch.nn.functional.one_hot(torch.tensor(COLOURS.index("blue")), len(COLOURS))
    facts = Facts(shares, frozenset({"day"}), {"noise": 80.0})
    true = true_statements(facts)
    assert {"above blue", "day", "strong noise", "below grey"} <= set(true)
    assert not {"above grey", "below blue", "clean"} & set(true)
    assert described(facts).startswith("blue above")
    assert "clean" in true_statements(Facts(shares, kinds={}))
    assert "clean" not in true_statements(Facts(shares))  # nobody has looked


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("green field, blue sky", [("below", "green"), ("above", "blue")]),
        ("the sky is pink", [("above", "pink")]),
        ("a red car in the middle and a golden beach", [("middle", "red"), ("below", "yellow")]),
        ("BLUE SKY; brown on the left!", [("above", "blue"), ("left", "brown")]),
        ("mostly purple", [("whole", "purple")]),
        ("light blue dress under a grey sky", [("middle", "blue"), ("above", "grey")]),
        ("make the grass yellow", [("below", "yellow")]),
    ],
)
def test_colours_are_read_with_their_places(text, named):
    assert list(colours_in(text).named) == named


def test_tones_and_contradictions_are_read():
    assert colours_in("warm and vivid, at sunset").looks == ("vivid", "warm", "sunset")
    assert colours_in("blue sky and red sky").contradictions() == ["blue and red above"]
    assert not colours_in("remove the noise")
    for text, refused in (
        ("make the sky not blue", "blue"), ("a green sky, no blue", "blue"), ("don't make it vivid", "vivid"),
        ("the field isn’t brown", "brown"), ("green instead of red", "red"),
    ):  # fmt: skip
        assert colours_in(text).refused == (refused,), text
        assert refused not in [*colours_in(text).looks, *(colour for _, colour in colours_in(text).named)]
    assert colours_in("no clouds, blue sky").named == (("above", "blue"),)
    assert not colours_in("")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("grüne Wiese und blauer Himmel", "German"),
        ("le ciel est bleu", "French"),
        ("el cielo azul y la hierba verde", "Spanish"),
        ("blauwe lucht en groen gras", "Dutch"),
        ("синее небо", "no language with Latin letters"),
        ("緑の野原、青い空", "no language with Latin letters"),
        ("green field, blue sky", None),
        ("a red rose", None),
        ("xyzzy", None),
        ("la la la fish", None),
        ("la LA la", None),
        ("rauschen", "German"),
        ("verde", "Spanish or Italian or Portuguese"),
        ("", None),
        ("!?", None),
    ],
)
def test_other_languages_are_noticed(text, language):
    assert language_of(text) == language
