"""MAXIM: its published size, a naive derivation by its authors' paths, and how it cuts and resizes."""

import itertools

import numpy as np
import pytest
import torch
from naive_maxim import Naive, drawn, shapes

from pellucid.models.published import recognise
from pellucid.models.tables import build_network
from pellucid.networks import MAXIM
from pellucid.networks.maxim import _every, _resized
from pellucid.networks.maxim_blocks import PlaceMixer
from pellucid.restoration.memory import bytes_per_pixel
from pellucid.restoration.restorer import Restorer

PUBLISHED = {"width": 32, "blocks": 2, "bottlenecks": 2, "fine": 16, "coarse": 8}
UNUSED = 2 * 3 + 9 * 3 * (64 + 128)
"""Numbers of the last stage's outputs at half and quarter size, which nothing reads."""


@pytest.mark.parametrize(("stages", "numbers"), [(2, 14_170_988), (3, 22_212_795 - UNUSED)])
def test_it_has_the_published_size(stages, numbers):
    """S-2 has 14.1 million in the paper; S-3 22.2 million, 22,212,795 by its authors' tree."""
    with torch.device("meta"):
        network = MAXIM(stages)
    assert sum(value.numel() for value in network.parameters()) == numbers
    assert sum(int(np.prod(shape)) for shape in shapes(stages, **PUBLISHED).values()) == numbers
    assert network.contract.multiple == 64


@pytest.mark.parametrize(("stages", "blocks"), [(1, 1), (2, 1), (3, 2)])
def test_authors_weights_give_the_papers_formulas(stages, blocks):
    small = {"stages": stages, "blocks": blocks, "bottlenecks": 2, "fine": 4, "coarse": 2}
    weights = {key: value.double() for key, value in drawn(shapes(**small)).items()}
    name, settings, ours = recognise(weights)
    network = build_network(name, settings).double().eval()
    network.load_state_dict(ours)
    assert type(network) is MAXIM
    image = torch.rand(2, 3, 16, 32, dtype=torch.float64)
    with torch.no_grad():
        restored = network(image)
        naive = torch.cat([Naive(weights, **small)(one[None]) for one in image])
    assert (naive - image).abs().mean() > 0.1
    torch.testing.assert_close(restored, naive, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("axis", ["block", "grid"])
def test_places_mix_within_blocks_and_across_the_grid(axis):
    side, (rows, columns) = 2, (6, 8)
    mixer = PlaceMixer(side, axis)
    torch.nn.init.normal_(mixer.bias)
    features = torch.randn(1, rows, columns, 3)
    expected = torch.empty_like(features)
    for row, column in itertools.product(range(rows), range(columns)):
        if axis == "block":  # the pixels of the 2 x 2 block that the place is in
            top, left = row // side * side, column // side * side
            others = [(top + y, left + x) for y in range(side) for x in range(side)]
            own = row % side * side + column % side
        else:  # the places that lie as it does in each of the 2 x 2 cells
            high, wide = rows // side, columns // side
            others = [(row % high + y * high, column % wide + x * wide) for y in range(side) for x in range(side)]
            own = row // high * side + column // wide
        weighted = [w * features[0, y, x] for w, (y, x) in zip(mixer.weight[own], others, strict=True)]
        expected[0, row, column] = sum(weighted) + mixer.bias[own]
    torch.testing.assert_close(mixer(features), expected)


def test_images_shrink_as_the_authors_framework_shrinks_them():
    """Nearest takes the later of the two pixels in the middle; bilinear is smoothed by a triangle twice as wide, whose
    weights add up to one at the borders, too."""
    row = torch.arange(8.0)[None, :, None, None].expand(1, 8, 8, 1)
    assert _every(row, 2)[0, :, 0, 0].tolist() == [1, 3, 5, 7]
    assert _every(row, 4)[0, :, 0, 0].tolist() == [2, 6]
    impulse = torch.eye(8)[:, None, :, None].expand(8, 1, 8, 8)
    halved = _resized(impulse, 0.5)[:, 0, :, 0]
    torch.testing.assert_close(halved[:, 1], torch.tensor([0, 0.125, 0.375, 0.375, 0.125, 0, 0, 0]))
    torch.testing.assert_close(halved[:3, 0], torch.tensor([3, 3, 1]) / 7)
    assert _resized(impulse.bfloat16(), 0.5).dtype == torch.bfloat16


def test_a_later_stage_hears_of_the_one_before():
    network = MAXIM.tiny().eval()
    image = torch.rand(1, 3, 8, 8)
    for name, value in network.named_parameters():
        if name.startswith("stages.0") or name == "tail.weight":
            torch.nn.init.normal_(value, std=0.3)
    with torch.no_grad():
        before = network(image)
        network.stages[0].decoders[0].body.reduce.bias += 1
        assert (network(image) - before).abs().max() > 1e-3


def test_any_size_in_tiles_and_at_bfloat16():
    network = MAXIM.tiny()
    picture, large = torch.rand(1, 3, 37, 53), torch.rand(1, 3, 70, 100)
    whole = Restorer(network, tile=0, precision="float32")(picture)
    assert whole.shape == picture.shape
    assert Restorer(network, tile=64, precision="float32")(large).shape == large.shape
    assert Restorer(network, precision="float32")(torch.rand(1, 3, 1, 1)).shape == (1, 3, 1, 1)
    half = Restorer(network, tile=0, precision="bfloat16")(picture)
    assert (half - whole).abs().mean() < 0.01


def test_the_memory_of_a_network_of_large_multiples_is_seen_on_a_small_run(monkeypatch):
    sides = []
    network = MAXIM(stages=1, width=4, blocks=1, bottlenecks=1)
    restore = network.restore
    monkeypatch.setattr(network, "restore", lambda tile, told: sides.append(tile.shape[-1]) or restore(tile, told))
    assert bytes_per_pixel(network, torch.device("cpu")) > 4 * 4
    assert sides == [64]


def test_settings_that_cannot_be_are_refused():
    for settings in ({"width": 30}, {"stages": 0}, {"fine_side": 0}):
        with pytest.raises(ValueError, match="1 or more"):
            MAXIM(**settings)
