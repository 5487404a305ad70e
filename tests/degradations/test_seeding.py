"""What a photograph's name decides, where a text's mistake is pointed at, that the catalogue says all there is."""

import unicodedata
from dataclasses import fields

import pytest
import torch

from pellucid.degradations import DEGRADATIONS, MIXTURES, as_text, parse, parse_drawn
from pellucid.degradations.catalogue import GRAMMAR, catalogue
from pellucid.degradations.error_pointer import pointer
from pellucid.degradations.seeding import drawn_for
from pellucid.errors import SettingsError

FAMILY = "noise sigma=5..50, jpeg quality=20..80"


def test_name_and_seed_decide_and_nothing_else():
    family = parse_drawn(FAMILY)
    first = drawn_for(family, 3, "a/b")
    drawn_for(family, 3, "other")
    assert drawn_for(family, 3, "a/b") == first
    texts = {drawn_for(family, seed, name).text for seed in range(4) for name in ("a/b", "a", "b", "31", "3")}
    assert len(texts) == 20


def test_the_drawn_text_and_seed_make_the_same_pixels():
    clean = torch.rand(1, 3, 13, 17)
    drawn = drawn_for(parse_drawn(FAMILY), 0, "x")
    again = parse(drawn.text)(clean, torch.Generator().manual_seed(drawn.seed))
    assert torch.equal(drawn(clean), again)
    assert torch.equal(drawn(clean), drawn(clean))
    # The definite text, given in place of the family, draws nothing and comes to the same.
    assert torch.equal(drawn_for(parse_drawn(drawn.text), 0, "x")(clean), again)


def test_names_differ_in_pixels_even_where_nothing_else_is_drawn():
    clean, family = torch.rand(1, 3, 8, 8), parse_drawn("noise sigma=25")
    assert not torch.equal(drawn_for(family, 0, "a")(clean), drawn_for(family, 0, "b")(clean))


def test_accents_are_the_same_however_they_are_stored():
    family = parse_drawn(FAMILY)
    composed, apart = (unicodedata.normalize(form, "né/日本語") for form in ("NFC", "NFD"))
    assert composed != apart
    assert drawn_for(family, 0, composed) == drawn_for(family, 0, apart)
    assert drawn_for(family, 0, "a\udcff").seed != drawn_for(family, 0, "a").seed  # a name that is not Unicode


def test_grey_stays_grey_and_has_the_strength_of_one_channel():
    clean = torch.full((1, 3, 120, 120), 0.5)
    degraded = drawn_for(parse_drawn("noise sigma=25"), 0, "x")(clean, grey=True)
    assert degraded.shape == clean.shape
    assert torch.equal(degraded[:, 0], degraded[:, 2])
    # Noise of three channels, averaged to one, would be weaker by the root of 3.
    assert (degraded[:, 0] - 0.5).std() * 255 == pytest.approx(25, rel=0.03)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("noise sigma=25.0", "noise sigma=25"),
        ("noise  sigma=12.50 bits=8,jpeg quality=40", "noise sigma=12.5 bits=8, jpeg quality=40"),
        ("resample factor=2.0 kernel=area", "resample factor=2 kernel=area"),
        ("blur sigma=1.05", "blur sigma=1.05"),
        ("blur sigma=3 angle=-10, noise sigma=20", "blur sigma=3 angle=-10, noise sigma=20"),
        ("noise sigma=1e-07", "noise sigma=1e-07"),
        ("clean", "clean"),
    ],
)
def test_texts_are_short(text, short):
    assert as_text(parse(text)) == short
    assert parse(short) == parse(text)


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


def test_the_catalogue_has_every_degradation_with_every_parameter_explained():
    entries = {entry.name: entry for entry in catalogue()}
    assert entries.keys() == DEGRADATIONS.keys() | MIXTURES.keys()
    for name, described in {**DEGRADATIONS, **MIXTURES}.items():
        entry = entries[name]
        assert [one.name for one in entry.parameters] == [field.name for field in fields(described)]
        assert entry.summary.endswith("."), name
        for one in entry.parameters:
            assert one.summary.endswith("."), (name, one.name)  # each is in the docstring, under its name
        assert (entry.severity != "") == (name not in ("clean", *MIXTURES)), name


def test_the_catalogue_says_what_may_be_given():
    noise, resample, mixture = (
        next(entry for entry in catalogue() if entry.name == name) for name in ("noise", "resample", "real-world")
    )
    sigma, bits = noise.parameters[:2]
    assert (sigma.values, sigma.default) == ("number", None)
    assert "0..255" in sigma.summary
    assert (bits.values, bits.default) == ("whole number", "0")
    assert next(one.values for one in resample.parameters if one.name == "kernel") == "area|bilinear|bicubic"
    assert mixture.kind == "mixture"
    assert mixture.parameters[0].summary == mixture.parameters[1].summary  # "fewest, most" share a text


@pytest.mark.parametrize(("form", "meaning"), GRAMMAR)
def test_the_forms_of_the_grammar_are_forms(form, meaning):
    assert parse_drawn(form).draw(torch.Generator())
    assert meaning
