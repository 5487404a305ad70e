"""Rain: as strong as the data sets of the literature, in the directions it is told, everywhere alike."""

import math

import numpy as np
import pytest
import torch
from skimage import data
from skimage.feature import structure_tensor

from pellucid.degradations.rain import Rain
from pellucid.degradations.rain_lines import RainLines
from pellucid.errors import SettingsError

both = pytest.mark.parametrize("kind", [Rain, RainLines])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def psnr(degraded, clean):
    return -10 * math.log10(float((degraded - clean).square().mean()))


def night(rain, seed=0, size=(200, 200)):
    """What the rain adds to a black picture (H, W), less its veil."""
    seen = rain(torch.zeros(1, *size), seeded(seed))[0].double().numpy()
    return seen - seen.min()


def lean(plane):
    """The prevailing direction of streaks, in degrees from the vertical, right at the top positive; its coherence."""
    rows, mixed, columns = (float(part.mean()) for part in structure_tensor(plane, sigma=1))
    # The gradient lies across the streaks: (cos a, sin a), rows downwards, for streaks along (sin a, -cos a).
    angle = math.degrees(0.5 * math.atan2(2 * mixed, columns - rows))
    return angle, math.hypot(columns - rows, 2 * mixed) / (columns + rows)


@pytest.fixture(scope="module")
def photographs():
    pictures = (data.astronaut()[:200, 150:350], data.coffee()[100:300, 200:400], data.chelsea()[50:250, 100:300])
    return [torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255 for picture in pictures]


@pytest.mark.parametrize("shape", [(3, 37, 53), (1, 37, 53), (3, 1, 1), (2, 1, 5, 1), (2, 2, 3, 9, 8)])
@pytest.mark.parametrize("amount", [3, 100])
@both
def test_any_shape_stays_in_range_and_comes_from_the_generator(kind, shape, amount):
    clean = torch.rand(shape, generator=seeded())
    before = clean.clone()
    rainy = kind(amount)(clean, seeded(1))
    assert rainy.shape == clean.shape
    assert rainy.dtype == torch.float32
    assert 0 <= rainy.min() <= rainy.max() <= 1
    assert torch.equal(clean, before)
    assert torch.equal(rainy, kind(amount)(clean, seeded(1)))
    assert not torch.equal(rainy, kind(amount)(clean, seeded(2)))


@both
def test_every_picture_of_a_batch_has_its_own_rain(kind, photographs):
    generator = seeded()
    first, second = (kind(50)(photographs[0], generator) for _ in range(2))
    assert torch.equal(kind(50)(torch.stack([photographs[0]] * 2), seeded()), torch.stack([first, second]))
    assert not torch.equal(first, second)


@both
def test_colours_share_the_streaks(kind):
    rainy = kind(60)(torch.zeros(3, 60, 60), seeded())
    assert torch.equal(rainy[0], rainy[1])
    assert torch.equal(rainy[0], rainy[2])
    assert rainy.std() > 0.05


# Yang et al., CVPR 2017: about 27 dB for Rain100L, 13 dB for Rain100H, as the tables of deraining give for the input.
@pytest.mark.parametrize(
    ("rain", "expected"),
    [
        (Rain(20), 27),
        (Rain(100), 13),
        (Rain(100, directions=5), 13),
        (RainLines(20), 22),
        (RainLines(65, directions=5), 13),
        (RainLines(100, directions=5), 10),
    ],
    ids=str,
)
def test_amounts_reach_the_data_sets(rain, expected, photographs):
    scores = [psnr(rain(photograph, seeded(seed)), photograph) for photograph in photographs for seed in range(4)]
    assert np.mean(scores) == pytest.approx(expected, abs=2)


