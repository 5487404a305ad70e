"""How large a tile is: bounded by the memory, and on a CPU by its caches."""

import math

import pytest
import torch

from pellucid.networks import UNet
from pellucid.restoration import memory
from pellucid.restoration.memory import CACHED_MAP, bytes_per_pixel, tiles_within
from pellucid.restoration.tiles import Layout, Tiles

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("width", [16, 24, 32])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_largest_map_of_a_tile_is_cached(width, bfloat16):
    network = UNet((width, 2 * width), (1, 1))
    per_pixel = bytes_per_pixel(network, CPU)
    assert per_pixel == 4 * width
    side = tiles_within(1 << 40, per_pixel, 8, CPU, bfloat16=bfloat16).side
    largest = side**2 * width * (2 if bfloat16 else 4)
    assert 0.9 * CACHED_MAP < largest <= CACHED_MAP
    assert tiles_within(1 << 40, per_pixel, 8, GPU).side == 4096


@pytest.mark.parametrize("bfloat16", [False, True])
def test_memory_bounds_a_tile_in_float32(bfloat16):
    tiles = tiles_within(64 << 20, 128, 8, CPU, bfloat16=bfloat16)
    assert 0.9 * (64 << 20) < 6 * 128 * tiles.side**2 <= 64 << 20


def test_a_tile_of_large_maps_is_not_mostly_overlap():
    assert tiles_within(1 << 40, 4096, 8, CPU).side == 384


@pytest.mark.parametrize("side", [128, 192, 256, 448, 640, 768])
@pytest.mark.parametrize("shape", [(1728, 2304), (866, 1155), (3000, 4000), (449, 641)])
@pytest.mark.parametrize("multiple", [1, 8])
def test_little_is_computed_beyond_what_the_overlap_asks_for(side, shape, multiple):
    """Per side n tiles hold n - 1 overlaps, and a multiple for each at most."""
    tiles = Tiles(side, 32, multiple)
    places = Layout(*shape, tiles).places
    least = 1.0
    for length in shape:
        count = math.ceil((length - 32) / (side - 32)) if length > side else 1
        least *= length + (count - 1) * 32 + count * (multiple - 1)
    area = sum((place.bottom - place.top) * (place.right - place.left) for place in places)
    assert area <= least
    assert all(place.bottom - place.top <= side for place in places)


def test_an_engine_gets_larger_tiles_but_a_quarter_of_the_memory():
    """Its maps stay within a quarter of the memory, since it keeps as much again for itself, and more."""
    cpu = torch.device("cpu")
    plenty, little = (
        tiles_within(memory, 128, 8, cpu, bfloat16=True, engine=True).side for memory in (8 << 30, 1 << 30)
    )
    assert plenty > tiles_within(8 << 30, 128, 8, cpu, bfloat16=True).side
    assert little**2 * 128 * 6 <= (1 << 30) / 4


def test_what_the_largest_map_takes_is_kept_for_networks_of_ours(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = bytes_per_pixel(UNet.tiny(), CPU)
    monkeypatch.setattr(memory, "_seen_bytes", lambda *_: pytest.fail("it is known already"))
    assert bytes_per_pixel(UNet.tiny(), CPU) == found
    with pytest.raises(pytest.fail.Exception):
        bytes_per_pixel(UNet(widths=(16, 16), blocks=(1, 1)), CPU)
    with pytest.raises(pytest.fail.Exception):
        bytes_per_pixel(torch.nn.Conv2d(3, 3, 3, padding=1), CPU)
