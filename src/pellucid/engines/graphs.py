"""From a module to an ONNX graph of any height and width, made once and kept in the cache folder."""

import hashlib
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import MissingExtraError, ModelError, one_line
from pellucid.files import cache_folder, written_whole
from pellucid.version import __version__

__all__ = ["OPSET", "graph_file", "kept_graph", "key_of", "to_onnx", "weights_key"]

OPSET = 18
"""Of the graphs; the first in which a resize may be antialiased."""


@torch.no_grad()
def to_onnx(module: nn.Module, examples: Mapping[str, Tensor], outputs: Sequence[str]) -> bytes:
    """A module's `forward` as one ONNX graph, weights included.

    Args:
        module: takes the examples in their order; in evaluation mode.
        examples: by the names that the graph's inputs are to have. Heights and widths of
            images (1, C, H, W) stay open, and so do lengths (n,).
        outputs: names of the results.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
        ModelError: it does something that ONNX has no operators for.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "onnx", "onnx") from error
    auto = torch.export.Dim.AUTO
    is_open: dict[int, dict[int, Any]] = {4: {2: auto, 3: auto}, 1: {0: auto}}
    shapes = tuple(is_open.get(value.ndim) for value in examples.values())
    logs = logging.getLogger("torch.onnx"), logging.getLogger("torch.utils._sympy.interp")
    levels = [log.level for log in logs]
    with warnings.catch_warnings(), torch.autocast("cpu", enabled=False):
        warnings.simplefilter("ignore")  # about torchvision, and about its own future
        try:
            for log in logs:
                log.setLevel(logging.CRITICAL)
            program = torch.onnx.export(
                module.eval(),
                tuple(examples.values()),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                external_data=False,
                input_names=list(examples),
                output_names=list(outputs),
                dynamic_shapes=shapes,
            )
        except Exception as error:  # the exporter fails in as many ways as torch has operators
            raise ModelError(f"{type(module).__name__} cannot become an ONNX graph ({one_line(error)})") from error
        finally:
            for log, level in zip(logs, levels, strict=True):
                log.setLevel(level)
    assert program is not None
    whole: bytes = program.model_proto.SerializeToString()
    return whole


def key_of(module: nn.Module) -> str:
    """What a graph of a module depends on: its weights, and who makes the graph."""
    made_by = f"{weights_key(module)} {__version__} {torch.__version__} {OPSET}"
    return hashlib.sha256(made_by.encode()).hexdigest()[:32]


def weights_key(module: nn.Module) -> str:
    """Of a module: its class and its weights."""
    digest = hashlib.sha256(type(module).__qualname__.encode())
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def graph_file(key: str) -> Path:
    """Where the graph of a key is kept, whether it is there or not."""
    return cache_folder() / "graphs" / f"{key}.onnx"


def kept_graph(key: str, make: Callable[[], bytes]) -> bytes:
    """The graph that is kept under a key; where there is none, one that is made, and kept from then on.

    A folder that cannot be written to is left.
    """
    file = graph_file(key)
    try:
        return file.read_bytes()
    except OSError:
        pass
    graph = make()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as partial:
            partial.write_bytes(graph)
    except OSError:
        pass
    return graph
