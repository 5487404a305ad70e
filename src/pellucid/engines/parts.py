"""A model whose networks and R run in another engine: the same two verbs, the same pictures to rounding.

`on_engine` puts every network of ours that takes images alone into a `NetworkOnEngine`, wherever it stands in the
model, and R into a `RefinementOnEngine`. Graphs are made when they are first needed, so an expert that is never asked
costs nothing.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.engines.graphs import graph_file, kept_graph, key_of, to_onnx, weights_key
from pellucid.engines.int8 import Rounding, fingerprint, quantised
from pellucid.engines.noise import noise_floor
from pellucid.engines.sessions import Precision, Session, session_of
from pellucid.errors import ModelError
from pellucid.guidance import NOTHING, Guidance
from pellucid.images.padding import pad_to
from pellucid.networks import Experts, Identity, Network
from pellucid.refinement import PTGRM, Boosted

__all__ = ["NetworkOnEngine", "RefinementOnEngine", "in_torch", "is_alone", "is_prepared", "on_engine", "parts_of"]

STEP = 32
"""Sides of fixed shapes are rounded up to multiples of this: few shapes, and little computed in vain."""

SHAPES = 6
"""Fixed shapes that are held at once; those of one picture are four at most."""

BYTES_PER_PIXEL = 500
"""What R takes of memory for a pixel of the image in one piece, float32 (measured at 478, rounded up)."""


class NetworkOnEngine(Network):
    """A network that takes images alone, run by an engine.

    Args:
        network: what is run; it keeps its weights here, for those who look into it.
        engine: "openvino" or "onnx".
        rounding: what is known for 8 bits, where it has been calibrated.
        int8: "never", "always", or "auto" for pictures in which the rounding does not show: those whose noise hides it,
            or all of them.
    """

    def __init__(self, network: Network, engine: str, rounding: Rounding | None = None, int8: str = "never") -> None:
        super().__init__()
        self.network, self.engine = network, engine
        self.settings = network.settings
        if rounding is None:
            int8 = "never"
        elif int8 == "auto" and not rounding.floor:
            int8 = "always"
        self.rounding, self.int8 = rounding, int8
        self.contract = replace(network.contract, looks=self.int8 == "auto")
        self._open: dict[Precision, Session] = {}
        self._fixed: OrderedDict[tuple[int, ...], Session] = OrderedDict()

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Adds `own["noise"]`, (1, 1): the noise of the whole picture, by which 8 bits are enough for it or not."""
        if self.int8 != "auto":
            return known
        return known.knowing(own={**known.own, "noise": torch.tensor([[noise_floor(image)]])})

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """What the network makes of (B, C, h, w); in bfloat16 where autocast is on, in 8 bits where the noise is
        rough."""
        if self.engine == "torch":
            return self.network.restore(tile, guidance)
        if tile.device.type != "cpu":
            raise ModelError(f"the engine {self.engine} is for the CPU; take --device cpu or --engine torch")
        precision: Precision = "bfloat16" if torch.is_autocast_enabled("cpu") else "float32"
        run = self._rounded if self._is_rough(guidance) else self._exact
        images = tile.reshape(-1, 1, *tile.shape[2:]) if self.contract.channels == 1 else tile
        results = torch.cat([run(one[None], precision) for one in images])
        return results.reshape(len(tile), -1, *results.shape[2:]).to(tile.dtype)

    @cached_property
    def key(self) -> str:
        """Under which its graph is kept."""
        return key_of(self.network)

    @property
    def planes(self) -> int:
        """Channels of what it is given."""
        return self.contract.channels + int(self.settings.get("beside", 0))

    def graph(self) -> bytes:
        """Its ONNX graph: `image` to `restored`."""
        side = 8 * self.contract.multiple
        examples = {"image": torch.rand(1, self.planes, side, side + 2 * self.contract.multiple)}
        return kept_graph(self.key, lambda: to_onnx(_Alone(self.network), examples, ["restored"]))

    def _is_rough(self, guidance: Guidance) -> bool:
        noise = guidance.own.get("noise")
        if self.int8 == "always" or noise is None:
            return self.int8 == "always"
        return self.rounding is not None and float(noise.min()) >= self.rounding.floor

    def _exact(self, image: Tensor, precision: Precision) -> Tensor:
        session = self._open.get(precision)
        if session is None:
            session = self._open[precision] = session_of(self.engine, self.graph(), precision)
        return session(image)

    def _rounded(self, image: Tensor, precision: Precision) -> Tensor:
        height, width = image.shape[2:]
        step = math.lcm(STEP, self.contract.multiple)
        shape = (image.shape[1], *(-(-side // step) * step for side in (height, width)))
        session = self._fixed.pop((precision == "bfloat16", *shape), None)
        if session is None:
            session = session_of(self.engine, self._rounded_graph, precision, {"image": [1, *shape]})
        self._fixed[precision == "bfloat16", *shape] = session
        while len(self._fixed) > SHAPES:
            self._fixed.popitem(last=False)
        return session(pad_to(image, *shape[1:]))[:, :, : height * self.contract.scale, : width * self.contract.scale]

    @cached_property
    def _rounded_graph(self) -> bytes:
        known = self.rounding
        assert known is not None
        key = f"{self.key}-{fingerprint(known.layers)}"
        return kept_graph(key, lambda: quantised(self.graph(), known.layers))


class RefinementOnEngine(nn.Module):
    """R in one piece by an engine, where memory holds it; else as it is, in windows.

    Args:
        refinement: R.
        engine: "openvino" or "onnx".
    """

    def __init__(self, refinement: PTGRM, engine: str) -> None:
        super().__init__()
        self.refinement, self.engine = refinement, engine
        self.multiple, self.takes_maps = refinement.multiple, refinement.takes_maps
        self._open: dict[Precision, Session] = {}

    def forward(
        self,
        restored: Tensor,
        degraded: Tensor,
        feature: Tensor,
        *,
        grid: Tensor | None = None,
        memory: int | None = None,
    ) -> Tensor:
        """See `PTGRM.forward`."""
        pixels = restored.shape[2] * restored.shape[3]
        held = memory is None or pixels * BYTES_PER_PIXEL <= memory
        elsewhere = self.engine == "torch" or restored.device.type != "cpu"
        if grid is not None or len(restored) != 1 or not held or elsewhere:
            refined: Tensor = self.refinement(restored, degraded, feature, grid=grid, memory=memory)
            return refined
        precision: Precision = "bfloat16" if torch.is_autocast_enabled("cpu") else "float32"
        session = self._open.get(precision)
        if session is None:
            session = self._open[precision] = session_of(self.engine, self.graph(), precision)
        return session(restored, degraded, feature)

    @cached_property
    def key(self) -> str:
        """Under which its graph is kept."""
        return key_of(self.refinement)

    def graph(self) -> bytes:
        """Its ONNX graph: `restored`, `degraded` and `vector` or `maps` to `refined`."""
        return kept_graph(self.key, lambda: to_onnx(self.refinement, _examples(self.refinement), ["refined"]))


class _Alone(nn.Module):
    """A network that takes images alone, as a function of the image."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network.restore(image, NOTHING)


def on_engine(
    model: nn.Module, engine: str, *, ranges: Mapping[str, Rounding] | None = None, int8: str = "never"
) -> nn.Module:
    """The model with what is heavy run by an engine; it is changed in place, but for a network that is the model.

    Args:
        model: a network of ours, or a `Boosted` of one.
        engine: "openvino" or "onnx".
        ranges: what is known for 8 bits, by the `weights_key` of a network.
        int8: of `NetworkOnEngine`.

    Raises:
        ModelError: nothing in it can be run so.
    """
    changed = _replaced(model, engine, ranges or {}, int8)
    if not parts_of(changed):
        raise ModelError(f"{type(model).__name__} has no network that {engine} could run: take --engine torch")
    return changed


def parts_of(model: nn.Module) -> list[NetworkOnEngine | RefinementOnEngine]:
    """Whatever of a model an engine runs."""
    return [part for part in model.modules() if isinstance(part, NetworkOnEngine | RefinementOnEngine)]


@contextmanager
def in_torch(model: nn.Module) -> Iterator[None]:
    """While it lasts torch runs what engines else run, so that its layers can be watched."""
    parts = parts_of(model)
    engines = [part.engine for part in parts]
    try:
        for part in parts:
            part.engine = "torch"
        yield
    finally:
        for part, engine in zip(parts, engines, strict=True):
            part.engine = engine


def is_prepared(model: nn.Module) -> bool:
    """Whether every graph of a model is kept already, so that an engine costs no start."""
    if not graph_file("").parent.is_dir():
        return False  # nothing is, and no weights need be read to know it
    keys = [key_of(part) for part in _exchangeable(model)]
    return bool(keys) and all(graph_file(key).is_file() for key in keys)


def _exchangeable(module: nn.Module) -> list[nn.Module]:
    if isinstance(module, NetworkOnEngine):
        return [module.network]
    if isinstance(module, RefinementOnEngine):
        return [module.refinement]
    if is_alone(module) or isinstance(module, PTGRM):
        return [module]
    children = [child for name, child in module.named_children() if name != "prior"]
    return [part for child in children for part in _exchangeable(child)]


def _replaced(module: nn.Module, engine: str, ranges: Mapping[str, Rounding], int8: str) -> nn.Module:
    if isinstance(module, NetworkOnEngine | RefinementOnEngine):
        return module  # of a model that shares it with this one
    if is_alone(module):
        assert isinstance(module, Network)
        return NetworkOnEngine(module, engine, ranges.get(weights_key(module)) if ranges else None, int8)
    if isinstance(module, PTGRM):
        return RefinementOnEngine(module, engine)
    for name, child in list(module.named_children()):
        if name != "prior":  # it looks, once
            setattr(module, name, _replaced(child, engine, ranges, int8))
    if isinstance(module, Experts):
        experts: list[Any] = list(module.experts)
        module.contract = replace(module.contract, looks=any(one.contract.looks for one in experts))
    return module


def is_alone(module: nn.Module) -> bool:
    """Whether it is a network that takes images and nothing else, no scale either, and does something."""
    if not isinstance(module, Network) or isinstance(module, Identity | Boosted | NetworkOnEngine):
        return False
    own = module.contract
    return own.vector is None and not (own.words or own.looks or own.samples or own.scales)


def _examples(refinement: PTGRM) -> dict[str, Tensor]:
    image = torch.rand(1, 3, 64, 96)
    if refinement.takes_maps:
        return {"restored": image, "degraded": image.clone(), "maps": torch.rand(1, refinement.prior_width, 7, 9)}
    return {"restored": image, "degraded": image.clone(), "vector": torch.rand(1, refinement.prior_width)}
