"""What a photograph's name decides."""

import unicodedata

import pytest
import torch

from pellucid.degradations import as_text, parse, parse_drawn
from pellucid.degradations.seeding import drawn_for

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
