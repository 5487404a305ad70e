"""Noise against its formulas, PromptIR's arithmetic in NumPy, and scikit-image's moments."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from skimage.util import random_noise

from pellucid.degradations.noise import GaussianNoise, ImpulseNoise, PoissonNoise
from pellucid.errors import SettingsError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


EVERY = [
    GaussianNoise(20),
    GaussianNoise(20, bits=8, rounding="truncate"),
    PoissonNoise(30),
    ImpulseNoise(0.2),
    ImpulseNoise(0.2, unit="channel"),
]


@pytest.mark.parametrize("noise", EVERY)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (3, 37, 53), (1, 37, 53), (2, 3, 5, 7), (2, 2, 1, 4, 4)])
def test_any_shape_and_never_in_place(noise, shape):
    clean = torch.rand(shape, generator=seeded())
    before = clean.clone()
    degraded = noise(clean, seeded(1))
    assert degraded.shape == shape
    assert degraded.dtype == torch.float32
    assert torch.equal(clean, before)
    torch.manual_seed(5)
    assert torch.equal(degraded, noise(clean, seeded(1)))


def test_truncated_noise_is_that_of_promptir():
    clean = torch.randint(256, (3, 40, 50), generator=seeded(2)).float() / 255
    drawn = torch.randn(clean.shape, generator=seeded(4)).numpy()
    noisy = np.clip(np.round(clean.numpy() * 255) + drawn * np.float32(50), 0, 255).astype(np.uint8)
    degraded = GaussianNoise(50, bits=8, rounding="truncate")(clean, seeded(4))
    assert np.array_equal((degraded * 255).round().numpy().astype(np.uint8), noisy)


@pytest.mark.parametrize("bits", [8, 16])
def test_truncation_of_what_is_stored_already_changes_nothing(bits):
    steps = 2**bits - 1
    stored = (torch.arange(steps + 1) / steps).reshape(1, 2 ** (bits // 2), -1)
    assert torch.equal(GaussianNoise(0, bits=bits, rounding="truncate")(stored, seeded()), stored)


def test_truncation_is_half_a_level_darker():
    clean = torch.full((1, 400, 400), 0.5)
    nearest = GaussianNoise(20, bits=8)(clean, seeded())
    truncated = GaussianNoise(20, bits=8, rounding="truncate")(clean, seeded())
    assert float((nearest - truncated).mean()) * 255 == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("value", [0.05, 0.4])
@pytest.mark.parametrize("peak", [20, 300])
def test_poisson_noise_has_the_mean_and_the_variance_of_counts(value, peak):
    degraded = PoissonNoise(peak)(torch.full((1, 300, 300), value), seeded())
    counts = degraded.double() * peak
    torch.testing.assert_close(counts, counts.round(), atol=1e-4, rtol=0)
    assert counts.mean() == pytest.approx(value * peak, rel=0.02)
    assert counts.var() == pytest.approx(value * peak, rel=0.05)


def test_poisson_noise_is_clipped_and_black_stays_black():
    degraded = PoissonNoise(10)(torch.tensor([[[0.0, 1.0]]]).expand(1, 500, 2), seeded())
    assert degraded[..., 0].max() == 0
    assert degraded[..., 1].max() == 1


@pytest.mark.parametrize("part", [0.05, 0.6])
def test_salt_and_pepper_has_the_moments_of_scikit_image(part):
    clean = torch.full((1, 300, 300), 0.3)
    degraded = ImpulseNoise(part)(clean, seeded()).double()
    theirs = random_noise(clean.numpy()[0], mode="s&p", amount=part, rng=1)
    assert degraded.mean() == pytest.approx(theirs.mean(), rel=0.03)
    assert degraded.var() == pytest.approx(theirs.var(), rel=0.03)
    assert (degraded == 1).double().mean() == pytest.approx(part / 2, rel=0.1)
    assert (degraded == 0).double().mean() == pytest.approx(part / 2, rel=0.1)
    kept = (degraded != 0) & (degraded != 1)
    assert torch.equal(degraded[kept].float(), clean[kept])


def test_a_lost_pixel_loses_all_channels_and_a_lost_channel_only_itself():
    clean = torch.full((3, 200, 200), 0.5)
    pixels = ImpulseNoise(0.3)(clean, seeded()) != clean
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[0], pixels[2])
    channels = ImpulseNoise(0.3, unit="channel")(clean, seeded()) != clean
    assert channels.all(dim=0).float().mean() == pytest.approx(0.3**3, abs=0.01)


def test_all_or_nothing_may_be_lost():
    clean = torch.full((3, 50, 50), 0.5)
    assert torch.equal(ImpulseNoise(0)(clean, seeded()), clean)
    assert set(ImpulseNoise(1)(clean, seeded()).unique().tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("noises", "severities"),
    [
        ([GaussianNoise(0), GaussianNoise(25), GaussianNoise(50), GaussianNoise(90)], [0, 50, 100, 100]),
        ([PoissonNoise(100_000), PoissonNoise(100), PoissonNoise(4)], [1.14, 36.06, 100]),
        ([ImpulseNoise(0), ImpulseNoise(0.1), ImpulseNoise(0.5), ImpulseNoise(1)], [0, 20, 100, 100]),
    ],
)
def test_severity_rises_and_fidelity_falls(noises, severities):
    assert [noise.severity for noise in noises] == pytest.approx(severities, abs=0.01)
    assert {noise.kind for noise in noises} == {"noise"}
    clean = torch.full((3, 60, 60), 0.5)
    errors = [float((noise(clean, seeded()) - clean).square().mean()) for noise in noises]
    assert all(one < other for one, other in pairwise(errors))


def test_severity_of_poisson_noise_is_that_of_gaussian_noise_as_strong_at_mid_grey():
    noise = PoissonNoise(200)
    deviation = (noise(torch.full((1, 400, 400), 0.5), seeded()) - 0.5).std() * 255
    assert GaussianNoise(float(deviation)).severity == pytest.approx(noise.severity, rel=0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianNoise(10, rounding="truncate"), "needs bits"),
        (lambda: GaussianNoise(10, bits=8, rounding="up"), "rounding must be"),
        (lambda: PoissonNoise(0.5), "1..100000"),
        (lambda: PoissonNoise(float("nan")), "peak must lie"),
        (lambda: ImpulseNoise(1.1), "0..1"),
        (lambda: ImpulseNoise(0.1, unit="row"), "pixel or channel"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(SettingsError, match=message):
        make()
