"""Chains, families and mixtures: what is drawn, what texts say, and what they refuse."""

from collections import Counter
from dataclasses import fields

import pytest
import torch

from pellucid.degradations import (
    DEGRADATIONS,
    KINDS,
    MEASURED,
    MIXTURES,
    Chain,
    Clean,
    GaussianNoise,
    as_text,
    parse,
    parse_drawn,
    severities,
)
from pellucid.degradations.mixtures import SINGLE, WEATHER
from pellucid.errors import SettingsError

EXAMPLES = {
    "clean": "clean",
    "noise": "noise sigma=25",
    "poisson-noise": "poisson-noise peak=30",
    "sensor-noise": "sensor-noise sigma=12.5",
    "camera-noise": "camera-noise iso=3200 denoising=0.8 sharpening=1 scale=0.7",
    "film-grain": "film-grain granularity=20 film=negative",
    "impulse-noise": "impulse-noise part=0.05 unit=channel",
    "blur": "blur sigma=2 ratio=0.5 angle=30",
    "defocus": "defocus radius=3 blades=6",
    "shake": "shake length=12",
    "rain": "rain amount=40 directions=2",
    "rain-lines": "rain-lines amount=40 density=0.02",
    "snow": "snow amount=40",
    "haze": "haze amount=50",
    "low-light": "low-light exposure=0.1 noise=10",
    "jpeg": "jpeg quality=30",
    "resample": "resample factor=2.5 kernel=area",
    "ringing": "ringing cutoff=1.5",
    "colour-cast": "colour-cast warmth=40 tint=-10",
    "fading": "fading amount=50",
    "aberration": "aberration red=1.5 blue=-1",
    "banding": "banding levels=16",
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_there_is_an_example_of_every_degradation():
    assert EXAMPLES.keys() == DEGRADATIONS.keys()


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)
def test_every_degradation_prints_and_parses(text):
    assert as_text(parse(text)) == text
    assert parse(as_text(parse(text))) == parse(text)


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 37, 53), (2, 3, 9, 16), (1, 5, 40)])
def test_every_degradation_keeps_the_contract(text, shape):
    """Same shape, finite, from the generator alone, and the input is left as it was."""
    clean = torch.rand(shape, generator=seeded(1))
    before = clean.clone()
    degraded = parse(text)(clean, seeded(3))
    assert degraded.shape == clean.shape
    assert degraded.dtype == torch.float32
    assert degraded.isfinite().all()
    torch.manual_seed(7)
    assert torch.equal(degraded, parse(text)(clean, seeded(3)))
    assert torch.equal(clean, before)


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)
def test_every_degradation_says_of_what_kind_it_is_and_how_strong(text):
    found = severities(parse(text))
    assert set(found) <= {*KINDS, *MEASURED}
    assert len(found) == (text != "clean")
    assert all(0 < severity <= 100 for severity in found.values())


def test_a_chain_is_its_steps_with_eight_bits_between_them():
    text = "blur sigma=1.5, noise sigma=25, jpeg quality=40"
    chain = parse(text)
    assert as_text(chain) == text
    assert parse(as_text(chain)) == chain
    clean = torch.rand(3, 20, 30, generator=seeded(2))
    generator = seeded(5)
    expected = clean
    for step in text.split(","):
        expected = (parse(step)(expected, generator).clamp(0, 1) * 255).round() / 255
    torch.testing.assert_close(chain(clean, seeded(5)), expected)


