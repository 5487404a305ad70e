"""Light curves: what must hold of them whatever they have learnt, since it does by construction."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from pellucid.guidance import Guidance
from pellucid.networks import LightCurves
from pellucid.networks.light_curves import LOCAL, around, light_of, splines
from pellucid.restoration.tiles import Tiles, over_tiles


def untrained(seed=0, **settings):
    """A network whose weights are drawn wildly, so that its curves differ much from place to place."""
    torch.manual_seed(seed)
    network = LightCurves(**{"widths": (4, 8), "cells": 4, "knots": 6, "side": 32, "tail": (), **settings}).eval()
    with torch.no_grad():
        for layer in (network.matrix, network.local[-1], network.rises):
            torch.nn.init.normal_(layer.weight, std=1.0)
    return network


def greys(count, height=8):
    """(1, 3, height, count): from black to white, from left to right."""
    return torch.linspace(0, 1, count).expand(1, 3, height, count).contiguous()


@pytest.mark.parametrize("seed", range(5))
@torch.no_grad()
def test_what_is_brighter_stays_brighter_at_every_place(seed):
    network = untrained(seed)
    found = network.look(torch.rand(1, 3, 50, 70))
    found = found.knowing(own={**found.own, "matrix": torch.eye(3)[None]})
    for top, left in ((0.0, 0.0), (0.3, 0.6), (0.99, 0.99)):
        place = torch.tensor([[top, left, top + 1e-6, left + 1e-6]])
        curve = network.restore(greys(2048), found.knowing(grid=place))[0, 0, 0]
        assert (curve.diff() >= 0).all()
        assert curve[0] == 0
        assert curve.max() <= 1


@torch.no_grad()
def test_all_channels_grow_by_one_factor_so_hue_stays():
    """In the exposure that the shoulder is laid on, the ratios of the channels are those of the dark picture."""
    network = untrained()
    image = torch.rand(1, 3, 16, 24) * 0.1 + 0.01
    found = network.look(image)
    found = found.knowing(own={**found.own, "matrix": torch.eye(3)[None]})
    exposure = -torch.log1p(-network.restore(image, found))
    torch.testing.assert_close(
        exposure / exposure.sum(1, keepdim=True), image / image.sum(1, keepdim=True), rtol=1e-3, atol=1e-4
    )


@torch.no_grad()
def test_tiles_are_what_the_whole_is_but_for_the_denoisers_reach():
    network = untrained(tail=(4, 8))
    image = torch.rand(1, 3, 200, 232) * 0.2
    found = network.look(image)
    whole = network.restore(image, found)
    tiled = over_tiles(network, image, found, Tiles(120, 48, network.contract.multiple))
    torch.testing.assert_close(tiled, whole, atol=2e-3, rtol=0)
    curves = untrained()
    found = curves.look(image)
    torch.testing.assert_close(
        over_tiles(curves, image, found, Tiles(120, 48, 1)), curves.restore(image, found), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(("height", "width"), [(1, 1), (37, 53), (5, 300)])
@torch.no_grad()
def test_any_size_and_grey_pictures_stay_grey_without_a_cast(height, width):
    network = untrained()
    image = torch.rand(1, 1, height, width).expand(-1, 3, -1, -1) * 0.2
    found = network.look(image)
    assert network.restore(image, found).shape == image.shape
    found = found.knowing(own={**found.own, "matrix": torch.eye(3)[None]})
    restored = network.restore(image, found)
    assert torch.isfinite(restored).all()
    torch.testing.assert_close(restored, restored.mean(1, keepdim=True).expand_as(restored), atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", range(5))
@torch.no_grad()
def test_an_edge_gets_no_halo(seed):
    """Beside a step each side is a curve of one value, and over a quarter of a cell that changes by no more than the
    bound on places allows."""
    network = untrained(seed, cells=8)
    image = torch.full((1, 3, 256, 256), 0.02)
    image[..., 128:] = 0.2
    found = network.look(image)
    found = found.knowing(own={**found.own, "matrix": torch.eye(3)[None]})
    row = network.restore(image, found)[0, 0, 128]
    exposure = -torch.log1p(-row)
    near, far = slice(120, 128), slice(112, 120)  # 8 pixels are a quarter of a cell of 32
    for one, other in ((near, far), (slice(128, 136), slice(136, 144))):
        assert abs(math.log(exposure[one].mean() / exposure[other].mean())) < LOCAL / 2
    assert (row[128:].min() - row[:128].max()) > 0


def test_splines_are_those_of_scipy_and_sum_to_one():
    cells, length = 5, 40
    ours = splines(torch.tensor([0.0]), torch.tensor([1.0]), length, cells)[0]
    assert (ours >= 0).all()
    torch.testing.assert_close(ours.sum(1), torch.ones(length))
    values = np.random.default_rng(0).random(cells)
    padded = np.concatenate([[values[0]], values, [values[-1]]])
    spline = BSpline(np.arange(-3, cells + 3), padded, 3)
    at = ((np.arange(length) + 0.5) / length * cells - 0.5).clip(0, cells - 1)
    np.testing.assert_allclose(ours.numpy() @ values, spline(at), atol=1e-5)
    part = splines(torch.tensor([0.25]), torch.tensor([0.5]), 10, cells)[0]
    torch.testing.assert_close(part, ours[10:20])


@torch.no_grad()
def test_the_denoiser_cannot_paint_tones():
    """Whatever it wants, the mean of what it changes is taken out around each pixel: on a flat picture nothing is
    left."""
    network = untrained(tail=(4, 8))
    torch.nn.init.constant_(network.tail.tail.bias, 0.3)
    torch.nn.init.zeros_(network.tail.tail.weight)
    image = torch.rand(1, 3, 64, 64) * 0.1
    plain = untrained()
    plain.load_state_dict({name: value for name, value in network.state_dict().items() if not name.startswith("tail")})
    found = network.look(image)
    torch.testing.assert_close(network.restore(image, found), plain.restore(image, found), atol=1e-5, rtol=0)


def test_the_mean_around_a_pixel_is_counted_within_the_image():
    image = torch.rand(1, 1, 40, 50)
    mean = around(image)
    assert mean[0, 0, 0, 0] == pytest.approx(float(image[..., :17, :17].mean()), abs=1e-5)
    assert mean[0, 0, 20, 25] == pytest.approx(float(image[..., 4:37, 9:42].mean()), abs=1e-5)


def test_light_is_between_luma_and_the_largest_channel():
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert float(light_of(red)) == pytest.approx((0.299 + 1) / 2)


@torch.no_grad()
def test_crops_with_the_small_whole_are_restored_as_in_the_whole():
    """What training does: it shows the whole at `Contract.glance` and restores crops."""
    network = untrained()
    image = torch.rand(1, 3, 96, 128) * 0.2
    small = torch.nn.functional.adaptive_avg_pool2d(image, network.contract.glance)
    grid = torch.tensor([[0.25, 0.25, 0.5, 0.75]])
    crop = network.restore(image[..., 24:48, 32:96], network.look(small, Guidance(grid=grid)))
    whole = network.restore(image, network.look(image))
    torch.testing.assert_close(crop, whole[..., 24:48, 32:96], atol=1e-5, rtol=0)
