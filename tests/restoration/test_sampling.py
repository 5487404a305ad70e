"""A network that samples, and one that is told words: two files of somebody else's, and everything else knows them."""

import traceback

import numpy as np
import pytest
import torch
from torch import nn

import pellucid
from pellucid import images
from pellucid.batch.plan import plan
from pellucid.batch.restore import restore_files
from pellucid.guidance import NOTHING, Guidance
from pellucid.models.load import load_model
from pellucid.models.save import save_model
from pellucid.models.tables import NETWORKS
from pellucid.networks import Contract, Network, SamplingNetwork
from pellucid.priors import RandomVectors
from pellucid.refinement import PTGRM, Boosted
from pellucid.restoration.restorer import Restorer
from pellucid.restoration.sampling import sample_in_tiles, sampled_states
from pellucid.restoration.tiles import Tiles


class Walk(SamplingNetwork):
    """From noise to the degraded picture's local mean in equal steps; the state has one place for four pixels."""

    stride = 2

    def __init__(self, steps=4):
        super().__init__()
        self.contract = Contract(multiple=4, samples=True)
        self.settings = {"steps": steps}
        self.steps = steps
        self.gain = nn.Parameter(torch.ones(1))
        self.grids = []

    def times(self):
        return range(self.steps, 0, -1)

    def start(self, degraded, guidance):
        generator = torch.Generator().manual_seed(guidance.seed or 0)
        batch, channels, height, width = degraded.shape
        return torch.randn(batch, channels, height // 2, width // 2, generator=generator)

    def predict(self, state, degraded, time, guidance):
        self.grids.append(guidance.grid)
        return (nn.functional.avg_pool2d(degraded, 2) * self.gain - state) / time

    def advance(self, state, prediction, time):
        return state + prediction

    def decode(self, state, degraded, guidance):
        return nn.functional.interpolate(state, scale_factor=2.0)


class Worded(Network):
    """Brightens or darkens as it is told; counts how often it reads the words."""

    def __init__(self):
        super().__init__()
        self.contract = Contract(words=True, looks=True)
        self.settings = {}
        self.amount = nn.Parameter(torch.tensor(0.1))
        self.read = 0

    def look(self, image, known=NOTHING, *, cut=True):
        self.read += 1
        signs = [1.0 if text == "brighter" else -1.0 for text in known.words or ()]
        return known.knowing(own={"sign": torch.tensor(signs or [0.0], device=image.device)})

    def restore(self, tile, guidance):
        sign = guidance.own.get("sign", torch.zeros(1))
        return tile + self.amount * sign[:, None, None, None]


@pytest.fixture(autouse=True)
def _in_the_table(monkeypatch):
    monkeypatch.setitem(NETWORKS, "walk", Walk)
    monkeypatch.setitem(NETWORKS, "worded", Worded)


def expected(image):
    """What the walk ends at, whatever the noise: the mean of each 2 x 2 pixels."""
    return nn.functional.interpolate(nn.functional.avg_pool2d(image, 2), scale_factor=2.0)


@pytest.mark.parametrize("side", [64, 96, 1000])
def test_tiles_meet_in_every_step(side):
    """The blended steps are those of the whole picture, since what is predicted of a place depends on it alone."""
    image, network = torch.rand(1, 3, 148, 200), Walk()
    whole = list(sampled_states(network, image, Guidance(seed=3), Tiles(1000, 0, 4)))
    tiled = list(sampled_states(network, image, Guidance(seed=3), Tiles(side, 16, 4)))
    assert len(tiled) == network.steps
    for one, other in zip(whole, tiled, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        sample_in_tiles(network, image, Guidance(seed=3), Tiles(side, 16, 4)), expected(image), atol=1e-5, rtol=0
    )


def test_one_field_of_noise_for_the_whole_picture():
    image, network = torch.rand(1, 3, 148, 200), Walk(steps=5)
    first = next(sampled_states(network, image, Guidance(seed=1), Tiles(64, 16, 4)))
    noise = torch.randn(1, 3, 74, 100, generator=torch.Generator().manual_seed(1))
    mean = nn.functional.avg_pool2d(image, 2)
    torch.testing.assert_close(first, noise + (mean - noise) / 5, atol=1e-5, rtol=0)
    other = next(sampled_states(network, image, Guidance(seed=2), Tiles(64, 16, 4)))
    assert not torch.allclose(first, other)


def test_each_tile_is_told_where_it_lies():
    network = Walk(steps=1)
    list(sampled_states(network, torch.rand(1, 3, 148, 200), NOTHING, Tiles(64, 16, 4)))
    grids = torch.cat(network.grids)
    assert grids.min() == 0
    assert grids.max() == 1
    assert ((grids[:, 2:] - grids[:, :2]) < 0.6).all()


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (70, 130)])
def test_pictures_of_any_size_are_sampled(size):
    image = torch.rand(1, 3, *size)
    for options in ({"tile": 0}, {"tile": 64}):
        restored = Restorer(Walk(), precision="float32", **options).restore_image(image, known=Guidance(seed=1))
        assert restored.shape == image.shape
    assert Walk()(torch.rand(1, 3, 8, 12)).shape == (1, 3, 8, 12)  # all steps on one tile


