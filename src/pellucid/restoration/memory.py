"""How much memory a restoration may take, and what tile fits in it."""

import os
import re

import torch
from torch import Tensor, nn

from pellucid.errors import SettingsError
from pellucid.networks import input_multiple
from pellucid.restoration.tiles import Tiles

__all__ = ["available_memory", "bytes_per_pixel", "checked_memory", "parse_memory", "tiles_within"]

# Maps of the largest layer's size that are alive at once (input, output, skip, scratch), found with U-Net and NAFNet.
LIVE_MAPS = 6
LARGEST_TILE = {"cpu": 768}
"""Beyond this side a CPU gains nothing: its caches are full. Other devices take what fits."""
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def parse_memory(text: str) -> int:
    """Bytes in a text such as `1GB`, `800 MiB` or `1500000000`; units are powers of 1024.

    Raises:
        SettingsError: it does not parse, or is less than 16 MB.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", text.lower())
    if not match:
        raise SettingsError(f"memory {text!r}: expected a number and a unit, such as 1GB or 800MB")
    return checked_memory(float(match[1]) * UNITS[match[2]])


def checked_memory(size: float) -> int:
    """The same number of bytes, where it can be worked with.

    Raises:
        SettingsError: it is less than 16 MB, or not a number that any machine has.
    """
    if not 16 << 20 <= size < 1 << 60:
        raise SettingsError(f"memory of {size:g} bytes: it must be 16MB at least, and finite")
    return int(size)


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

    Of a network with `alternatives`, networks of which it asks some for each picture, each is run.
    """
    side = 16 * input_multiple(network)
    largest = 3 * side**2

    def watch(_module: nn.Module, _inputs: tuple[object, ...], output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.numel())

    handles = [module.register_forward_hook(watch) for module in network.modules() if not list(module.children())]
    try:
        for part in getattr(network, "alternatives", (network,)):
            part(torch.zeros(1, 3, side, side, device=device))
    finally:
        for handle in handles:
            handle.remove()
    return 4 * largest / side**2
