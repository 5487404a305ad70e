"""What a model costs: parameters, multiply-adds and memory for a megapixel, counted; and seconds, where measured."""

import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pellucid.errors import PellucidError
from pellucid.files import cache_folder, written_whole
from pellucid.guidance import Guidance
from pellucid.networks import contract_of, verbs_of
from pellucid.refinement import network_of
from pellucid.restoration.memory import LIVE_MAPS, bytes_per_pixel
from pellucid.restoration.restorer import Restorer

__all__ = ["Costs", "costs_of", "kept_costs", "measured_seconds"]

MEGAPIXEL = 1_000_000
SIDE = 128
"""Pixels of the smaller of two pictures that are counted; the other has twice its sides."""


@dataclass(frozen=True)
class Costs:
    """What a model costs.

    Attributes:
        parameters: of all that the model consists of, its prior included.
        multiply_adds: for one megapixel more; of convolutions and matrix products, which is nearly all. None where they
            cannot be counted.
        memory: bytes for a megapixel in one piece in float32, as the tiles are sized by: the largest map, six times.
    """

    parameters: int
    multiply_adds: int | None
    memory: int | None


def costs_of(model: nn.Module) -> Costs:
    """Counts a model's costs on pictures without content, where that is enough, or else on two small ones."""
    parameters = sum(value.numel() for value in model.parameters())
    multiply_adds, memory = _multiply_adds(model), _memory(network_of(model))
    if None in (multiply_adds, memory) and any(value.is_meta for value in model.parameters()):
        model = _of_zeros(model)  # it looks at what it computes
        multiply_adds, memory = _multiply_adds(model), _memory(network_of(model))
    return Costs(parameters, multiply_adds, memory)


@torch.no_grad()
def _of_zeros(model: nn.Module) -> nn.Module:
    """A model without content, with zeros for all its weights."""
    model = model.to_empty(device="cpu")
    for value in model.state_dict().values():
        value.zero_()
    return model


def _multiply_adds(model: nn.Module) -> int | None:
    """What twice the sides cost more, for a megapixel: what is done once for a picture does not count."""
    multiple = contract_of(model).multiple
    side = -(-SIDE // multiple) * multiple
    try:
        small, large = _counted(model, side), _counted(model, 2 * side)
    except Exception:  # of anybody's network anything can fail
        return None
    return round((large - small) / (3 * side**2) * MEGAPIXEL)


@torch.no_grad()
def _counted(model: nn.Module, side: int) -> int:
    own = contract_of(model)
    device = next(model.parameters(), torch.empty(0)).device
    image = torch.full((1, own.channels if own.channels == 6 else 3, side, side), 0.5, device=device)
    told = None if own.vector is None else torch.zeros(1, own.vector, device=device)
    verbs = verbs_of(model)
    with FlopCounterMode(display=False) as counter:
        known = Guidance(vector=told, seed=0, told=dict.fromkeys(own.numbers, 25.0))
        guidance = verbs.look(image, known, cut=False)
        verbs.refine(verbs(image, guidance), image, guidance)
    return int(counter.get_total_flops()) // 2


def _memory(network: nn.Module) -> int | None:
    try:
        device = next(network.parameters(), torch.empty(0)).device
        return round(bytes_per_pixel(network, device) * LIVE_MAPS * MEGAPIXEL)
    except Exception:
        return None


def measured_seconds(model: nn.Module, key: str, *, megapixels: float = 0.25) -> float:
    """Measures how long a megapixel takes on this machine, the faster of two runs, and keeps it under a key.

    Raises:
        PellucidError: the model fails.
    """
    restorer = Restorer(model)
    side = round((megapixels * MEGAPIXEL) ** 0.5)
    picture = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    seconds: list[float] = []
    for _ in range(2):
        started = time.perf_counter()
        restorer.restore_image(picture)
        seconds.append((time.perf_counter() - started) * MEGAPIXEL / side**2)
    _keep(f"{key}, {_machine()}", {"seconds": min(seconds)})
    return min(seconds)


def kept_costs(key: str, model: Any = None) -> dict[str, Any]:
    """What is kept under a key: the costs, counted and kept where they are not yet, and seconds, where measured.

    Args:
        key: what they depend on: a network's name and this version, a file's hash.
        model: makes the model, if it is needed.

    Returns:
        `parameters`, `multiply_adds`, `memory` and `seconds` for a megapixel; None where not known.
    """
    kept = _kept()
    costs = kept.get(key)
    if not isinstance(costs, dict):
        try:
            costs = asdict(costs_of(model()))
        except PellucidError:
            costs = dict.fromkeys(("parameters", "multiply_adds", "memory"))
        _keep(key, costs)
    measured = kept.get(f"{key}, {_machine()}")
    seconds = measured.get("seconds") if isinstance(measured, dict) else None
    return costs | {"seconds": seconds if isinstance(seconds, int | float) else None}


def _machine() -> str:
    return f"{platform.node()}, {torch.get_num_threads()} threads"


def _file() -> Path:
    return cache_folder() / "costs.json"


def _kept() -> dict[str, Any]:
    try:
        kept = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _keep(key: str, value: dict[str, Any]) -> None:
    """Keeps a value; where the folder cannot be written, it is found again the next time."""
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        with written_whole(_file()) as partial:
            partial.write_text(json.dumps(_kept() | {key: value}, indent=1), encoding="utf-8")
    except OSError:
        pass