def test_a_sampling_network_is_stored_loaded_boosted_and_restores_files(tmp_path):
    save_model(Walk(steps=3), tmp_path / "walk.safetensors")
    restorer = pellucid.load(tmp_path / "walk.safetensors", tile=64)
    array = (np.random.default_rng(0).random((90, 150, 3)) * 255).astype(np.uint8)
    restored = restorer(array, known=Guidance(seed=5))
    assert restored.shape == array.shape
    boosted = Boosted(Walk(), RandomVectors(8), PTGRM(8, width=4, blocks=1)).eval()
    picture = torch.rand(1, 3, 90, 150)
    torch.testing.assert_close(
        Restorer(boosted, tile=64, precision="float32").restore_image(picture, known=Guidance(seed=5)),
        Restorer(Walk().eval(), tile=64, precision="float32").restore_image(picture, known=Guidance(seed=5)),
        atol=1e-5,
        rtol=0,
    )


def test_words_are_read_once_and_every_tile_knows_them(tmp_path):
    save_model(Worded(), tmp_path / "worded.safetensors")
    network = load_model(tmp_path / "worded.safetensors").module
    image = torch.full((1, 3, 200, 180), 0.5)
    for words, value in (("brighter", 0.6), ("darker", 0.4)):
        restored = Restorer(network, tile=64, precision="float32").restore_image(image, known=Guidance(words=(words,)))
        torch.testing.assert_close(restored, torch.full_like(image, value))
    assert network.read == 2
    untold = Restorer(network, tile=64, precision="float32").restore_image(image)
    torch.testing.assert_close(untold, image)


def test_words_reach_a_network_behind_a_boost():
    boosted = Boosted(Worded(), RandomVectors(8), PTGRM(8, width=4, blocks=1)).eval()
    image = torch.full((1, 3, 100, 80), 0.5)
    restored = Restorer(boosted, tile=64, precision="float32").restore_image(image, known=Guidance(words=("brighter",)))
    torch.testing.assert_close(restored, torch.full_like(image, 0.6), atol=1e-5, rtol=0)


class Deep(Network):
    """Notes how many frames of pellucid's own code stand above it."""

    def __init__(self):
        super().__init__()
        self.contract, self.settings = Contract(), {}
        self.frames = []

    def restore(self, tile, guidance):
        own = [frame.name for frame in traceback.extract_stack() if "/pellucid/" in frame.filename]
        self.frames.append(own[:-1] if own[-1] == "forward" else own)  # the network's own
        return tile


def test_the_way_from_a_file_to_its_network_is_short(tmp_path):
    """Below the verb itself: batch, restorer, tiles, the boosted model."""
    images.write(images.Photograph(torch.rand(1, 3, 70, 130)), tmp_path / "a.png")
    boosted = Boosted(Deep(), RandomVectors(8), PTGRM(8, width=4, blocks=1)).eval()
    restorer = Restorer(boosted, tile=64)
    results = list(restore_files(restorer, plan([tmp_path / "a.png"], tmp_path / "b.png"), overwrite=True))
    assert results[0].status == "restored"
    for frames in boosted.network.frames:
        assert len(frames) <= 5, frames  # the verb of the command line is the sixth
