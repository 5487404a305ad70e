"""Zero-DCE's losses against loops over regions and pixels, written from the equations of its section 3.3."""

import pytest
import torch

from pellucid.losses.zero_dce import colour_constancy, curve_smoothness, exposure, spatial_consistency, zero_dce


@pytest.fixture
def images():
    return torch.rand(2, 3, 32, 20), torch.rand(2, 3, 32, 20) * 0.3


def region_means(image, side):
    """The mean over colours and pixels of each whole region, by (row, column)."""
    _, height, width = image.shape
    return {
        (row, column): float(image[:, row * side : (row + 1) * side, column * side : (column + 1) * side].mean())
        for row in range(height // side)
        for column in range(width // side)
    }


def test_spatial_consistency(images):
    expected = []
    for enhanced, degraded in zip(*images, strict=True):
        after, before = region_means(enhanced, 4), region_means(degraded, 4)
        total = 0.0
        for row, column in after:
            for neighbour in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if neighbour in after:
                    now = abs(after[row, column] - after[neighbour])
                    then = abs(before[row, column] - before[neighbour])
                    total += (now - then) ** 2
        expected.append(total / len(after))
    assert float(spatial_consistency(*images)) == pytest.approx(sum(expected) / 2, rel=1e-4)


def test_contrast_that_stays_costs_nothing(images):
    assert float(spatial_consistency(images[0] * 0 + 0.3, images[0] * 0 + 0.1)) == pytest.approx(0, abs=1e-12)
    assert float(spatial_consistency(images[0] + 0.2, images[0])) == pytest.approx(0, abs=1e-10)


def test_exposure(images):
    means = [mean for image in images[0] for mean in region_means(image, 16).values()]
    assert float(exposure(images[0])) == pytest.approx(sum(abs(mean - 0.6) for mean in means) / len(means), rel=1e-5)
    assert float(exposure(torch.full((1, 3, 16, 16), 0.6))) == pytest.approx(0, abs=1e-6)


def test_colour_constancy(images):
    expected = []
    for image in images[0]:
        means = [float(channel.mean()) for channel in image]
        expected.append(sum((means[p] - means[q]) ** 2 for p, q in ((0, 1), (0, 2), (1, 2))))
    assert float(colour_constancy(images[0])) == pytest.approx(sum(expected) / 2, rel=1e-4)


def test_curve_smoothness():
    curves = torch.rand(2, 6, 5, 4) * 2 - 1  # two maps of three colours
    total = 0.0
    for image in curves:
        for value in image:
            for row in range(4):
                for column in range(3):
                    across = abs(float(value[row, column + 1] - value[row, column]))
                    down = abs(float(value[row + 1, column] - value[row, column]))
                    total += (across + down) ** 2
    pixels, maps, batch = 4 * 3, 2, 2
    assert float(curve_smoothness(curves)) == pytest.approx(total / (pixels * maps * batch), rel=1e-5)


def test_the_total_has_the_paper_s_weights(images):
    enhanced, degraded = images
    curves = torch.rand(2, 24, 32, 20)
    expected = (
        spatial_consistency(enhanced, degraded)
        + exposure(enhanced)
        + 0.5 * colour_constancy(enhanced)
        + 20 * curve_smoothness(curves)
    )
    assert float(zero_dce(enhanced, degraded, curves)) == pytest.approx(float(expected), rel=1e-6)
