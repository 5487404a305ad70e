"""Networks that are files with their own graph: TorchScript, torch.export, ONNX. What is in such a file is run.

So these files are loaded only where a user names one, as with a class on the import path; no model file brings one.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.errors import MissingExtraError, ModelError, one_line

__all__ = ["is_graph_file", "load_graph"]


def is_graph_file(target: str) -> bool:
    """Whether a target names such a file rather than a class."""
    return Path(target).suffix.lower() in LOADERS


def load_graph(target: str) -> nn.Module:
    """The module in a file: TorchScript (.ts, .torchscript, .pt), torch.export (.pt2), ONNX (.onnx, frozen).

    Raises:
        ModelError: missing, damaged, or no such graph.
        MissingExtraError: ONNX Runtime is not installed.
    """
    path = Path(target)
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    try:
        return LOADERS[path.suffix.lower()](path)
    except (ModelError, MissingExtraError):
        raise
    except Exception as error:  # each runtime fails in its own way
        kind = KINDS[path.suffix.lower()]
        hint = "; weights alone are loaded by network.weights" if path.suffix.lower() == ".pt" else ""
        raise ModelError(f"{path}: not a readable file of {kind} ({one_line(error)}){hint}") from error


class Onnx(nn.Module):
    """An ONNX graph of one image input, by ONNX Runtime on the CPU. It has no parameters, and no gradient passes it.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtraError("onnxruntime", "onnx") from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # what it warns of is for who made the graph
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in TYPES:
            told = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
            raise ModelError(f"{path}: takes {told}; expected one image (B, C, H, W) of float32 or float16")
        self._name, self._type, self._shape = inputs[0].name, TYPES[inputs[0].type], inputs[0].shape
        self.sha256: Tensor  # stands for the weights, wherever a network is known by them
        digest = hashlib.sha256(path.read_bytes()).digest()
        self.register_buffer("sha256", torch.frombuffer(bytearray(digest), dtype=torch.uint8))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
        unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        """Weights cannot be put into a graph: those of another file are refused."""
        given = state_dict.get(f"{prefix}sha256")
        if not isinstance(given, Tensor) or not torch.equal(given.cpu(), self.sha256.cpu()):
            error_msgs.append("they are of another ONNX file than this one")

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) to the graph's outputs, those that are tensors.

        Raises:
            ModelError: the graph is for images of one size, and this one has another.
        """
        if any(isinstance(fixed, int) and fixed != own for fixed, own in zip(self._shape, image.shape, strict=True)):
            raise ModelError(f"the ONNX graph takes images of {self._shape} only, got {list(image.shape)}")
        given = image.detach().cpu().contiguous().numpy().astype(self._type, copy=False)
        outputs = self._session.run(None, {self._name: given})
        return [
            torch.from_numpy(np.asarray(one)).to(image.device, image.dtype)
            for one in outputs
            if isinstance(one, np.ndarray) and one.dtype.kind == "f"
        ]


TYPES: Mapping[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


def _torchscript(path: Path) -> nn.Module:
    module: nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    return module


def _exported(path: Path) -> nn.Module:
    module = torch.export.load(path).module()
    # What dropout or a normalisation does was settled by the export; asked for a mode, the module would raise.
    module.train = lambda mode=True: module  # type: ignore[method-assign]
    module.eval = lambda: module  # type: ignore[method-assign]
    return module


KINDS: Mapping[str, str] = {
    ".onnx": "ONNX",
    ".pt": "TorchScript",
    ".pt2": "torch.export",
    ".torchscript": "TorchScript",
    ".ts": "TorchScript",
}
LOADERS: Mapping[str, Callable[[Path], nn.Module]] = {
    ".onnx": Onnx,
    ".pt": _torchscript,
    ".pt2": _exported,
    ".torchscript": _torchscript,
    ".ts": _torchscript,
}
