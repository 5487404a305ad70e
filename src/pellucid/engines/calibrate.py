"""What a network's layers are given, seen on photographs: the ranges that `int8` rounds in."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid import images
from pellucid.degradations import parse_drawn, severities
from pellucid.degradations.seeding import drawn_for
from pellucid.engines.graphs import weights_key
from pellucid.engines.int8 import Layer, Ranges, Rounding
from pellucid.engines.noise import ROUGH
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

SHIFT = 0.1 / 255
"""By which 8 bits may move the means of 8 x 8 pixels, on average, in smooth pictures. More shows as bands."""

DRAWS = 2
"""Of each degradation, on each smooth picture."""


@dataclass(frozen=True)
class Calibration:
    """What came out for one network.

    Attributes:
        network: its class, and its number among experts.
        key: its `weights_key`.
        loss: decibels that 8 bits cost on crops that were held out.
        shift: by which they move smooth pictures, where it was looked at: the mean over 8 x 8 pixels, of 1.
        exact: layers that stay as they are.
        ranges: of the others; empty where 8 bits cost more than MOST, or move smooth pictures that no noise hides.
        floor: see `Rounding`.
    """

    network: str
    key: str
    loss: float
    exact: tuple[str, ...]
    ranges: Ranges = field(default_factory=dict)
    floor: float = ROUGH
    shift: float | None = None

    @property
    def rounding(self) -> Rounding | None:
        """What is to be known of it; None where it stays as it is."""
        return Rounding(self.ranges, self.floor) if self.ranges else None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, without the ranges."""
        told = {"network": self.network, "key": self.key, "loss_db": round(self.loss, 4), "exact": list(self.exact)}
        shift = None if self.shift is None else round(255 * self.shift, 3)
        return told | {"layers": len(self.ranges), "shift_of_255": shift, "floor_of_255": round(255 * self.floor, 1)}

    def words(self) -> str:
        """One line for people."""
        lost = f"{self.loss:.3f} dB lower on photographs that were held out"
        if self.shift is not None:
            lost += f", smooth pictures moved by {255 * self.shift:.2f} of 255"
        if not self.ranges:
            return f"{self.network}: stays as it is, for 8 bits would be {lost}"
        return f"{self.network}: {len(self.ranges)} layers in 8 bits, {', '.join(self.exact)} not; {lost}"


@torch.no_grad()
def calibrate_model(module: nn.Module, files: Sequence[Path], texts: Sequence[str], *, count: int) -> list[Calibration]:
    """Calibrates every network of a model that is for the degradations.

    Layers that cost most stay as they are: the first and the last one; where that is not enough, those that read the
    picture, or those of the finest scale, too. Where the degradations have noise, 8 bits are for pictures whose noise
    hides the rounding. Without, they are for all pictures or for none, as smooth ones show.

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
    smooth = [] if "noise" in kinds else _smooth(texts)
    held = max(1, len(pairs) // 3)
    found = []
    for name, network in _networks(module, kinds):
        result = None
        for exact in _exact_layers(network):
            ranges = calibrated(network, [degraded for degraded, _ in pairs[:-held]], exact=exact)
            part = NetworkOnEngine(network, engine, Rounding(ranges), "always")
            loss = sum(_loss(part, *pair) for pair in pairs[-held:]) / held
            shift = max((_shift(part, one) for one in smooth), default=None)
            good = loss <= MOST and (shift is None or shift <= SHIFT)
            result = Calibration(
                name,
                weights_key(network),
                loss,
                tuple(exact),
                ranges if good else {},
                ROUGH if shift is None else 0.0,
                shift,
            )
            if good:
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
    """What stays as it is: the outermost convolutions; with what makes the map smaller, and what is of the finest scale
    before; with all that is of the finest scale, as wide as the first one makes its map."""
    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    outermost = (layers[0][0], layers[-1][0])
    width = layers[0][1].out_channels
    finest = [name for name, module in layers if module.in_channels == width and name not in outermost]
    smaller = [name for name, module in layers if max(module.stride) > 1 and name not in outermost]
    order = [name for name, _ in layers]
    before = [name for name in finest if smaller and order.index(name) < order.index(smaller[0])]
    return [outermost, (*outermost, *before, *smaller), (*outermost, *finest)]


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


def _smooth(texts: Sequence[str]) -> list[list[Tensor]]:
    """A sky, a dark slope and one over five levels of 255, (1, 3, 2 SIDE, 2 SIDE), each degraded several times, and as
    they are."""
    down, across = torch.meshgrid(torch.linspace(0, 1, 2 * SIDE), torch.linspace(0, 1, 2 * SIDE), indexing="ij")
    pictures = {
        "sky": torch.stack([0.35 + 0.2 * down + 0.02 * across, 0.5 + 0.18 * down, 0.75 + 0.12 * down]),
        "dark": torch.stack([0.12 * across, 0.1 * across, 0.11 * across]),
        "slope": (0.4 + 5 / 255 * across).expand(3, -1, -1),
    }
    families = [parse_drawn(text) for text in texts]
    return [
        [picture[None]]
        + [drawn_for(family, draw, name)(picture[None]).clamp(0, 1) for family in families for draw in range(DRAWS)]
        for name, picture in pictures.items()
    ]


def _shift(part: NetworkOnEngine, pictures: Sequence[Tensor]) -> float:
    """By how much 8 bits move the means of 8 x 8 pixels, on average over these pictures."""
    moved = [
        F.avg_pool2d(part.restore(one, NOTHING).clamp(0, 1) - part.network.restore(one, NOTHING).clamp(0, 1), 8)
        for one in pictures
    ]
    return float(torch.stack([one.abs().mean() for one in moved]).mean())


def _loss(part: NetworkOnEngine, degraded: Tensor, clean: Tensor) -> float:
    """Decibels that 8 bits cost."""
    errors = [
        (restored.clamp(0, 1) - clean).square().mean().log10()
        for restored in (part.restore(degraded, NOTHING), part.network.restore(degraded, NOTHING))
    ]
    return float(10 * (errors[0] - errors[1]))
