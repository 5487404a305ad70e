"""Snow: flakes of the size and motion they are told, as strong as the amount says, everywhere alike."""

import math

import numpy as np
import pytest
import torch
from skimage import data
from skimage.feature import structure_tensor

from pellucid.degradations.snow import Snow
from pellucid.errors import SettingsError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def psnr(degraded, clean):
    return -10 * math.log10(float((degraded - clean).square().mean()))


def night(snow, seed=0, size=(160, 160)):
    """What the snow adds to a black picture (H, W), less its veil."""
    seen = snow(torch.zeros(1, *size), seeded(seed))[0].double().numpy()
    return seen - seen.min()


@pytest.fixture(scope="module")
def photographs():
    pictures = (data.astronaut()[:200, 150:350], data.coffee()[100:300, 200:400], data.chelsea()[50:250, 100:300])
    return [torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255 for picture in pictures]


@pytest.mark.parametrize("shape", [(3, 37, 53), (1, 37, 53), (3, 1, 1), (2, 1, 5, 1), (2, 2, 3, 9, 8)])
@pytest.mark.parametrize("amount", [3, 100])
def test_any_shape_stays_in_range_and_comes_from_the_generator(shape, amount):
    clean = torch.rand(shape, generator=seeded())
    before = clean.clone()
    snowy = Snow(amount)(clean, seeded(1))
    assert snowy.shape == clean.shape
    assert snowy.dtype == torch.float32
    assert 0 <= snowy.min() <= snowy.max() <= 1
    assert torch.equal(clean, before)
    assert torch.equal(snowy, Snow(amount)(clean, seeded(1)))
    assert not torch.equal(snowy, Snow(amount)(clean, seeded(2)))


def test_every_picture_of_a_batch_has_its_own_snow(photographs):
    generator = seeded()
    first, second = (Snow(50)(photographs[0], generator) for _ in range(2))
    assert torch.equal(Snow(50)(torch.stack([photographs[0]] * 2), seeded()), torch.stack([first, second]))
    assert not torch.equal(first, second)


def test_colours_share_the_flakes():
    snowy = Snow(60)(torch.zeros(3, 60, 60), seeded())
    assert torch.equal(snowy[0], snowy[1])
    assert torch.equal(snowy[0], snowy[2])
    assert snowy.std() > 0.05


@pytest.mark.parametrize(("amount", "expected"), [(20, 28), (100, 13)])
def test_amounts_give_the_psnr_that_is_documented(amount, expected, photographs):
    scores = [
        psnr(Snow(amount)(photograph, seeded(seed)), photograph) for photograph in photographs for seed in range(5)
    ]
    assert np.mean(scores) == pytest.approx(expected, abs=2)


def test_severity_is_the_amount_and_the_error_grows_with_it(photographs):
    assert [Snow(amount).severity for amount in (0, 20, 100)] == [0, 20, 100]
    assert torch.equal(Snow(0)(photographs[0], seeded()), photographs[0])
    scores = [
        np.mean([psnr(Snow(amount)(one, seeded(seed)), one) for seed, one in enumerate(photographs)])
        for amount in (5, 15, 40, 100)
    ]
    assert sorted(scores, reverse=True) == scores


@pytest.mark.parametrize("keys", [{"size": 3}, {"size": 10}, {"wind": 0}, {"wind": 5}], ids=str)
def test_strength_is_about_the_amounts_alone(keys):
    def rms(snow):
        return math.sqrt(np.mean([np.square(night(snow, seed)).mean() for seed in range(10)]))

    assert rms(Snow(30, **keys)) == pytest.approx(rms(Snow(30)), rel=0.35)


def test_size_is_the_flakes():
    def across(size):
        """The distance at which the likeness of snow falls to half."""
        likeness = np.zeros(40)
        for seed in range(4):
            plane = night(Snow(30, size=size, wind=0), seed)
            plane = plane - plane.mean()
            likeness += [(plane[:, : plane.shape[1] - far] * plane[:, far:]).mean() for far in range(40)]
        return int(np.argmax(likeness < likeness[0] / 2))

    small, middle, large = (across(size) for size in (3, 7, 16))
    assert small < middle < large
    assert large > 2.5 * small


def test_wind_draws_flakes_out():
    def coherence(wind):
        parts = []
        for seed in range(4):
            rows, mixed, columns = (
                float(one.mean()) for one in structure_tensor(night(Snow(40, 5, wind), seed), sigma=1)
            )
            parts.append(math.hypot(columns - rows, 2 * mixed) / (columns + rows))
        return np.mean(parts)

    assert coherence(0) < 0.1
    assert coherence(4) > 0.35


@pytest.mark.parametrize("wind", [0, 5])
def test_snow_is_as_dense_at_the_borders(wind):
    mean = np.mean([night(Snow(40, 5, wind), seed, (120, 120)) for seed in range(30)], 0)
    for border in (mean[:20], mean[-20:], mean[:, :20], mean[:, -20:]):
        assert border.mean() == pytest.approx(mean[40:80, 40:80].mean(), rel=0.25)


def test_snow_brightens_the_dark_and_spares_the_bright():
    dark, bright = torch.zeros(1, 80, 80), torch.full((1, 80, 80), 0.9)
    assert (Snow(80)(dark, seeded()) >= dark).all()
    assert (Snow(80)(bright, seeded()) - bright).abs().max() <= 0.1 + 1e-6


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"amount": 101}, "amount"),
        ({"amount": float("nan")}, "amount"),
        ({"amount": 5, "size": 41}, "size"),
        ({"amount": 5, "wind": 11}, "wind"),
        ({"amount": 5, "wind": -0.5}, "wind"),
    ],
    ids=str,
)
def test_wrong_settings_are_named(keys, named):
    with pytest.raises(SettingsError, match=named):
        Snow(**keys)
