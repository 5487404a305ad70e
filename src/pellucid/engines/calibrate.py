"""What a network's layers are given, seen on photographs: the ranges that `int8` rounds in."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid import images
from pellucid.degradations import parse_drawn, severities
from pellucid.degradations.seeding import drawn_for
from pellucid.engines.graphs import weights_key
from pellucid.engines.int8 import Layer, Ranges
from pellucid.engines.parts import NetworkOnEngine, is_alone
from pellucid.engines.sessions import installed
from pellucid.errors import DataError, ModelError
from pellucid.guidance import NOTHING
from pellucid.layers import watched
from pellucid.networks import Experts, Network
from pellucid.refinement import network_of

__all__ = ["Calibration", "calibrate_model", "calibrated"]

BINS = 2048
"""Steps in which values are counted."""

CANDIDATES = 40
"""Ends of the range that are tried: from a quarter of the largest value to all of it."""

MOST = 0.05
"""Decibels that 8 bits may cost on photographs that are held out."""

SIDE = 128
"""Of the crops, in pixels."""


@dataclass(frozen=True)
class Calibration:
    """What came out for one network.

    Attributes:
        network: its class, and its number among experts.
        key: its `weights_key`.
        loss: decibels that 8 bits cost on crops that were held out.
        exact: layers that stay as they are.
        ranges: of the others; empty where 8 bits cost more than MOST.
    """

    network: str
    key: str
    loss: float
    exact: tuple[str, ...]
    ranges: Ranges = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, without the ranges."""
        told = {"network": self.network, "key": self.key, "loss_db": round(self.loss, 4), "exact": list(self.exact)}
        return told | {"layers": len(self.ranges)}

    def words(self) -> str:
        """One line for people."""
        lost = f"{self.loss:.3f} dB lower on photographs that were held out"
        if not self.ranges:
            return f"{self.network}: stays as it is, for 8 bits would be {lost}"
        return f"{self.network}: {len(self.ranges)} layers in 8 bits, {', '.join(self.exact)} not; {lost}"


@torch.no_grad()
def calibrate_model(module: nn.Module, files: Sequence[Path], texts: Sequence[str], *, count: int) -> list[Calibration]:
    """Calibrates every network of a model that is for the degradations.

    Layers that cost most stay as they are: the first and the last one; where that is not enough, those of the finest
    scale, too.

    Args:
        module: the model.
        files: clean photographs, of which two thirds are learnt from.
        texts: degradations, with ranges, as `parse_drawn` reads them.
        count: crops in all, four at least.

    Raises:
        DataError: there are no photographs that are large enough.
        ModelError: no network of it is for the degradations, or takes images alone; or there is no engine of 8 bits.
        ImageError: a photograph cannot be read.
    """
    engine = next((name for name in ("openvino", "onnx") if installed(name)), None)
    if engine is None:
        raise ModelError("8 bits take OpenVINO or ONNX Runtime: pip install 'pellucid[openvino,onnx]'")
    pairs, kinds = _pairs(files, texts, count)
    held = max(1, len(pairs) // 3)
    found = []
    for name, network in _networks(module, kinds):
        result = None
        for exact in _exact_layers(network):
            ranges = calibrated(network, [degraded for degraded, _ in pairs[:-held]], exact=exact)
            part = NetworkOnEngine(network, engine, ranges, "always")
            loss = sum(_loss(part, *pair) for pair in pairs[-held:]) / held
            result = Calibration(name, weights_key(network), loss, tuple(exact), ranges if loss <= MOST else {})
            if result.ranges:
                break
        assert result is not None
        found.append(result)
    if not found:
        raise ModelError(f"no network of this model is for {', '.join(sorted(kinds))} and takes images alone")
    return found


@torch.no_grad()
def calibrated(network: Network, pictures: Sequence[Tensor], *, exact: Collection[str] = ()) -> dict[str, Layer]:
    """The ranges of the convolutions of a network.

    The end of a range is the one with the least squared error of rounding, over the values that were seen: a few that
    are larger are cut, so that the many are rounded more finely.

    Args:
        network: takes images alone.
        pictures: degraded, (1, C, h, w), sides divisible by its multiple.
        exact: layers that are left as they are, or the beginnings of their names.
    """
    names = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.groups == 1 and not name.startswith(tuple(exact))
    ]
    low, high = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    sums: dict[str, Tensor] = {}
    for picture in pictures:
        for name, given in _given(network, names, picture):
            low[name], high[name] = min(low[name], float(given.min())), max(high[name], float(given.max()))
            mean = given.mean((0, 2, 3)) / len(pictures)
            sums[name] = sums.get(name, torch.zeros(())) + mean
    counts = {name: torch.zeros(BINS) for name in names}
    for picture in pictures:
        for name, given in _given(network, names, picture):
            largest = max(-low[name], high[name])
            counts[name] += torch.histc(given.abs(), BINS, 0, largest)
    ranges = {}
    for name in names:
        end = _best_end(counts[name], max(-low[name], high[name]), levels=127 if low[name] < 0 else 255)
        ranges[name] = Layer(-end if low[name] < 0 else 0.0, end, sums[name])
    return ranges