@both
def test_severity_is_the_amount_and_the_error_grows_with_it(kind, photographs):
    assert [kind(amount).severity for amount in (0, 20, 100)] == [0, 20, 100]
    assert torch.equal(kind(0)(photographs[0], seeded()), photographs[0])
    scores = [
        np.mean([psnr(kind(amount)(one, seeded(seed)), one) for seed, one in enumerate(photographs)])
        for amount in (5, 15, 40, 100)
    ]
    assert sorted(scores, reverse=True) == scores


@pytest.mark.parametrize(
    "keys", [{"length": 15}, {"length": 60}, {"directions": 1}, {"directions": 5}, {"angle": 45}], ids=str
)
def test_strength_is_the_amounts_alone(keys):
    def rms(rain):
        return math.sqrt(np.mean([np.square(night(rain, seed, (150, 150))).mean() for seed in range(8)]))

    strength = rms(Rain(30, **keys))
    assert strength == pytest.approx(rms(Rain(30, length=30, directions=2)), rel=0.2)
    assert strength == pytest.approx(2 * rms(Rain(15, **keys)), rel=0.25)


@pytest.mark.parametrize("angle", [-40, -15, 0, 25, 45])
@both
def test_streaks_lean_as_told(kind, angle):
    leaning, coherence = lean(night(kind(40, length=30, angle=angle, spread=0, directions=1), size=(300, 300)))
    assert leaning == pytest.approx(angle, abs=4)  # lines of one pixel are stepped
    assert coherence > 0.8


@both
def test_several_directions_cross(kind):
    def coherence(directions):
        return np.mean(
            [lean(night(kind(60, length=30, spread=45, directions=directions), seed))[1] for seed in range(5)]
        )

    assert coherence(5) < coherence(1) - 0.1


@both
def test_length_is_the_streaks(kind):
    def along(length):
        """The distance down the picture at which the likeness of rain falls to half."""
        plane = np.concatenate([night(kind(30, length=length, spread=0, directions=1), seed) for seed in range(3)], 1)
        plane = plane - plane.mean()
        likeness = [float((plane[: len(plane) - far] * plane[far:]).mean()) for far in range(80)]
        return int(np.argmax(np.array(likeness) < likeness[0] / 2))

    short, middle, long = (along(length) for length in (10, 25, 60))
    assert 1.6 * short < middle < long / 1.6


@pytest.mark.parametrize("angle", [-45, 0, 45])
@both
def test_rain_is_as_dense_at_the_borders(kind, angle):
    rain = kind(40, length=40, angle=angle, spread=0, directions=1)
    mean = np.mean([night(rain, seed, (120, 120)) for seed in range(24)], 0)
    for border in (mean[:20], mean[-20:], mean[:, :20], mean[:, -20:]):
        assert border.mean() == pytest.approx(mean[40:80, 40:80].mean(), rel=0.25)


def test_rain_brightens_the_dark_and_spares_the_bright():
    dark, bright = torch.zeros(1, 80, 80), torch.full((1, 80, 80), 0.9)
    assert (Rain(80)(dark, seeded()) >= dark).all()
    assert (Rain(80)(bright, seeded()) - bright).abs().max() <= 0.1 + 1e-6


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"amount": 101}, "amount"),
        ({"amount": float("nan")}, "amount"),
        ({"amount": 5, "length": -1}, "length"),
        ({"amount": 5, "angle": 60}, "angle"),
        ({"amount": 5, "spread": 50}, "spread"),
        ({"amount": 5, "directions": 6}, "directions"),
    ],
    ids=str,
)
@both
def test_wrong_settings_are_named(kind, keys, named):
    with pytest.raises(SettingsError, match=named):
        kind(**keys)


def test_density_is_the_lines():
    def lit(density):
        """The part of a night in which there is rain."""
        return float(
            np.mean([(night(RainLines(60, length=20, density=density), seed) > 1e-4).mean() for seed in range(3)])
        )

    assert lit(0.001) < lit(0.01) < lit(0.1)
    with pytest.raises(SettingsError, match="density"):
        RainLines(50, density=0.6)
