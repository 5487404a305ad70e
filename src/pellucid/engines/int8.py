"""Convolutions of 8 bits: what is known of a network's layers, and its graph with rounding written into it.

Weights are rounded by a scale for each output channel, what a layer is given by one scale: without a sign where nothing
is below zero, as behind a ReLU (Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018). The rounding of the weights moves the mean of a layer's result, which is
taken back (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section
4.2). Rounding is said by QuantizeLinear and DequantizeLinear, which OpenVINO and ONNX Runtime both turn into integer
arithmetic.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from pellucid.engines.noise import ROUGH
from pellucid.errors import MissingExtraError

__all__ = ["Layer", "Ranges", "Rounding", "fingerprint", "load_ranges", "quantised", "save_ranges"]


@dataclass(frozen=True)
class Layer:
    """What a convolution is given, seen on photographs.

    Attributes:
        low: the least that counts; 0 where nothing is below.
        high: the most.
        mean: of each input channel, (C,).
    """

    low: float
    high: float
    mean: Tensor


Ranges = Mapping[str, Layer]
"""Of the layers that are rounded, by their names in the network."""


@dataclass(frozen=True)
class Rounding:
    """What is known of a network for computing in 8 bits.

    Attributes:
        layers: those that are rounded.
        floor: from which deviation of a picture's noise on the rounding does not show, of 1; 0 where it shows in none.
    """

    layers: Ranges
    floor: float = ROUGH


def save_ranges(ranges: Mapping[str, Rounding], path: Path) -> None:
    """Writes what is known of several networks, by their keys, to a `.safetensors`."""
    tensors = {key: torch.tensor([known.floor]) for key, known in ranges.items()}
    for key, known in ranges.items():
        for name, layer in known.layers.items():
            tensors[f"{key}/{name}"] = torch.cat([torch.tensor([layer.low, layer.high]), layer.mean.float()])
    save_file(tensors, path)


def load_ranges(path: Path) -> dict[str, Rounding]:
    """What `save_ranges` wrote; nothing where there is no such file. Where a file says no floor, it is `ROUGH`."""
    floors: dict[str, float] = {}
    found: dict[str, dict[str, Layer]] = {}
    if path.is_file():
        for name, value in load_file(path).items():
            key, _, layer = name.partition("/")
            if layer:
                found.setdefault(key, {})[layer] = Layer(float(value[0]), float(value[1]), value[2:])
            else:
                floors[key] = float(value[0])
    return {key: Rounding(layers, floors.get(key, ROUGH)) for key, layers in found.items()}


def fingerprint(layers: Ranges) -> str:
    """Of what is known of layers: the same for the same numbers."""
    digest = hashlib.sha256()
    for name, layer in sorted(layers.items()):
        digest.update(f"{name} {layer.low} {layer.high}".encode())
        digest.update(layer.mean.float().numpy().tobytes())
    return digest.hexdigest()[:16]


def quantised(graph: bytes, ranges: Ranges) -> bytes:
    """An ONNX graph in which the convolutions that `ranges` names compute with 8 bits.

    Raises:
        MissingExtraError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "onnx") from error
    model = onnx.ModelProto.FromString(graph)
    writer = _Writer(onnx, model.graph.initializer)
    nodes: list[Any] = []
    for node in model.graph.node:
        layer = _layer_of(node, ranges)
        nodes += [node] if layer is None else writer.rounded(node, layer)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [one for one in model.graph.initializer if one.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    whole: bytes = model.SerializeToString()
    return whole


def _layer_of(node: Any, ranges: Ranges) -> Layer | None:
    """The layer that a node is; a graph calls a convolution's weights as the network calls them."""
    if node.op_type != "Conv" or not node.input[1].endswith(".weight"):
        return None
    name = node.input[1].removesuffix(".weight")
    return next((layer for known, layer in ranges.items() if name == known or name.endswith("." + known)), None)


class _Writer:
    """Writes rounding around convolutions; a value that several are given is rounded once."""

    def __init__(self, onnx: Any, initializers: Any) -> None:
        self.onnx, self.initializers = onnx, initializers
        self.values = {one.name: one for one in initializers}
        self.written: set[str] = set()

    def rounded(self, node: Any, layer: Layer) -> list[Any]:
        """The nodes that stand for a convolution."""
        given, name = node.input[0], node.input[1]
        weights: NDArray[np.float32] = self.onnx.numpy_helper.to_array(self.values[name])
        scales = np.maximum(np.abs(weights).reshape(len(weights), -1).max(1), 1e-12) / 127
        whole = np.clip(np.rint(weights / scales[:, None, None, None]), -127, 127).astype(np.int8)
        nodes = self._given(given, layer)
        self._keep(f"{name}/8", whole)
        self._keep(f"{name}/scale", scales.astype(np.float32))
        self._keep(f"{name}/zero", np.zeros(len(weights), np.int8))
        nodes.append(
            self.onnx.helper.make_node(
                "DequantizeLinear", [f"{name}/8", f"{name}/scale", f"{name}/zero"], [f"{name}/rounded"], axis=0
            )
        )
        lost = (weights - whole * scales[:, None, None, None].astype(np.float32)).sum((2, 3))
        shift = lost @ layer.mean.numpy() if lost.shape[1] == len(layer.mean) else np.zeros(len(weights))
        bias = shift + (self.onnx.numpy_helper.to_array(self.values[node.input[2]]) if len(node.input) > 2 else 0)
        self._keep(f"{name}/bias", bias.astype(np.float32))
        changed = self.onnx.NodeProto()
        changed.CopyFrom(node)
        del changed.input[:]
        changed.input.extend([f"{given}/rounded", f"{name}/rounded", f"{name}/bias"])
        return [*nodes, changed]

    def _given(self, given: str, layer: Layer) -> list[Any]:
        """What rounds a value."""
        if given in self.written:
            return []
        self.written.add(given)
        signed = layer.low < 0
        scale = max(-layer.low, layer.high, 1e-12) / 127 if signed else max(layer.high, 1e-12) / 255
        names = [f"{given}/scale", f"{given}/zero"]
        self._keep(names[0], np.array(scale, np.float32))
        self._keep(names[1], np.array(0, np.int8 if signed else np.uint8))
        make = self.onnx.helper.make_node
        return [
            make("QuantizeLinear", [given, *names], [f"{given}/8"]),
            make("DequantizeLinear", [f"{given}/8", *names], [f"{given}/rounded"]),
        ]

    def _keep(self, name: str, value: NDArray[Any]) -> None:
        self.initializers.append(self.onnx.numpy_helper.from_array(value, name))
