"""Haze: the model's own invariants, with the transmission read out of the result."""

import math
from itertools import pairwise

import pytest
import torch
from skimage.data import astronaut

from pellucid.degradations.haze import Haze
from pellucid.errors import SettingsError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def photograph():
    return torch.from_numpy(astronaut()[:160, 100:300].copy()).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("amount", [5, 40, 95])
def test_the_mean_transmission_is_what_the_amount_says(photograph, amount):
    for seed in range(4):
        transmission = Haze(amount).transmission(photograph, seeded(seed))
        assert transmission.mean() == pytest.approx(1 - amount / 100, abs=1e-3)
        assert transmission.min() >= 0
        assert transmission.max() <= 1


def test_it_can_be_read_out_of_the_haze(photograph):
    # With A known, every channel of a pixel tells the same t = (I - A) / (J - A).
    hazy = Haze(50, airlight=1.0)(photograph * 0.8, seeded(2))
    told = (hazy - 1) / (photograph * 0.8 - 1)
    torch.testing.assert_close(told[0], told[1], atol=1e-4, rtol=0)
    torch.testing.assert_close(told[0], told[2], atol=1e-4, rtol=0)
    assert told.mean() == pytest.approx(0.5, abs=1e-3)


def test_the_top_is_farther_than_the_bottom_more_often_than_not():
    clean = torch.full((3, 60, 80), 0.5)
    transmissions = torch.stack([Haze(50).transmission(clean, seeded(seed)) for seed in range(30)])
    assert (transmissions[:, -10:].mean(dim=(1, 2)) > transmissions[:, :10].mean(dim=(1, 2))).sum() >= 25
    assert transmissions.flatten(1).std(dim=1).min() > 0.02


def test_the_distance_follows_edges():
    """A dark thing before a bright ground: t jumps at its outline, and only there."""
    clean = torch.full((1, 120, 120), 0.9)
    clean[:, 30:90, 40:80] = 0.1
    jumps, elsewhere = [], []
    for seed in range(10):
        transmission = Haze(50).transmission(clean, seeded(seed))
        steps = transmission.diff(dim=1).abs()[35:85]
        jumps.append(float(steps[:, 39].mean()))
        elsewhere.append(float(steps[:, 5:30].mean()))
    assert sum(jumps) > 5 * sum(elsewhere)


def test_a_drawn_airlight_is_near_white_and_slightly_coloured():
    thick = torch.stack([Haze(95)(torch.zeros(3, 24, 24), seeded(seed)).amax(dim=(1, 2)) for seed in range(60)])
    assert thick.max() <= 1
    assert thick.min() > 0.55
    assert (thick[:, 0] - thick[:, 2]).abs().max() < 0.081
    assert (thick[:, 0] - thick[:, 2]).std() > 0.01
    fixed = Haze(95, airlight=0.6)(torch.zeros(3, 24, 24), seeded())
    assert torch.equal(fixed[0], fixed[2])
    assert fixed.max() <= 0.6


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (3, 1, 9), (3, 37, 53), (1, 37, 53), (2, 2, 3, 5, 7)])
def test_any_shape_from_the_generator_and_as_its_members(shape):
    clean = torch.rand(shape, generator=seeded())
    before = clean.clone()
    hazy = Haze(60)(clean, seeded(1))
    assert hazy.shape == shape
    assert hazy.isfinite().all()
    assert torch.equal(clean, before)
    generator = seeded(1)
    members = [Haze(60)(member, generator) for member in clean.reshape(-1, *shape[-3:])]
    assert torch.equal(hazy, torch.stack(members).reshape(shape))


def test_severity_rises_and_fidelity_falls(photograph):
    hazes = [Haze(amount) for amount in (0, 20, 50, 90)]
    assert [haze.severity for haze in hazes] == [0, 20, 50, 90]
    errors = [float((haze(photograph, seeded(1)) - photograph).square().mean()) for haze in hazes]
    assert errors[0] == 0
    assert all(one < other for one, other in pairwise(errors))


@pytest.mark.parametrize(
    ("settings", "name"),
    [((96,), "amount"), ((-1,), "amount"), ((math.nan,), "amount"), ((50, 0.2), "airlight"), ((50, 1.1), "airlight")],
)
def test_refusals(settings, name):
    with pytest.raises(SettingsError, match=f"haze: {name}"):
        Haze(*settings)
