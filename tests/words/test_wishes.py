"""What sentences of people are taken for."""

from pathlib import Path

import pytest

import pellucid
from pellucid.degradations import DEGRADATIONS
from pellucid.diffusion.operations import OPERATIONS
from pellucid.errors import SettingsError
from pellucid.restoration.options import RestoreOptions
from pellucid.words.wishes import wishes_in

SENTENCES = [
    [part.strip() for part in line.split("|")]
    for line in Path(__file__).with_name("wishes.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def understood(text, kinds, seen=""):
    """Whether the right kinds go, and each as strongly or as weakly as is asked."""
    try:
        wishes = wishes_in(text)
    except SettingsError:
        return kinds == "error"
    surely = {kind for kind in kinds.split(",") if not kind.endswith("?")}
    perhaps = {kind.rstrip("?") for kind in kinds.split(",")}
    right = not wishes.only if kinds == "*" else surely <= set(wishes.only) <= perhaps
    parts = {**wishes.part, **wishes.only}
    for one in filter(None, map(str.strip, seen.split(","))):
        if one.startswith("part:"):
            right = right and parts.get(one[5:-1], 1) < 0.9
        right = right and (one not in ("skip:noise", "skip:haze") or one[5:] in wishes.skip)
        right = right and (one != "detail" or wishes.detail > 0) and (one != "chroma" or wishes.chroma == 0)
        right = right and (one != "scale" or wishes.scale is not None) and (one != "strength<" or wishes.strength < 0.9)
    weak = {kind for kind, part in parts.items() if part < 0.6 and f"part:{kind}<" not in seen}
    return right and ("part-or" in seen or not weak)


def test_sentences_that_were_written_before_they_were_tried():
    """All were; what failed at first was then mended, so this says that it stays so, and no more than that."""
    missed = [text for text, *expected in SENTENCES if not understood(text, *expected)]
    assert len(SENTENCES) > 250
    assert len(missed) <= 8, missed


def test_the_verbs_of_prompts_mean_the_same():
    """Models that sample have a grammar of their own (`diffusion.prompts`): its verbs are understood here, too."""
    for verb, operation in OPERATIONS.items():
        for name in (verb, *operation.aliases):
            kinds = {DEGRADATIONS[one].kind for one in operation.degradations}
            wishes = wishes_in(name)
            assert set(wishes.only) <= kinds | {"impulses", "low-resolution"}, name
            assert wishes.only or wishes.scale, name


def test_the_example():
    wishes = wishes_in("remove the noise but keep the grain of the film at half strength")
    assert wishes.options() == {"only": ("noise",), "detail": 0.5}
    assert wishes.words() == "restore only noise; 50% of the finest grain stays"
    assert pellucid.wishes("remove the noise but keep the grain of the film at half strength") == wishes


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("Remove 30% of the noise and all of the haze", {"only": ("noise", "haze"), "amount": {"noise": 0.3}}),
        ("Restore everything but do not sharpen.", {"skip": ("blur",)}),
        ("don't remove anything but the noise", {"only": ("noise",)}),
        ("Leave everything as it is except the rain", {"only": ("rain",)}),
        ("restore it, but only half of the fog", {"only": ("haze",), "amount": {"haze": 0.5}}),
        ("make it twice as large", {"scale": 2.0}),
        ("restore this at half strength", {"strength": 0.5}),
        ("sharpen it, keep the colours", {"only": ("blur",), "chroma": 0.0}),
        ("REMOVE THE NOISE!!!", {"only": ("noise",)}),
        ("remove\nthe\tnoise", {"only": ("noise",)}),
    ],
)
def test_what_it_becomes(text, options):
    assert wishes_in(text).options() == options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("my holiday in Rome", "says nothing that a restoration can do"),
        ("entferne bitte das Rauschen", "is German, and only English is understood"),
        ("удали шум", "no language with Latin letters"),
        ("remove the noise and keep the noise", "noise is to go and to stay: that contradicts itself"),
        ("colorize it", "`pellucid colorize` is not done here"),
        ("make it blurry", "more blur is not made"),
        ("leave the picture as it is", "restor"),
        ("a" * 2001, "more than 2000 letters"),
        ("....", "says nothing"),
    ],
)
def test_what_cannot_be_meant_is_one_line(text, message):
    with pytest.raises(SettingsError, match=message) as caught:
        wishes_in(text)
    assert "\n" not in str(caught.value)


def test_options_are_said_in_one_way():
    options = RestoreOptions.of(text="remove half of the noise", tile=256)
    assert (options.only, dict(options.amount), options.tile) == (("noise",), {"noise": 0.5}, 256)
    with pytest.raises(SettingsError, match="the text says only as well"):
        RestoreOptions.of(text="remove the noise", only="jpeg")
    for bad in ({"noise": 1.5}, "noise", "noise=much", {"noise": True}):
        with pytest.raises(SettingsError, match="amount"):
            RestoreOptions.of(amount=bad)
