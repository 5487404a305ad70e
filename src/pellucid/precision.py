"""Which precision a device is fast with."""

import torch

__all__ = ["fast_bfloat16"]


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 on the device: CPUs with AVX512-BF16 or AMX, and recent NVIDIA GPUs."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False
