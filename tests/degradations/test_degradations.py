"""Degradations: statistics, text round trips, and errors that point at the word."""

import pytest
import torch

from pellucid.degradations import GaussianNoise, as_text, parse, parse_drawn
from pellucid.errors import SettingsError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_noise_has_the_strength_it_says():
    clean = torch.full((3, 200, 200), 0.5)
    noise = GaussianNoise(25)(clean, seeded()) - clean
    assert noise.std() * 255 == pytest.approx(25, rel=0.02)
    assert abs(noise.mean() * 255) < 0.3


def test_noise_comes_from_the_generator_alone():
    clean = torch.rand(3, 8, 8)
    torch.manual_seed(1)
    first = GaussianNoise(10)(clean, seeded(5))
    torch.manual_seed(2)
    assert torch.equal(first, GaussianNoise(10)(clean, seeded(5)))
    assert not torch.equal(first, GaussianNoise(10)(clean, seeded(6)))


def test_stored_noise_is_a_file_of_bytes():
    degraded = GaussianNoise(60, bits=8)(torch.rand(3, 50, 50), seeded())
    assert degraded.min() == 0
    assert degraded.max() == 1
    torch.testing.assert_close(degraded * 255, (degraded * 255).round(), atol=1e-4, rtol=0)
    assert GaussianNoise(60)(torch.rand(3, 50, 50), seeded()).min() < 0


@pytest.mark.parametrize("text", ["noise sigma=25", "noise sigma=12.5 bits=8", "noise sigma=0"])
def test_text_round_trip(text):
    assert as_text(parse(text)) == text
    assert parse(as_text(parse(text))) == parse(text)


def test_ranges_are_drawn_uniformly():
    drawn = parse_drawn("noise sigma=10..50 bits=8")
    generator = seeded()
    sigmas = torch.tensor([drawn.draw(generator).sigma for _ in range(2000)])
    assert sigmas.min() >= 10
    assert sigmas.max() <= 50
    assert sigmas.mean() == pytest.approx(30, abs=1)
    assert sigmas.std() == pytest.approx(40 / 12**0.5, abs=0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty degradation"),
        ("nose sigma=2", "did you mean 'noise'"),
        ("noise sigm=2", "did you mean 'sigma'"),
        ("noise 25", "key=value at '25'"),
        ("noise sigma=abc", "at 'sigma=abc'"),
        ("noise sigma=50..10", "runs backwards"),
        ("noise sigma=-1", "0..255"),
        ("noise sigma=0..300", "0..255"),
        ("noise sigma=2 bits=7", "bits must be"),
        ("noise", "needs sigma"),
        ("noise sigma=1 sigma=2", "given twice"),
        ("noise sigma=2 bits=8.7", "whole numbers"),
        ("noise sigma=inf", "finite number at 'sigma=inf'"),
    ],
)
def test_errors_point_at_the_word(text, message):
    with pytest.raises(SettingsError, match=message):
        parse_drawn(text)


def test_one_number_is_asked_for_where_one_is_needed():
    with pytest.raises(SettingsError, match="sigma is a range"):
        parse("noise sigma=0..5")
