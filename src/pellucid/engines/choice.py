"""Which engine runs a model, where nobody says."""

import torch
from torch import nn

from pellucid.engines.parts import is_prepared
from pellucid.engines.sessions import installed
from pellucid.errors import MissingExtraError, SettingsError

__all__ = ["chosen_engine", "eight_bits"]


def chosen_engine(wanted: str, model: nn.Module, device: torch.device) -> str:
    """The engine of a model: "torch", "openvino" or "onnx".

    "auto" takes OpenVINO on a CPU where it is installed and has the model's graphs already: making them takes longer
    than restoring one photograph. `--engine openvino` makes them, once.

    Raises:
        MissingExtraError: an engine that is asked for is not installed.
    """
    if wanted == "auto":
        ready = device.type == "cpu" and installed("openvino") and is_prepared(model)
        return "openvino" if ready else "torch"
    if wanted != "torch" and not installed(wanted):
        raise MissingExtraError({"openvino": "openvino", "onnx": "onnxruntime"}[wanted], wanted)
    return wanted


def eight_bits(engine: str, precision: str) -> str:
    """When networks that are calibrated compute with 8 bits: "never", "auto" or "always", as `NetworkOnEngine` takes
    it.

    By itself only OpenVINO does, on processors that multiply bytes quickly (VNNI).

    Raises:
        SettingsError: a precision that the engine has not.
    """
    if precision == "int8":
        if engine == "torch":
            raise SettingsError("precision int8 is for the engines openvino and onnx: take --engine openvino")
        return "always"
    if precision == "bfloat16" and engine == "onnx":
        raise SettingsError("the engine onnx computes in float32 or int8; bfloat16 is for openvino and torch")
    quick = engine == "openvino" and precision == "auto" and torch.cpu._is_vnni_supported()
    return "auto" if quick else "never"
