"""The grammar of prompts: forms, canonical texts, errors that point at a word, and the round trip from degradations."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.degradations import MIXTURES, parse, parse_family
from pellucid.diffusion.operations import OPERATIONS, less, operation_of
from pellucid.diffusion.prompts import ALL, Clause, Prompt, prompt_of, read_prompt, read_shorthand
from pellucid.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("denoise 20", "denoise 20"),
        ("Deblur X40", "deblur 40"),
        ("sr X16, denoise 20", "sr 93.75, denoise 20"),  # x is sr's unit: sixteen times
        ("sr 4x", "sr 75"),
        ("sr 60", "sr 60"),
        ("denoise sigma 25; dejpeg quality=40", "denoise 50, dejpeg 60"),
        ("motion deblur 25 @face; denoise 10 @bg", "motion deblur 25 @face, denoise 10 @bg"),
        ("denoise light and deblur heavy in the sky", "denoise 20, deblur 80 @sky"),
        ("a red fox. sr 60", "a red fox. sr 60"),
        ("sharpen", "deblur"),
        ("remove grain 30%", "denoise 30"),
        ("denoise20,sr60", "denoise 20, sr 60"),
        ("Remove all degradation", ALL),
        ("", ""),
    ],
)
def test_forms_and_their_canonical_text(text, canonical):
    prompt = read_prompt(text)
    assert str(prompt) == canonical
    assert read_prompt(canonical) == prompt


@pytest.mark.parametrize(
    ("text", "word", "message"),
    [
        ("denois 20", "denois", "did you mean 'denoise'"),
        ("sr 60, denoise tons", "tons", "is no amount"),
        ("denoise 200", "200", "of 0..100"),
        ("sr 0.5x", "0.5x", "of 0..100"),
        ("denoise 20,, sr 3", ",", "nothing stands"),
        ("denoise 20 @", "@", "a region is one name"),
    ],
)
def test_errors_point_at_the_word(text, word, message):
    with pytest.raises(SettingsError, match="prompt") as error:
        read_prompt(text)
    first, shown, carets = str(error.value).split("\n")
    assert message in first
    assert shown[carets.index("^") : carets.index("^") + carets.count("^")] == word


def test_one_operation_twice_in_one_place_is_refused():
    with pytest.raises(SettingsError, match="twice"):
        read_prompt("denoise 20, remove noise 30")
    assert len(read_prompt("denoise 20 @a, denoise 30 @b").clauses) == 2


def test_shorthand_of_file_names():
    prompt, numbers = read_shorthand("sr60-up4-cfg11")
    assert (str(prompt), numbers) == ("sr 60", {"up": 4.0, "cfg": 11.0})
    assert read_shorthand("denoise 20") is None
    assert read_shorthand("up4") is None


amounts = st.none() | st.integers(0, 10_000).map(lambda number: number / 100)
clauses = st.builds(Clause, st.sampled_from(sorted(OPERATIONS)), amounts, st.sampled_from([None, "face", "sky-1"]))


@given(st.lists(clauses, max_size=5, unique_by=lambda one: (one.verb, one.region)))
def test_every_prompt_is_read_back(given_clauses):
    prompt = Prompt(tuple(given_clauses))
    assert read_prompt(str(prompt)) == prompt


def test_a_chain_says_its_prompt():
    assert str(prompt_of(parse("blur sigma=2, noise sigma=25, jpeg quality=40"))) == "deblur 40, denoise 50, dejpeg 60"
    generator = torch.Generator().manual_seed(0)
    mixture = MIXTURES["real-world"]()
    for _ in range(50):
        chain = mixture.draw(generator)
        steps = getattr(chain, "steps", (chain,))
        prompt = prompt_of(chain)
        assert [clause.verb for clause in prompt.clauses] == [
            operation_of(step) for step in steps if operation_of(step)
        ]
        if len({clause.verb for clause in prompt.clauses}) == len(prompt.clauses):
            assert read_prompt(str(prompt)) == prompt


@pytest.mark.parametrize(
    "text",
    [
        "noise sigma=30",
        "poisson-noise peak=40",
        "blur sigma=2",
        "defocus radius=4",
        "shake length=16",
        "jpeg quality=20",
        "resample factor=3",
        "rain amount=60",
    ],
)
@pytest.mark.parametrize("part", [0.25, 0.6])
def test_less_of_a_degradation_is_so_much_less_severe(text, part):
    degradation = parse_family(text).draw(torch.Generator())
    assert less(degradation, part).severity == pytest.approx(part * degradation.severity, abs=0.5)
    assert less(degradation, 1) == degradation
    assert less(degradation, 0).severity == 0


def test_less_noise_is_the_same_noise_weaker():
    clean, noise = torch.full((3, 16, 16), 0.5), parse("noise sigma=40")
    whole = noise(clean, torch.Generator().manual_seed(1)) - clean
    half = less(noise, 0.5)(clean, torch.Generator().manual_seed(1)) - clean
    torch.testing.assert_close(half, whole / 2)
