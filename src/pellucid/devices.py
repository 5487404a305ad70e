"""Devices by name, and what makes one fast: bfloat16 where it has it, images whose channels lie side by side in memory."""

from typing import TypeVar

import torch
from torch import nn

from pellucid.errors import SettingsError

__all__ = ["channels_last", "fast_bfloat16", "find_device"]

Module = TypeVar("Module", bound=nn.Module)


def channels_last(module: Module) -> Module:
    """The module with its kernels laid out for convolutions over channels-last images; other parameters stay as they are.

    `module.to(memory_format=torch.channels_last)` fails where a parameter has five dimensions, as prompts may have.
    """
    for value in (*module.parameters(), *module.buffers()):
        if value.ndim == 4:
            value.data = value.data.contiguous(memory_format=torch.channels_last)
    return module


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 on the device: CPUs with AVX512-BF16 or AMX, and recent NVIDIA GPUs."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False


def find_device(name: str) -> torch.device:
    """The device called `name`; "auto" takes a GPU where there is one.

    Raises:
        SettingsError: it cannot be used here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingsError(f"device {name!r} cannot be used here ({str(error).splitlines()[0]})") from error
    return device
