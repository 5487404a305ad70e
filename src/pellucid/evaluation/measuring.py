"""What a restoration costs: seconds, and the peak of memory."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["Cost", "measured"]

_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")

Cost = tuple[float | None, int | None]
"""Seconds and bytes, each None where it is not known."""


def measured(restore: Callable[[Tensor], Tensor], degraded: Tensor, *, on_gpu: bool = False) -> tuple[Tensor, Cost]:
    """What `restore` makes of `degraded`, and what that cost.

    The peak is that of the GPU's memory where the work is done on one, else of the whole process, as Linux counts it
    (torch and the weights included); None elsewhere.
    """
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    else:
        _forget_peak()
    started = time.perf_counter()
    restored = restore(degraded)
    if on_gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    return restored, (seconds, torch.cuda.max_memory_allocated() if on_gpu else _peak())


def _forget_peak() -> None:
    try:
        _RESET.write_text("5")
    except OSError:  # not Linux, or not allowed: the peak is then that of the whole run so far
        return


def _peak() -> int | None:
    try:
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024
