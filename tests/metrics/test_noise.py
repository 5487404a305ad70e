"""The noise of each protocol against the few lines of NumPy that made the tables, bit for bit."""

import numpy as np
import pytest
import torch
from skimage import data

from pellucid.errors import SettingsError
from pellucid.metrics import PROTOCOLS, NoiseStream


def tensor(image):
    return torch.from_numpy(image).permute(2, 0, 1)[None]


@pytest.fixture
def photographs():
    """Two photographs of different sizes, uint8 (H, W, 3), sides divisible by 16."""
    return [data.astronaut()[:48, 100:164], data.coffee()[100:132, 200:280]]


@pytest.fixture
def global_state():
    """Gives NumPy's global generator back as it was."""
    state = np.random.get_state()
    yield
    np.random.set_state(state)


@pytest.mark.usefixtures("global_state")
def test_float_noise_starts_anew_for_each_picture(photographs):
    stream = NoiseStream(PROTOCOLS["gaussian-colour"])
    for photograph in (*photographs, photographs[0]):
        expected = np.float32(photograph / 255.0)
        clean = tensor(expected.copy())
        np.random.seed(seed=0)
        expected += np.random.normal(0, 25 / 255.0, expected.shape)
        degraded = stream.degrade(clean, 25)
        assert degraded.dtype == torch.float32
        assert torch.equal(degraded, tensor(expected))
        assert degraded.max() > 1


@pytest.mark.usefixtures("global_state")
def test_8_bit_noise_goes_on_through_the_run(photographs):
    np.random.seed(0)
    stream = NoiseStream(PROTOCOLS["all-in-one"])
    for sigma in (15, 50):
        for photograph in photographs:
            noise = np.random.randn(*photograph.shape)
            expected = np.clip(photograph + noise * sigma, 0, 255).astype(np.uint8)
            degraded = stream.degrade(tensor(np.float32(photograph) / 255), sigma)
            assert torch.equal(degraded, tensor(expected).float() / 255)


@pytest.mark.usefixtures("global_state")
def test_grey_noise_is_one_plane(photographs):
    grey = np.float32(photographs[0][..., :1]) / 255
    np.random.seed(3)
    expected = grey + np.random.normal(0, 15 / 255, grey.shape)
    one = NoiseStream(PROTOCOLS["gaussian-grey"], seed=3).degrade(tensor(grey), 15)
    three = NoiseStream(PROTOCOLS["gaussian-grey"], seed=3).degrade(tensor(grey).expand(1, 3, -1, -1), 15)
    assert torch.equal(one, tensor(np.float32(expected)))
    assert torch.equal(three, one.expand(1, 3, -1, -1))


def test_a_batch_is_its_pictures_in_order(photographs):
    batch = torch.cat([tensor(np.float32(photograph[:32, :32]) / 255) for photograph in photographs])
    for name in ("gaussian-colour", "all-in-one"):
        together = NoiseStream(PROTOCOLS[name], seed=1).degrade(batch, 30)
        stream = NoiseStream(PROTOCOLS[name], seed=1)
        assert torch.equal(together, torch.cat([stream.degrade(picture[None], 30) for picture in batch]))
    assert not torch.equal(together, NoiseStream(PROTOCOLS[name], seed=2).degrade(batch, 30))


def test_the_global_generator_is_left_alone(photographs):
    before = np.random.get_state()[1].copy()
    NoiseStream(PROTOCOLS["all-in-one"]).degrade(tensor(np.float32(photographs[0]) / 255), 15)
    NoiseStream(PROTOCOLS["gaussian-colour"]).degrade(tensor(np.float32(photographs[0]) / 255), 15)
    assert np.array_equal(before, np.random.get_state()[1])


def test_no_noise_where_pairs_are_given():
    with pytest.raises(SettingsError, match="derain-y draws no noise"):
        NoiseStream(PROTOCOLS["derain-y"])


def test_wrong_calls():
    stream = NoiseStream(PROTOCOLS["all-in-one"])
    with pytest.raises(ValueError, match=r"Protocol\.crop"):
        stream.degrade(torch.zeros(1, 3, 37, 53), 15)
    with pytest.raises(ValueError, match="B, 3, H, W"):
        stream.degrade(torch.zeros(1, 1, 16, 16), 15)
    with pytest.raises(ValueError, match="negative"):
        stream.degrade(torch.zeros(1, 3, 16, 16), -1)
    cropped = stream.protocol.crop(torch.zeros(1, 3, 37, 53))
    assert stream.degrade(cropped, 15).shape == (1, 3, 32, 48)
