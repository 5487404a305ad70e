"""Resampling against Pillow's kernels."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid.degradations.resampling import Resample
from pellucid.errors import SettingsError
from pellucid.images.resizing import bicubic

PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("factor", [1.3, 2, 5.7])
@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
@pytest.mark.parametrize("up", ["bilinear", "bicubic"])
def test_it_is_pillow_down_and_up_again(factor, kernel, up):
    plane = torch.rand(37, 53, generator=seeded())
    small = (max(1, round(53 / factor)), max(1, round(37 / factor)))
    if kernel == "bicubic":  # that of the published sets, whose edges are not Pillow's
        less = Image.fromarray(bicubic(plane[None], *small[::-1])[0].numpy())
    else:
        less = Image.fromarray(plane.numpy()).resize(small, PILLOW[kernel])
    expected = np.asarray(less.resize((53, 37), PILLOW[up])).clip(0, 1)
    degraded = Resample(factor, kernel, up)(plane[None], seeded())[0]
    np.testing.assert_allclose(degraded.numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("factor", [1.4, 3, 7.9])
def test_area_is_the_mean_of_what_is_covered(factor):
    """By brute force: every pixel cut into so many parts that the larger ones have whole numbers of them."""
    plane = torch.rand(13, 17, generator=seeded())
    rows, columns = (max(1, round(side / factor)) for side in plane.shape)
    parts = plane.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
    means = parts.reshape(rows, 13, columns, 17).mean(dim=(1, 3))
    degraded = Resample(factor, "area", "nearest")(plane[None], seeded())[0]
    places = [((torch.arange(side) + 0.5) * count / side).long() for side, count in ((13, rows), (17, columns))]
    torch.testing.assert_close(degraded, means[places[0]][:, places[1]], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kernel", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize("up", ["nearest", "bilinear", "bicubic"])
def test_overshoot_is_clipped(kernel, up):
    checks = (torch.rand(1, 40, 40, generator=seeded()) > 0.5).float()
    degraded = Resample(1.6, kernel, up)(checks, seeded())
    assert degraded.min() >= 0
    assert degraded.max() <= 1


def test_a_drawn_kernel_is_one_of_two():
    image = torch.rand(3, 12, 12, generator=seeded())
    allowed = [Resample(2, up=up)(image, seeded()) for up in ("bilinear", "bicubic")]
    found = [[torch.equal(Resample(2)(image, seeded(seed)), one) for one in allowed] for seed in range(20)]
    assert all(any(row) for row in found)
    assert 0 < sum(row[0] for row in found) < 20


@pytest.mark.parametrize("kernel", ["area", "bilinear", "bicubic"])
def test_flat_stays_flat_and_one_time_smaller_is_the_image(kernel):
    flat = torch.full((3, 21, 34), 0.37)
    torch.testing.assert_close(Resample(3.3, kernel)(flat, seeded()), flat)
    image = torch.rand(3, 21, 34, generator=seeded())
    assert torch.equal(Resample(1, kernel)(image, seeded()), image)


@pytest.mark.parametrize("kernel", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (3, 1, 9), (3, 37, 53), (1, 37, 53), (2, 2, 3, 5, 7)])
def test_any_shape_never_in_place_and_as_its_members(kernel, shape):
    clean = torch.rand(shape, generator=seeded())
    before = clean.clone()
    degraded = Resample(4, kernel)(clean, seeded(1))
    assert degraded.shape == shape
    assert torch.equal(clean, before)
    generator = seeded(1)
    members = [Resample(4, kernel)(member, generator) for member in clean.reshape(-1, *shape[-3:])]
    assert torch.equal(degraded, torch.stack(members).reshape(shape))
    assert degraded.data_ptr() != clean.data_ptr()


def test_severity_rises_and_fidelity_falls():
    clean = torch.rand(3, 64, 64, generator=seeded())
    resamples = [Resample(factor, up="bicubic") for factor in (1, 1.5, 3, 8)]
    assert [one.severity for one in resamples] == pytest.approx([0, 100 / 3, 200 / 3, 87.5])
    errors = [float((one(clean, seeded()) - clean).square().mean()) for one in resamples]
    assert all(one < other for one, other in pairwise(errors))


@pytest.mark.parametrize("settings", [{"factor": 0.5}, {"factor": 9}, {"kernel": "lanczos"}, {"up": "area"}])
def test_refusals(settings):
    with pytest.raises(SettingsError, match=f"resample: {next(iter(settings))}"):
        Resample(**({"factor": 2} | settings))
