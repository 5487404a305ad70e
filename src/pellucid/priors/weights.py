"""Reading weights of priors from files, and saying clearly what is wrong with them."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pellucid.errors import ModelError

__all__ = ["fill", "read_weights"]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file, or of a PyTorch file that holds nothing but tensors, on the CPU.

    No code of the file is run. Raises ModelError, naming the file, when it is missing, truncated or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such file of weights")
    try:
        if path.suffix == ".safetensors":
            tensors: object = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (safetensors.SafetensorError, pickle.UnpicklingError, OSError, RuntimeError, ValueError, EOFError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelError(f"{path}: not a readable file of weights ({reason})") from error
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise ModelError(f"{path}: expected a table of names and tensors, found something else")
    return dict(tensors)


def fill(module: nn.Module, path: str | Path, what: str) -> dict[str, Tensor]:
    """Fills `module` with the weights of a file, every key and every shape, and returns them.

    `what` names the network in messages. Raises ModelError, naming the file and the first key that does not fit.
    """
    tensors = read_weights(path)
    own = module.state_dict()
    wrong = [f"{key} is missing" for key in own if key not in tensors]
    wrong += [f"{key} is not known" for key in tensors if key not in own]
    wrong += [
        f"{key} is {tuple(tensors[key].shape)}, expected {tuple(value.shape)}"
        for key, value in own.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ModelError(f"{path}: these are not the weights of {what}: {wrong[0]}{more}")
    module.load_state_dict(tensors)
    return tensors
