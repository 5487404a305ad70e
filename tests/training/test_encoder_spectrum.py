"""The tower before training: a spectrum of its patches."""

import pytest
import torch

from pellucid.priors.degradation_encoder import ImageTower, TowerSettings, join_features
from pellucid.training.encoder.spectrum import SpectrumSettings, frequency_filters, start_as_spectrum


def test_the_first_filters_are_waves():
    filters = frequency_filters(8, 24, 25.0)
    assert filters.shape == (24, 3, 8, 8)
    flat = filters.flatten(1)
    gram = flat @ flat.T
    torch.testing.assert_close(gram - gram.diag().diag(), torch.zeros(24, 24), atol=1e-5, rtol=0)
    assert float(filters[0].std()) < 1e-6  # the mean
    assert filters[20:].sum(1).abs().max() < 1e-5  # colour differences see no grey
    frequencies = (gram.diag()[:20].sqrt() * 25).sqrt() - 1
    assert float(frequencies[0]) == pytest.approx(0, abs=1e-4)
    assert float(frequencies.max()) > 8


def test_a_new_tower_tells_noise_by_the_mean_of_its_tokens():
    shape = TowerSettings()
    tower = ImageTower(shape)
    start_as_spectrum(tower, shape, SpectrumSettings())
    smooth = torch.linspace(-1, 1, 128).expand(6, 3, 128, 128)
    noise = torch.randn(6, 3, 128, 128) * torch.tensor([0.05, 0.1, 0.2]).repeat(2).view(6, 1, 1, 1)
    with torch.no_grad():
        features = join_features(*tower(smooth + noise)[1:])[:, 2 * 96 :]
    energy = features[:, 24:80].mean(1).view(2, 3)  # the brightness at all but its lowest frequencies
    assert (energy.diff(dim=1) > 5 * energy.std(0).max()).all()
