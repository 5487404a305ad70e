"""Traces: against white noise, waves of known frequency, images that were really resized, and scipy's moments."""

import math

import numpy as np
import pytest
import skimage.data
import torch
from scipy import ndimage, stats
from torch.nn import functional as F

from pellucid.diagnosis.traces import DIRECTIONS, PERIODS, RADII, SCALES, TRACES, box, traces


def parts(image):
    """Three spectra (rings, directions), two kinds of periods with their medians, and moments (scales, 4)."""
    sizes = [RADII * DIRECTIONS] * 3 + [PERIODS, 1] * 2 + [4 * len(SCALES)]
    found = torch.split(traces(image)[0], sizes)
    spectra = [one.reshape(RADII, DIRECTIONS) for one in found[:3]]
    return spectra, (found[3], found[5]), found[7].reshape(len(SCALES), 4)


def grey(pixels):
    return torch.as_tensor(np.asarray(pixels), dtype=torch.float32)[None, None].expand(-1, 3, -1, -1)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 3), (37, 53), (64, 64), (3, 900), (700, 500)])
def test_every_size_has_traces(size):
    for image in (torch.rand(1, 3, *size), torch.zeros(1, 3, *size), torch.ones(1, 3, *size)):
        found = traces(image)
        assert found.shape == (1, TRACES)
        assert found.isfinite().all()


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 3, 64, 64), (1, 1, 64, 64)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="expected one image"):
        traces(torch.rand(shape))


def test_white_noise_has_its_variance_at_every_frequency():
    generator = np.random.default_rng(0)
    (spectrum, _, _), _, _ = parts(grey(0.5 + 0.05 * generator.standard_normal((512, 512))))
    rings = spectrum[1:15]  # whole rings; the lowest loses to the mean that is taken away
    assert (rings - math.log10(0.05**2)).abs().max() < 0.08


@pytest.mark.parametrize(("cycles", "direction"), [((0, 6), 0), ((6, 6), 1), ((9, 0), 2), ((-5, 5), 3)])
def test_a_wave_is_found_where_it_is(cycles, direction):
    rows, columns = np.mgrid[:256, :256] / 32
    wave = 0.5 + 0.2 * np.sin(2 * np.pi * (cycles[0] * rows + cycles[1] * columns))
    (spectrum, _, _), _, _ = parts(grey(wave))
    # Beyond 16 cycles lie corners only, and the other directions there are empty: 0, in logs that are negative.
    ring, found = divmod(int(spectrum[:16].argmax()), DIRECTIONS)
    assert abs(ring + 1 - math.hypot(*cycles)) < 1.5  # the window spreads it over its neighbours
    assert found == direction


@pytest.mark.parametrize("factor", [3, 4])
def test_resizing_shows_by_its_factor(factor):
    """Of a photograph enlarged by 3, every third second difference is small: a wave of 1/3 in a pixel, along both axes.

    By 2 it does not: all new pixels lie alike between the old ones.
    """
    photograph = grey(skimage.data.camera() / 255)
    small = photograph[:, :, :160, :160]
    enlarged = F.interpolate(small, scale_factor=factor, mode="bilinear")
    bins = [int((1 / factor - 0.1) / 0.4 * PERIODS - 1e-6) + near for near in (-1, 0, 1)]
    for before, after in zip(parts(small)[1], parts(enlarged)[1], strict=True):
        assert int(after.argmax()) in bins
        assert max(after[one] for one in bins if one < PERIODS) > before.max() + 0.3


def test_the_moments_are_those_of_scipy():
    image = skimage.data.camera()[:200, :240] / 255
    _, _, moments = parts(grey(image))
    for row, scale in zip(moments, SCALES, strict=True):
        inner = slice(8, -8)
        bands = [ndimage.uniform_filter(image, side)[inner, inner] for side in (scale | 1, 3 * scale | 1)]
        band = (bands[0] - bands[1]).ravel()
        assert abs(float(row[0]) - math.log10(band.std())) < 0.02
        assert abs(float(row[1]) - stats.skew(band)) < 0.3
        assert abs(float(row[2]) - math.log10(stats.kurtosis(band, fisher=False) + 1)) < 0.05


def test_bright_drops_skew_the_bands():
    image = skimage.data.camera() / 255 * 0.7
    dropped = image.copy()
    dropped[::23, ::19] = 1
    assert parts(grey(dropped))[2][0, 1] > parts(grey(image))[2][0, 1] + 5
    assert (parts(grey(dropped))[2][:2, 3] > parts(grey(image))[2][:2, 3]).all()


@pytest.mark.parametrize("shape", [(40, 51), (5, 7), (1, 1), (3, 90)])
@pytest.mark.parametrize("side", [1, 3, 5, 7, 13])
def test_boxes_are_means_of_the_places_that_there_are(shape, side):
    """Against SciPy, which divides by all places of a box, and so also tells how many of them there are."""
    plane = torch.rand(*shape)
    sums, counts = (
        ndimage.uniform_filter(one, side, mode="constant") for one in (plane.double().numpy(), np.ones(shape))
    )
    np.testing.assert_allclose(box(plane[None, None], side)[0, 0].numpy(), sums / counts, atol=1e-6)


@pytest.mark.parametrize("side", [1, 3, 5, 7, 9, 13, 17])
@pytest.mark.parametrize("shape", [(1, 1), (2, 30), (40, 23)])
def test_means_over_boxes_are_those_of_torch(shape, side):
    plane = torch.rand(1, 1, *shape)
    expected = F.avg_pool2d(plane.double(), side, 1, side // 2, count_include_pad=False).float()
    torch.testing.assert_close(box(plane, side), expected, atol=1e-6, rtol=0)