def _given(network: Network, names: list[str], picture: Tensor) -> list[tuple[str, Tensor]]:
    """What each layer is given when a picture is restored."""
    modules = {name: network.get_submodule(name) for name in names}
    with watched(modules) as seen:
        network(picture)
    return [(name, given[0].float()) for name, given, _ in seen]


def _best_end(counts: Tensor, largest: float, levels: int) -> float:
    """Where to cut magnitudes, counted in BINS steps up to the largest, so that rounding to `levels` steps costs
    least."""
    if largest == 0:
        return 1e-6
    values = (torch.arange(BINS) + 0.5) * (largest / BINS)
    best, least = largest, float("inf")
    for part in torch.linspace(0.25, 1, CANDIDATES).tolist():
        end = part * largest
        rounded = (values.clamp_max(end) * (levels / end)).round() * (end / levels)
        # Within a step of counting values lie anywhere: a finer rounding than that step costs at least this much.
        error = float((counts * ((rounded - values).square() + (end / levels) ** 2 / 12)).sum())
        if error < least:
            best, least = end, error
    return best


def _networks(module: nn.Module, kinds: Collection[str]) -> list[tuple[str, Network]]:
    """The networks of a model that are for these kinds, and take images alone."""
    network: Any = network_of(module)
    if isinstance(network, Experts):
        numbers = [number for number in range(len(network.kinds)) if network.is_for(number, kinds)]
        experts: list[Any] = list(network.experts)
        named = [(f"expert {number}", experts[number]) for number in numbers]
    else:
        named = [(type(network).__name__, network)]
    return [(name, one) for name, one in named if is_alone(one)]


def _exact_layers(network: Network) -> list[tuple[str, ...]]:
    """What stays as it is: the outermost convolutions, then those that are as wide as the first one makes its map."""
    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    outermost = (layers[0][0], layers[-1][0])
    width = layers[0][1].out_channels
    finest = (name for name, module in layers if module.in_channels == width)
    return [outermost, (*outermost, *(name for name in finest if name not in outermost))]


def _pairs(files: Sequence[Path], texts: Sequence[str], count: int) -> tuple[list[tuple[Tensor, Tensor]], set[str]]:
    """Degraded and clean crops (1, 3, SIDE, SIDE), one of a photograph, and the kinds of degradations in them."""
    families = [parse_drawn(text) for text in texts]
    kinds: set[str] = set()
    pairs: list[tuple[Tensor, Tensor]] = []
    chosen = [files[number * len(files) // count] for number in range(min(count, len(files)))] if files else []
    for number, file in enumerate(chosen):
        image = images.to_tensor(images.read(file)).float()[:1].expand(-1, 3, -1, -1)
        top, left = ((side - SIDE) // 2 // 8 * 8 for side in image.shape[2:])
        if min(top, left) < 0:
            continue
        clean = image[:, :, top : top + SIDE, left : left + SIDE]
        drawn = drawn_for(families[number % len(families)], 0, file.stem)
        kinds |= severities(drawn.degradation).keys()
        pairs.append((drawn(clean).clamp(0, 1).mul(255).round().div(255), clean))
    if len(pairs) < 4:
        raise DataError(f"calibrating takes four photographs of {SIDE} pixels a side at least, got {len(pairs)}")
    return pairs, kinds


def _loss(part: NetworkOnEngine, degraded: Tensor, clean: Tensor) -> float:
    """Decibels that 8 bits cost."""
    errors = [
        (restored.clamp(0, 1) - clean).square().mean().log10()
        for restored in (part.restore(degraded, NOTHING), part.network.restore(degraded, NOTHING))
    ]
    return float(10 * (errors[0] - errors[1]))
