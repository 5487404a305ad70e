"""How much memory a restoration may take, and what tile fits in it."""

import json
import os
from contextlib import nullcontext, suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from pellucid.devices import kept_answer
from pellucid.engines import in_torch
from pellucid.files import cache_folder
from pellucid.guidance import Guidance
from pellucid.layers import is_compiled, watched
from pellucid.networks import Experts, External, Network, contract_of, verbs_of
from pellucid.restoration.tiles import Tiles
from pellucid.version import __version__

__all__ = ["available_memory", "bytes_per_pixel", "tiles_within"]

CPU = torch.device("cpu")
# Maps of the largest layer's size that are alive at once (input, output, skip, scratch), found with U-Net and NAFNet.
LIVE_MAPS = 6
CACHED_MAP = 25 << 20
"""Bytes of the largest map in a tile, on a CPU. Of U-Nets 16, 24 and 32 channels wide a pixel costs a tenth to a fifth
more in tiles beyond, where a map fills the caches; measured with 32 MiB of L3, in float32 and bfloat16."""
ENGINE_CACHED = 4
"""An engine lays its maps out for the caches itself: its largest map may be so many times as large. Tiles of 1280
instead of 640 pixels then overlap less, and a picture of 4 megapixels takes an eighth less time."""
ENGINE_COPIES = 4
"""It also keeps memory of its own beside the maps: of what there is, its tiles take so small a part (100 megapixels at
1 GB took 2.6 GB without it)."""
SMALLEST_CACHED = 384
"""A side that is not made shorter for the caches' sake: the overlap of smaller tiles would cost more."""
ASSUMED_CHANNELS = 64
"""Of the largest map, at full size, of a network into which nobody can look."""
LARGEST_TILE = 4096
"""Pixels of a side."""


def available_memory(device: torch.device = CPU) -> int:
    """Bytes to work with when nobody said: a quarter of what is free now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] // 4)
    with suppress(OSError, LookupError, ValueError):
        # Memory that only keeps what is on the disk is as good as free.
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return int(dict(line.split(":") for line in lines)["MemAvailable"].split()[0]) * 1024 // 4
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
    return 1 << 30


def tiles_within(
    memory: int, per_pixel: float, multiple: int, device: torch.device, *, bfloat16: bool = False, engine: bool = False
) -> Tiles:
    """The largest tile, of sides that divide by `multiple`, whose run takes at most `memory` bytes and suits the
    caches.

    Args:
        memory: bytes.
        per_pixel: what `bytes_per_pixel` says of the network.
        multiple: of the network.
        device: a CPU has caches to be minded.
        bfloat16: whether maps take half as much. That may have to be repeated in float32, so the memory is for that.
        engine: whether another engine than torch runs the network.
    """
    per_pixel_at_once = per_pixel * LIVE_MAPS * (ENGINE_COPIES if engine else 1)
    side = min(int((memory / per_pixel_at_once) ** 0.5), LARGEST_TILE)
    if device.type == "cpu":
        cached = int((CACHED_MAP * (1 + bfloat16) * (ENGINE_CACHED if engine else 1) / per_pixel) ** 0.5)
        side = min(side, max(cached, SMALLEST_CACHED))
    return Tiles.of_side(max(side // 16 * 16, 64), multiple)


def bytes_per_pixel(network: nn.Module, device: torch.device) -> float:
    """Bytes that the largest map of a network takes for one pixel of its input, in float32, seen on a small run.

    Of experts, of which some are asked for each picture, each is run. Of a network of ours the answer is kept.
    """
    foreign = any(isinstance(part, External) for part in network.modules())
    if foreign or not isinstance(network, Network) or not network.settings:
        return _seen_bytes(network, device)
    parameters = sum(value.numel() for value in network.parameters())
    key = f"{type(network).__name__} {json.dumps(network.settings, sort_keys=True)} {parameters}; {__version__}"
    return kept_answer(lambda: _seen_bytes(network, device), key, cache_folder() / "maps.json", float)


@torch.no_grad()
def _seen_bytes(network: nn.Module, device: torch.device) -> float:
    multiple = contract_of(network).multiple
    side = multiple * max(1, 64 // multiple)
    largest = 3 * side**2
    leaves = (module for module in network.modules() if not list(module.children()))
    modules = [module for module in leaves if not isinstance(module, torch.jit.ScriptModule)]
    # Hooks do not run in what is compiled.
    eager = torch.compiler.set_stance("force_eager") if is_compiled(network) else nullcontext()
    with eager, in_torch(network), watched({str(number): module for number, module in enumerate(modules)}) as seen:
        for part in network.experts if isinstance(network, Experts) else [network]:
            own = contract_of(part)
            told = None if own.vector is None else torch.zeros(1, own.vector, device=device)
            image = torch.zeros(1, 6 if own.channels == 6 else 3, side, side, device=device)
            verbs_of(part)(image, Guidance(vector=told, seed=0))
    if not seen:  # all that it does is one graph, whose maps nobody sees
        return 4.0 * ASSUMED_CHANNELS
    for _, _, output in seen:
        if isinstance(output, Tensor):
            largest = max(largest, output.numel())
    return 4 * largest / side**2
