"""Graphs that run: one class for OpenVINO, one for ONNX Runtime. Tensors in, one tensor out, on the CPU."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.errors import MissingExtraError, ModelError, one_line
from pellucid.files import cache_folder

__all__ = ["Precision", "Session", "installed", "session_of"]

Precision = Literal["float32", "bfloat16"]
"""In which a graph is computed; layers that it says to be of 8 bits are so in either."""

Session = Callable[..., Tensor]
"""A graph that runs: its inputs in order, float32, to its first output, float32."""


class OpenVinoSession:
    """A graph in OpenVINO.

    Without a precision said, OpenVINO takes bfloat16 where the processor has it; so it is always said.

    Args:
        graph: the ONNX graph.
        precision: what it computes in.
        shapes: of every input by its name, where they are fixed. Convolutions of 8 bits must have fixed ones: with open
            sides OpenVINO 2026.4 gives wrong results (seen: off by up to 72 of 255).

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ModelError: it cannot run the graph.
    """

    def __init__(self, graph: bytes, precision: Precision, shapes: Mapping[str, list[int]] | None = None) -> None:
        try:
            model = _core().read_model(graph)
            if shapes:
                model.reshape(dict(shapes))
            settings = {
                "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "PERFORMANCE_HINT": "LATENCY",
            }
            self._request = _core().compile_model(model, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot run this model ({one_line(error)})") from error

    def __call__(self, *inputs: Tensor) -> Tensor:
        """See `Session`."""
        arrays = {number: _array(value) for number, value in enumerate(inputs)}
        result = self._request.infer(arrays, share_inputs=True)
        return torch.from_numpy(next(iter(result.values())).copy())


class OnnxRuntimeSession:
    """A graph in ONNX Runtime; arguments as of `OpenVinoSession`. It computes in float32 alone.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        ModelError: it cannot run the graph.
    """

    def __init__(self, graph: bytes, precision: Precision, shapes: Mapping[str, list[int]] | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("onnxruntime", "onnx") from error
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        settings.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common class
            raise ModelError(f"ONNX Runtime cannot run this model ({one_line(error)})") from error
        self._names = [one.name for one in self._session.get_inputs()]

    def __call__(self, *inputs: Tensor) -> Tensor:
        """See `Session`."""
        arrays = {name: _array(value) for name, value in zip(self._names, inputs, strict=True)}
        return torch.from_numpy(self._session.run(None, arrays)[0])


def session_of(
    engine: str, graph: bytes, precision: Precision, shapes: Mapping[str, list[int]] | None = None
) -> Session:
    """A graph that runs in an engine, "openvino" or "onnx"; see `OpenVinoSession`."""
    kinds: dict[str, Callable[..., Session]] = {"openvino": OpenVinoSession, "onnx": OnnxRuntimeSession}
    return kinds[engine](graph, precision, shapes)


def installed(engine: str) -> bool:
    """Whether the package that an engine needs is there."""
    from importlib.util import find_spec

    return find_spec({"openvino": "openvino", "onnx": "onnxruntime"}[engine]) is not None


def _array(value: Tensor) -> Any:
    value = value.detach().contiguous()
    return (value.float() if value.is_floating_point() else value).numpy()


@cache
def _core() -> Any:
    """OpenVINO itself. What it has compiled it keeps in the cache folder, and finds again in the next process."""
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("openvino", "openvino") from error
    core = openvino.Core()
    core.set_property({"CACHE_DIR": str(cache_folder() / "openvino")})
    return core
