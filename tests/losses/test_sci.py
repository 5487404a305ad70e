"""SCI's losses against loops over pixels and their neighbours, written from the equations of its section 2.3."""

import math

import pytest
import torch

from pellucid.losses import implied_illumination, sci
from pellucid.losses.sci import fidelity, smoothness


def yuv(colour):
    """BT.601, from the definition: U and V are scaled differences of blue and red to luma."""
    red, green, blue = colour
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return luma, 0.492 * (blue - luma), 0.877 * (red - luma)


def loop(given, illumination):
    """For each of the 24 offsets the mean over the pixels that have that neighbour, summed."""
    _, height, width = given.shape
    total = 0.0
    for down in range(-2, 3):
        for across in range(-2, 3):
            terms = []
            for row in range(height):
                for column in range(width):
                    other = (row + down, column + across)
                    if (down, across) != (0, 0) and 0 <= other[0] < height and 0 <= other[1] < width:
                        here, there = (yuv(given[:, r, c].tolist()) for r, c in ((row, column), other))
                        distance = sum((a - b) ** 2 for a, b in zip(here, there, strict=True))
                        change = float((illumination[:, row, column] - illumination[:, other[0], other[1]]).abs().sum())
                        terms.append(math.exp(-distance / (2 * 0.1**2)) * change)
            total += sum(terms) / len(terms) if terms else 0.0
    return total


def test_smoothness_is_the_weighted_sum_over_a_window_of_five():
    given, illumination = torch.rand(1, 3, 6, 5) * 0.3, torch.rand(1, 3, 6, 5)
    assert float(smoothness(given, illumination)) == pytest.approx(loop(given[0], illumination[0]), rel=2e-3)


def test_an_even_illumination_is_smooth_and_an_edge_of_the_picture_excuses_one_of_the_light():
    dark, edge = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1
    assert float(smoothness(edge, torch.full_like(edge, 0.4))) == 0
    assert float(smoothness(edge, edge)) < 1e-6 < 0.1 < float(smoothness(dark, edge))


def test_fidelity_and_the_total_over_stages():
    stages = [(torch.rand(2, 3, 6, 5), torch.rand(2, 3, 6, 5)) for _ in range(3)]
    expected = 0.0
    for given, light in stages:
        squares = [(a - b) ** 2 for a, b in zip(light.flatten().tolist(), given.flatten().tolist(), strict=True)]
        assert float(fidelity(given, light)) == pytest.approx(sum(squares) / len(squares), rel=1e-5)
        expected += 1.5 * sum(squares) / len(squares) + float(smoothness(given, light))
    assert float(sci(stages)) == pytest.approx(expected, rel=1e-5)


def test_implied_illumination_turns_the_enhancement_back():
    degraded = torch.rand(1, 3, 4, 4) * 0.2 + 0.05
    light = torch.rand(1, 3, 4, 4) * 0.7 + 0.3
    torch.testing.assert_close(implied_illumination(degraded / light, degraded), light)
    black = torch.zeros(1, 3, 4, 4)
    assert implied_illumination(black, black).isfinite().all()
