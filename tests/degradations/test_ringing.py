"""The sinc filter against its formula in SciPy and a plain convolution."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from scipy.special import j1

from pellucid.degradations.ringing import Ringing
from pellucid.errors import SettingsError


def seeded():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(("cutoff", "radius"), [(0.8, 10), (2.2, 4), (math.pi, 7)])
def test_the_kernel_is_the_jinc(cutoff, radius):
    kernel = Ringing(cutoff, radius).kernel().numpy()
    expected = np.empty((2 * radius + 1, 2 * radius + 1))
    for i in range(-radius, radius + 1):
        for j in range(-radius, radius + 1):
            r = math.hypot(i, j) or 1e-6  # the formula's limit, from nearby
            expected[i + radius, j + radius] = cutoff * j1(cutoff * r) / (2 * math.pi * r)
    np.testing.assert_allclose(kernel, expected / expected.sum(), atol=1e-6)


@pytest.mark.parametrize("shape", [(37, 53), (40, 23), (9, 4), (1, 1), (1, 30)])
@pytest.mark.parametrize("radius", [3, 10])
def test_it_is_a_plain_convolution_with_mirrored_borders(shape, radius):
    image = torch.rand(3, *shape, generator=seeded())
    ringing = Ringing(1.1, radius)
    degraded = ringing(image, seeded())
    assert degraded.shape == image.shape
    for plane, expected in zip(degraded, image, strict=True):
        naive = convolve(expected.double().numpy(), ringing.kernel().double().numpy(), mode="mirror")
        np.testing.assert_allclose(plane.numpy(), naive.clip(0, 1), atol=2e-5)


def test_slow_waves_pass_and_fast_ones_do_not():
    place = torch.arange(256.0)

    def left(frequency):
        wave = (0.5 + 0.4 * torch.cos(frequency * place)).expand(1, 64, 256)
        return float(Ringing(1.5)(wave, seeded())[..., 32, 40:-40].std() / wave[..., 32, 40:-40].std())

    assert left(0.8) == pytest.approx(1, abs=0.2)
    assert left(2.4) < 0.12


def test_an_edge_echoes():
    edge = torch.full((1, 41, 80), 0.2)
    edge[..., 40:] = 0.8
    row = Ringing(1.2)(edge, seeded())[0, 20]
    assert row.max() > 0.81
    assert row.min() < 0.19
    assert (row[40:].diff().sign().diff() != 0).sum() >= 4


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (1, 37, 53), (2, 3, 37, 53), (2, 2, 1, 5, 7)])
def test_any_shape_never_in_place_and_as_its_members(shape):
    clean = torch.rand(shape, generator=seeded())
    before = clean.clone()
    degraded = Ringing(1.4)(clean, seeded())
    assert degraded.shape == shape
    assert degraded.min() >= 0
    assert degraded.max() <= 1
    assert torch.equal(clean, before)
    members = [Ringing(1.4)(member, seeded()) for member in clean.reshape(-1, *shape[-3:])]
    torch.testing.assert_close(degraded, torch.stack(members).reshape(shape), atol=1e-6, rtol=0)


def test_severity_rises_and_fidelity_falls():
    clean = torch.rand(3, 50, 50, generator=seeded())
    ringings = [Ringing(cutoff) for cutoff in (math.pi, 2.2, 1.2, 0.5)]
    severities = [ringing.severity for ringing in ringings]
    assert severities[0] == 0
    assert severities[-1] == 100
    assert severities == sorted(severities)
    errors = [float((ringing(clean, seeded()) - clean).square().mean()) for ringing in ringings]
    assert all(one < other for one, other in pairwise(errors))


@pytest.mark.parametrize("settings", [{"cutoff": 0.4}, {"cutoff": 3.2}, {"radius": 2}, {"radius": 11}])
def test_refusals(settings):
    with pytest.raises(SettingsError, match=f"ringing: {next(iter(settings))}"):
        Ringing(**({"cutoff": 1.0} | settings))
