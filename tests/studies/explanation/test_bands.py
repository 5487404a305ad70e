"""Energies by frequency, against a Fourier transform written out as sums."""

import numpy as np
import pytest
import torch

from pellucid.studies.explanation.bands import BANDS, band_energies


def luma_error(restored, clean):
    weights = np.array([65.481, 128.553, 24.966]) / 219
    return np.tensordot(weights, (restored.clamp(0, 1) - clean)[0].double().numpy(), 1)


def windowed(error):
    rows, columns = (np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2 for side in error.shape)
    return np.outer(rows, columns)


def energies_written_out(error):
    """By band, with the transform as two matrices of sines and cosines."""
    height, width = error.shape
    window = windowed(error)
    frequencies = [np.array([(k if 2 * k < side else k - side) / side for k in range(side)]) for side in error.shape]
    matrices = [np.exp(-2j * np.pi * np.outer(axis, np.arange(len(axis)))) for axis in frequencies]
    spectrum = matrices[0] @ (error * window) @ matrices[1].T
    found = np.zeros(len(BANDS))
    for row in range(height):
        for column in range(width):
            radius = np.hypot(frequencies[0][row], frequencies[1][column])
            index = next(index for index, band in enumerate(BANDS) if band.low <= radius < band.high)
            found[index] += abs(spectrum[row, column]) ** 2
    return found / (height * width) / (window**2).sum()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (37, 53), (40, 16)])
def test_energies_are_those_of_a_transform_written_out(size):
    restored, clean = torch.randn(1, 3, *size) * 0.4 + 0.5, torch.rand(1, 3, *size)
    np.testing.assert_allclose(
        band_energies(restored, clean), energies_written_out(luma_error(restored, clean)), rtol=1e-6, atol=1e-12
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 64), (37, 53)])
def test_the_bands_sum_to_the_windowed_mean_squared_error(size):
    restored, clean = torch.rand(1, 3, *size), torch.rand(1, 3, *size)
    error = luma_error(restored, clean)
    window = windowed(error)
    assert sum(band_energies(restored, clean)) == pytest.approx(
        ((error * window) ** 2).sum() / (window**2).sum(), rel=1e-9
    )


@pytest.mark.parametrize(("period", "band"), [(2, 0), (3, 0), (6, 1), (12, 2), (24, 3), (96, 4)])
def test_a_wave_is_in_the_band_of_its_period(period, band):
    wave = 0.1 * torch.sin(2 * torch.pi * (torch.arange(192) + 0.5) / period)
    for error in (wave.expand(1, 3, 192, 192), wave[:, None].expand(1, 3, 192, 192)):
        energies = band_energies(0.5 + error, torch.full((1, 3, 192, 192), 0.5))
        assert energies[band] > 0.99 * sum(energies)


def test_the_octaves_meet_and_hold_all_frequencies():
    assert [band.high for band in BANDS[1:]] == [band.low for band in BANDS[:-1]]
    assert all(band.high == 2 * band.low for band in BANDS[1:-1])
    assert BANDS[-1].low == 0
    assert BANDS[0].high > 0.5 * 2**0.5


def test_what_is_alike_has_no_energy():
    clean = torch.rand(1, 3, 9, 9)
    assert band_energies(clean, clean) == (0,) * len(BANDS)
