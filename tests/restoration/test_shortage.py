"""Memory that runs out: smaller tiles, what was done stays, the CPU last, and one line where nothing helps."""

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.errors import ModelError
from pellucid.guidance import NOTHING
from pellucid.restoration.restorer import Restorer
from pellucid.restoration.shortage import Working, is_shortage
from pellucid.restoration.tiles import Tiles, over_tiles

ERRORS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ),
    RuntimeError("MPS backend out of memory"),
]


class Hungry(nn.Module):
    """A local filter that takes at most so many pixels at once; remembers what it was given."""

    def __init__(self, most, error):
        super().__init__()
        self.most, self.error, self.seen, self.grids = most, error, [], []

    def forward(self, image):
        self.seen.append(max(image.shape[2:]))
        if self.seen[-1] > self.most:
            raise self.error
        return nn.functional.avg_pool2d(nn.functional.pad(image, (2, 2, 2, 2), mode="replicate"), 5, 1)


@pytest.fixture
def image():
    return torch.rand(1, 3, 200, 333, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_tiles_become_smaller_until_they_fit_and_stay_so(image, error):
    network, enough = Hungry(110, error), Hungry(10**6, error)
    with pytest.warns(UserWarning, match=r"memory ran out for tiles of \d+ pixels; going on with \d+"):
        restored = Restorer(network, tile=256, precision="float32").restore_image(image)
    assert torch.allclose(restored, Restorer(enough, tile=0, precision="float32").restore_image(image), atol=1e-6)
    assert sum(side > 110 for side in network.seen) <= 2  # of those too large no more than one of each size is tried


def test_other_errors_are_not_taken_for_a_shortage(image):
    with pytest.raises(RuntimeError, match="size mismatch"):
        Restorer(Hungry(100, RuntimeError("size mismatch")), tile=128).restore_image(image)


def test_where_even_the_smallest_tile_does_not_fit_that_is_one_line(image):
    with (
        pytest.warns(UserWarning, match="going on"),
        pytest.raises(ModelError, match="memory ran out even for tiles of 6"),
    ):
        Restorer(Hungry(10, MemoryError()), tile=128).restore_image(image)


def test_the_cpu_comes_last(image):
    network = Hungry(10, MemoryError())

    def last():
        network.most = 10**6
        return torch.device("cpu")

    working = Working(torch.device("cpu"), 1, last)
    with pytest.warns(UserWarning, match="going on"):
        restored = over_tiles(lambda tile, _: network(tile), image, NOTHING, Tiles.of_side(128, 1), working=working)
    assert torch.allclose(restored, Hungry(10**6, MemoryError())(image), atol=1e-6)


def test_a_tile_that_is_cut_knows_where_it_lies(image):
    """Each part is told its place in the whole picture, not in the tile that was too large."""

    def place(tile, guidance):
        if max(tile.shape[2:]) > 70:
            raise MemoryError
        top, left, bottom, right = guidance.grid[0]
        rows = torch.lerp(top, bottom, (torch.arange(tile.shape[2]) + 0.5) / tile.shape[2])
        columns = torch.lerp(left, right, (torch.arange(tile.shape[3]) + 0.5) / tile.shape[3])
        return torch.stack([rows[:, None].expand(tile.shape[2:]), columns.expand(tile.shape[2:])] * 2)[:3][None]

    with pytest.warns(UserWarning, match="going on"):
        found = over_tiles(place, image, NOTHING, Tiles.of_side(192, 1))
    rows, columns = (torch.arange(200) + 0.5) / 200, (torch.arange(333) + 0.5) / 333
    assert torch.allclose(found[0, 0], rows[:, None].expand(200, 333), atol=1e-5)
    assert torch.allclose(found[0, 1], columns.expand(200, 333), atol=1e-5)


def test_what_torch_and_numpy_really_say_is_known():
    for allocate in (lambda: torch.empty(1 << 52), lambda: np.empty(1 << 52)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            allocate()
        assert is_shortage(caught.value)
