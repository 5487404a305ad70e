"""How many requests that were written without sight of the rules are understood, and that wrong ones are refused."""

import pytest

from pellucid.errors import SettingsError
from pellucid.words.wish_terms import NEAR_WORDS, phrases
from pellucid.words.wish_words import words_of
from pellucid.words.wishes import wishes_in
from support.requests import requests_of, understood


@pytest.mark.parametrize(
    ("name", "count", "floor"),
    [
        ("requests-sealed.txt", 100, 93),
        ("requests-stranger.txt", 100, 93),
        ("requests-develop.txt", 113, 108),
        ("requests-photographers.txt", 60, 55),
    ],
)
def test_requests(name, count, floor):
    """Of the 100 kept sealed, 89 were understood at first sight (experiment 57); then the lists were mended with."""
    requests = requests_of(name)
    right = sum(understood(text, expected) for text, expected in requests)
    assert len(requests) == count
    assert right >= floor, [text for text, expected in requests if not understood(text, expected)]


@pytest.mark.parametrize(
    ("text", "expected", "is_right"),
    [
        ("remove the noise", "noise", True),
        ("remove the noise", "blur", False),
        ("remove the noise", "noise, blur", False),
        ("remove the noise and the blur", "noise", False),
        ("remove 30% of the noise", "noise", False),
        ("remove 30% of the noise", "noise~0.3", True),
        ("remove the noise", "noise~some", False),
        ("remove the noise", "everything", False),
        ("fix everything but the noise", "everything, -noise", True),
        ("fix everything but the noise", "everything", False),
        ("make it 3 times larger", "x2", False),
        ("make it 3 times larger", "x3", True),
        ("my holiday in Rome", "noise", False),
        ("entferne das Rauschen", "?contradiction", False),
        ("entferne das Rauschen", "?language", True),
        ("remove the noise", "?", False),
    ],
)
def test_what_counts_as_understood(text, expected, is_right):
    assert understood(text, expected) == is_right


@pytest.mark.parametrize(
    "text",
    ["add more grain", "make it blurrier", "make the picture darker", "less sharp please", "increase the noise"],
)
def test_the_opposite_is_never_taken_for_a_wish(text):
    with pytest.raises(SettingsError) as caught:
        wishes_in(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("make it 4 times bigger", 4), ("enlarge to 300%", 3), ("enlarge it by 50 %", 1.5), ("upscale 2.5x", 2.5),
        ("x4 please", 4), ("three times the size", 3), ("twice as large", 2), ("make it bigger", 2),
        ("enlarge it by a factor of 3", 3), ("blow it up five times", 5),
    ],
)  # fmt: skip
def test_how_much_larger(text, scale):
    wishes = wishes_in(text)
    assert (wishes.scale, wishes.restore) == (scale, False)
    assert wishes.words() == f"enlarge {scale:g} times"


def test_enlarged_and_restored():
    assert wishes_in("remove the noise and make it bigger").options() == {"only": ("noise",), "scale": 2.0}
    assert wishes_in("restore it and make it bigger").restore
    assert wishes_in("I asked four times: remove the noise").scale is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("remove 3/4 of the noise", 0.75), ("denoise at 0.6", 0.6), ("reduce the noise to 20%", 0.8),
        ("keep a quarter of the noise", 0.75), ("half of the noise should go", 0.5), ("noise: 30 %", 0.3),
    ],
)  # fmt: skip
def test_how_much_goes(text, part):
    assert dict(wishes_in(text).only) == {"noise": part}


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("nosie", "noise"), ("noize", "noise"), ("blury", "blurry"), ("remvoe", "remove"),
        ("compresion", "compression"),
        ("shows", "shows"), ("square", "square"), ("shots", "shots"), ("white", "white"), ("house", "house"),
    ],
)  # fmt: skip
def test_slips_of_the_keyboard(typed, word):
    assert words_of(typed) == [word]


def test_words_that_are_no_slips_are_not_terms_themselves():
    """A common word that became a term must leave the list, or it would be no longer looked up as mistyped."""
    terms = {word for phrase in phrases() for word in phrase}
    assert not NEAR_WORDS & {word for word in terms if (word,) in phrases()}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("bitte entferne das Rauschen", "German"), ("enlève le bruit de la photo", "French"),
        ("quita el ruido de la foto", "Spanish"), ("rimuovi il rumore dalla foto", "Italian"),
        ("remova o ruído da imagem", "Portuguese"), ("verwijder de ruis", "Dutch"), ("ta bort bruset", "Swedish"),
        ("fjern støy fra bildet", "Norwegian or Danish"), ("usuń szum ze zdjęcia", "Polish"),
        ("odstraň šum z fotky", "Czech"), ("gürültüyü kaldır", "Turkish"), ("poista kohina kuvasta", "Finnish"),
        ("убери шум", "Latin letters"), ("ノイズを除去", "Latin letters"),
    ],
)  # fmt: skip
def test_other_languages_are_named(text, language):
    with pytest.raises(SettingsError, match=language) as caught:
        wishes_in(text)
    assert "only English is understood" in str(caught.value)
    assert "\n" not in str(caught.value)
