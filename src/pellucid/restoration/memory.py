"""How much memory a restoration may take, and what tile fits in it."""

import os

import torch
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.layers import watched
from pellucid.networks import Experts, contract_of, verbs_of
from pellucid.restoration.tiles import Tiles

__all__ = ["available_memory", "bytes_per_pixel", "tiles_within"]

# Maps of the largest layer's size that are alive at once (input, output, skip, scratch), found with U-Net and NAFNet.
LIVE_MAPS = 6
LARGEST_TILE = {"cpu": 448}
"""Pixels of a side. Of U-Nets 16, 24 and 32 channels wide a pixel costs least in tiles of 256 to 448, and up to a fifth more
beyond, where a map fills the caches; smaller tiles overlap more. Other devices take what fits."""


def available_memory(device: torch.device) -> int:
    """Bytes to work with when nobody said: a quarter of what is free now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] // 4)
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
    return 1 << 30


def tiles_within(memory: int, per_pixel: float, multiple: int, device: torch.device) -> Tiles:
    """The largest tile, of sides that divide by `multiple`, whose run takes at most `memory` bytes.

    `per_pixel` is what `bytes_per_pixel` says of the network.
    """
    pixels = memory / (per_pixel * LIVE_MAPS)
    side = min(int(pixels**0.5), LARGEST_TILE.get(device.type, 4096)) // 16 * 16
    return Tiles.of_side(max(side, 64), multiple)


@torch.no_grad()
def bytes_per_pixel(network: nn.Module, device: torch.device) -> float:
    """Bytes that the largest map of a network takes for one pixel of its input, in float32, seen on a small run.

    Of experts, of which some are asked for each picture, each is run.
    """
    side = 16 * contract_of(network).multiple
    largest = 3 * side**2
    modules = [module for module in network.modules() if not list(module.children())]
    with watched({str(number): module for number, module in enumerate(modules)}) as seen:
        for part in network.experts if isinstance(network, Experts) else [network]:
            own = contract_of(part)
            told = None if own.vector is None else torch.zeros(1, own.vector, device=device)
            image = torch.zeros(1, 6 if own.channels == 6 else 3, side, side, device=device)
            verbs_of(part)(image, Guidance(vector=told, seed=0))
    for _, _, output in seen:
        if isinstance(output, Tensor):
            largest = max(largest, output.numel())
    return 4 * largest / side**2
