"""Film grain: the law of its density, its blobs, and its colours."""

import math

import numpy as np
import pytest
import torch

from pellucid.degradations import as_text, parse
from pellucid.degradations.film import FilmGrain
from pellucid.errors import SettingsError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def light_of(encoded):
    """Linear light of sRGB values above its toe."""
    return ((encoded + 0.055) / 1.055) ** 2.4


def encoded_from(light):
    return 1.055 * light ** (1 / 2.4) - 0.055


@pytest.mark.parametrize("size", [0.0, 0.6, 1.5])
def test_a_slide_scatters_at_density_one_as_its_maker_says(size):
    """Through a hole of 48 micrometres the deviation is granularity / 1000; a pixel of 6.35 sees less film (Selwyn's law)."""
    clean = torch.full((3, 200, 200), encoded_from(0.1))
    grained = FilmGrain(10, 6.35, size)(clean, seeded())
    density = -np.log10(light_of(grained.numpy()))
    expected = 0.010 * math.sqrt(math.pi * 24**2) / 6.35
    # Where the density is 1; the fog is counted into it on both sides.
    assert density.std() == pytest.approx(expected, rel=0.04)
    assert density.mean() == pytest.approx(1, abs=0.005)


def test_the_variance_of_density_rises_with_density():
    film = FilmGrain(12, 10, 0)
    spreads = []
    for density in (0.2, 0.8, 1.6):
        grained = film(torch.full((1, 200, 200), encoded_from(10**-density)), seeded())
        spreads.append(float(np.log10(light_of(grained.numpy())).var()))
    expected = np.array([0.3, 0.9, 1.7]) * spreads[1] / 0.9
    np.testing.assert_allclose(spreads, expected, rtol=0.03)


def test_negatives_have_grain_where_the_light_was():
    for film, brighter in (("slide", False), ("negative", True)):
        noise = FilmGrain(5, 10, film=film)
        bright, dark = (float(noise.deviation(torch.tensor(light))) for light in (0.6, 0.02))
        assert (bright > dark) == brighter


def test_blobs_have_their_size_and_the_same_strength():
    clean = torch.full((1, 300, 300), 0.5)
    strengths = []
    for size, alike in ((0.0, 0.0), (1.0, math.exp(-0.25)), (2.0, math.exp(-1 / 16))):
        noise = (FilmGrain(10, 10, size)(clean, seeded()) - clean)[0]
        strengths.append(float(noise.std()))
        found = float((noise[:, 1:] * noise[:, :-1]).mean() / noise.square().mean())
        assert found == pytest.approx(alike, abs=0.02)
    assert max(strengths) < 1.06 * min(strengths)


@pytest.mark.parametrize("colour", [0.0, 0.5, 1.0])
def test_colours_share_what_they_do_not_have_for_themselves(colour):
    clean = torch.full((3, 200, 200), 0.5)
    noise = FilmGrain(10, 10, 0, colour)(clean, seeded()) - clean
    shares = np.corrcoef(noise.flatten(1).numpy())
    np.testing.assert_allclose(shares[np.triu_indices(3, 1)], 1 - colour, atol=0.02)


def test_black_and_white_film_keeps_grey_grey():
    clean = torch.rand(1, 40, 40, generator=seeded()).expand(3, -1, -1)
    grained = FilmGrain(20, colour=0)(clean, seeded(1))
    assert torch.equal(grained[0], grained[1])
    assert torch.equal(grained[0], grained[2])


@pytest.mark.parametrize("film", ["slide", "negative"])
def test_severity_is_twice_the_strength_at_mid_grey(film):
    clean = torch.full((3, 200, 200), 0.5)
    settings = FilmGrain(6, 8, film=film)
    sigma = 255 * float((settings(clean, seeded()) - clean).std())
    assert settings.severity == pytest.approx(2 * sigma, rel=0.05)
    assert FilmGrain(0).severity == 0
    assert FilmGrain(60, 2, film=film).severity == 100


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (3, 37, 53), (2, 2, 3, 5, 7)])
def test_any_shape_in_range_and_from_the_generator(shape):
    clean = torch.rand(shape, generator=seeded())
    before = clean.clone()
    grained = FilmGrain(40, 4, 1.2)(clean, seeded(1))
    assert grained.shape == shape
    assert grained.min() >= 0
    assert grained.max() <= 1
    assert torch.equal(clean, before)
    assert torch.equal(grained, FilmGrain(40, 4, 1.2)(clean, seeded(1)))
    assert torch.equal(FilmGrain(0)(clean, seeded(1)), clean)


def test_text_round_trip():
    text = "film-grain granularity=20 size=1 film=negative"
    assert as_text(parse(text)) == text
    assert parse(text) == FilmGrain(20, size=1, film="negative")


@pytest.mark.parametrize(
    "settings",
    [{"granularity": 61}, {"pixel": 1}, {"size": -1}, {"colour": 2}, {"film": "print"}, {"size": float("nan")}],
)
def test_refusals(settings):
    with pytest.raises(SettingsError, match=f"film-grain: {next(iter(settings))}"):
        FilmGrain(**settings)
