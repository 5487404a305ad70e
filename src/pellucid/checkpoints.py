"""Weights files: tensors by name, read without running any code in them, and put where they belong."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import ModelError

__all__ = ["load_weights", "read_weights"]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a .pth / .pt / .ckpt read without running any code in it.

    The usual wrappings (`params_ema`, `params`, `state_dict`, `model`, a `module.` prefix) are taken off.

    Raises:
        ModelError: missing, corrupted, or more than tensors in it.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such weights file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            weights: Any = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # every reader fails in its own way; torch's own words give unsafe advice
        raise ModelError(f"{path}: not a readable weights file, or holds more than tensors") from error
    for key in ("params_ema", "params", "state_dict", "model"):
        if isinstance(weights, Mapping) and isinstance(weights.get(key), Mapping):
            weights = weights[key]
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ModelError(f"{path}: holds no dictionary of tensors")
    if weights and all(key.startswith("module.") for key in weights):
        return {key.removeprefix("module."): value for key, value in weights.items()}
    return dict(weights)


def load_weights(module: nn.Module, path: str | Path) -> dict[str, Tensor]:
    """Fills a module with the tensors of a weights file, and returns them; every tensor must find its place.

    Raises:
        ModelError: the file cannot be read, or does not fit; names the first keys that differ.
    """
    weights = read_weights(path)
    own = module.state_dict()
    missing, surplus = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    misshapen = [
        f"{key} is {tuple(weights[key].shape)}, expected {tuple(own[key].shape)}"
        for key in sorted(own.keys() & weights.keys())
        if own[key].shape != weights[key].shape
    ]
    problems = [
        f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for kind, keys in (("missing", missing), ("unknown", surplus), ("of another shape", misshapen))
        if keys
    ]
    if problems:
        raise ModelError(f"{path}: does not fit {type(module).__name__}: {'; '.join(problems)}")
    module.load_state_dict(weights)
    return weights