def test_of_several_of_a_kind_the_strongest_counts():
    found = severities(parse("noise sigma=10, jpeg quality=40, noise sigma=20, blur sigma=0"))
    assert found == {"noise": 40.0, "jpeg": 60.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("noise sigma=2,", "before or after a comma"),
        (", noise sigma=2", "before or after a comma"),
        ("clean, noise sigma=2", "stands alone"),
        ("noise sigma=2, jpg quality=3", "did you mean 'jpeg'"),
        ("noise sigma=2, real-world", "unknown degradation 'real-world'"),
        ("jpeg quality=0..3", "1..100"),
        ("jpeg quality=2.5", "whole numbers"),
        ("resample factor=2 kernel=cubic", "did you mean 'bicubic'"),
        ("noise sigma=5|400", "0..255"),
        ("noise sigma=5|x", "at 'sigma=5.x'"),
        ("defocus radius=3 blades=0..9", "got 1"),
        ("noise sigma=3 bits=8..16", "got 9"),
        ("noise sigma=3 bits=8|0|16 rounding=nearest|truncate", "truncate"),
        ("jpeg quality=1..1000000000", "1..100"),
        ("noise sigma=5 chance=2", "probability"),
        ("noise sigma=5 chance=0..1", "probability"),
        ("real-world mst=3", "did you mean 'most'"),
        ("real-world most=x", "not a whole number at 'most=x'"),
        ("real-world most", "key=value at 'most'"),
        ("real-world fewest=3 most=2", "fewest <= most"),
        ("real-world clean=2", "probability"),
    ],
)
def test_what_does_not_parse_is_pointed_at(text, message):
    with pytest.raises(SettingsError, match=message):
        parse_drawn(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [("noise sigma=1|2", "a range or a list"), ("noise sigma=1 chance=0.5", "leaves open")],
)
def test_a_definite_text_is_asked_for_where_one_is_needed(text, message):
    with pytest.raises(SettingsError, match=message):
        parse(text)


def test_values_are_drawn_from_lists_words_and_whole_ranges():
    family = parse_drawn("resample factor=2|4 kernel=area|bicubic")
    generator = seeded()
    drawn = Counter(as_text(family.draw(generator)) for _ in range(400))
    assert set(drawn) == {f"resample factor={factor}{kernel}" for factor in (2, 4) for kernel in (" kernel=area", "")}
    assert min(drawn.values()) > 60
    qualities = {parse_drawn("jpeg quality=10..13").draw(generator).quality for _ in range(100)}
    assert qualities == {10, 11, 12, 13}


def test_a_step_happens_as_often_as_its_chance_says():
    family = parse_drawn("blur sigma=1 chance=0.25, noise sigma=5")
    generator = seeded()
    drawn = [family.draw(generator) for _ in range(1000)]
    chains = sum(isinstance(one, Chain) for one in drawn)
    assert 200 < chains < 300
    assert all(isinstance(one, GaussianNoise) for one in drawn if not isinstance(one, Chain))
    assert parse_drawn("blur sigma=1 chance=0").draw(generator) == Clean()


def test_the_real_world_has_one_to_four_kinds_in_their_order():
    family = parse_drawn("real-world clean=0.1 shuffled=0 second=0")
    generator = seeded()
    kinds = [list(severities(family.draw(generator))) for _ in range(600)]
    counts = Counter(map(len, kinds))
    assert 30 < counts[0] < 100
    assert set(counts) == {0, 1, 2, 3, 4}
    for found in kinds:
        assert found == sorted(found, key=list(SINGLE).index)
        assert sum(kind in WEATHER for kind in found) <= 1
    assert set(KINDS) == {kind for found in kinds for kind in found}


def test_the_real_world_shuffles_and_repeats():
    generator = seeded()
    shuffled = [parse_drawn("real-world fewest=4 shuffled=1").draw(generator) for _ in range(50)]
    orders = [list(severities(chain)) for chain in shuffled]
    assert any(order != sorted(order, key=list(SINGLE).index) for order in orders)
    twice = [parse_drawn("real-world fewest=3 most=4 clean=0 second=1").draw(generator) for _ in range(60)]
    assert any(len(chain.steps) > 4 for chain in twice if isinstance(chain, Chain))


def test_single_draws_every_kind_alike():
    family = parse_drawn("single clean=0.1")
    generator = seeded()
    counts = Counter(next(iter(severities(family.draw(generator))), "clean") for _ in range(2000))
    assert set(counts) == {*KINDS, "clean"}
    assert all(120 < count < 280 for count in counts.values())


def test_every_mixture_has_defaults():
    for name in MIXTURES:
        parse_drawn(name).draw(seeded())


def test_every_kind_of_single_is_of_that_kind():
    generator = seeded()
    for kind, families in SINGLE.items():
        for text in families:
            for _ in range(5):
                assert set(severities(parse_drawn(text).draw(generator))) <= {kind}


def test_parameters_are_few():
    assert max(len(fields(kind)) for kind in DEGRADATIONS.values()) <= 6
