"""Devices by name, what makes one fast, and how fast: bfloat16 where that is quicker, images whose channels lie side by
side, operations a second.

Which precision is quicker a CPU does not say: one with AVX512-BF16 but without AMX may take twice as long in bfloat16.
So it is measured once, in some hundredths of a second, and the answer is kept in the platform's cache folder.
"""

import json
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from torch.nn import functional as F

from pellucid.errors import SettingsError
from pellucid.files import cache_folder, written_whole

__all__ = [
    "channels_last",
    "convolution_speed",
    "fast_bfloat16",
    "find_device",
    "kept_answer",
    "one_thread",
    "processor",
    "quicker_in_bfloat16",
]

Module = TypeVar("Module", bound=nn.Module)
Answer = TypeVar("Answer", bool, float)
Seconds = Callable[[torch.dtype, int, int], float]
"""What one convolution takes: its precision, its channels, the side of its maps."""

CONVOLUTIONS = ((32, 96), (64, 48), (128, 24))
"""Channels and side of the maps: the scales of a U-Net, each with as many operations as the others."""
ROUNDS = 7
"""Both precisions in turn, so often: on a busy machine one of them is undisturbed."""
PEAK, PEAK_ROUNDS = (64, 128), 9
"""Channels and side of the maps whose convolution is as quick as any, and how often it is tried."""
ADVANTAGE = 1.15
"""bfloat16 keeps 8 bits of a value; it must be so many times as quick to be taken."""


def channels_last(module: Module) -> Module:
    """The module with its kernels laid out for convolutions over channels-last images; other parameters stay as they
    are.

    `module.to(memory_format=torch.channels_last)` fails where a parameter has five dimensions, as prompts may have.
    """
    for value in (*module.parameters(), *module.buffers()):
        if value.ndim == 4:
            value.data = value.data.contiguous(memory_format=torch.channels_last)
    return module


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 on the device: on recent NVIDIA GPUs, and on CPUs where it proves to
    be."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return _proves_quicker()
    return False


@cache
def _proves_quicker() -> bool:
    key = f"{processor()}; torch {torch.__version__}"
    return kept_answer(lambda: quicker_in_bfloat16(_convolution_seconds), key, cache_folder() / "bfloat16.json", bool)


def quicker_in_bfloat16(seconds: Seconds) -> bool:
    """Whether the CONVOLUTIONS together take less time in bfloat16 than in float32, by ADVANTAGE at least.

    Of ROUNDS interleaved repetitions the shortest of each counts, since whatever else runs can only lengthen one.

    Args:
        seconds: what takes the time.
    """
    shortest: dict[tuple[torch.dtype, int, int], float] = {}
    for _ in range(ROUNDS):
        for channels, side in CONVOLUTIONS:
            for dtype in (torch.float32, torch.bfloat16):
                taken = seconds(dtype, channels, side)
                shortest[dtype, channels, side] = min(taken, shortest.get((dtype, channels, side), taken))
    total = {
        dtype: sum(shortest[dtype, channels, side] for channels, side in CONVOLUTIONS)
        for dtype in (torch.float32, torch.bfloat16)
    }
    return total[torch.float32] > ADVANTAGE * total[torch.bfloat16]


@torch.no_grad()
def _convolution_seconds(dtype: torch.dtype, channels: int, side: int) -> float:
    """Of a 3x3 convolution as networks of ours have them, the second time that it runs.

    In one thread: on a busy machine several would await each other for longer than the convolution takes.
    """
    with one_thread():
        maps, kernels = (
            torch.full(shape, 0.5, dtype=dtype).contiguous(memory_format=torch.channels_last)
            for shape in ((1, channels, side, side), (channels, channels, 3, 3))
        )
        F.conv2d(maps, kernels, padding=1)
        started = time.perf_counter()
        F.conv2d(maps, kernels, padding=1)
        return time.perf_counter() - started


@torch.no_grad()
def convolution_speed(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second, additions and multiplications, of a 3x3 convolution of a size that suits most processors.

    In as many threads as torch has; of PEAK_ROUNDS repetitions the shortest counts.
    """
    channels, side = PEAK
    maps, kernels = (
        torch.full(shape, 0.5, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
        for shape in ((1, channels, side, side), (channels, channels, 3, 3))
    )
    seconds = []
    for _ in range(PEAK_ROUNDS):
        started = time.perf_counter()
        float(F.conv2d(maps, kernels, padding=1)[0, 0, 0, 0])  # read, so that a GPU has done it
        seconds.append(time.perf_counter() - started)
    return 2 * channels**2 * 9 * side**2 / min(seconds)


def kept_answer(find: Callable[[], Answer], key: str, file: Path, kind: type[Answer]) -> Answer:
    """The answer that a JSON file keeps under a key; where it keeps none of that kind, one that is found, and kept from
    then on.

    A file that cannot be read counts as empty, and one that cannot be written is left.
    """
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        kept = {}
    if not isinstance(kept, dict):
        kept = {}
    known = kept.get(key)
    if isinstance(known, kind):
        return known
    answer = find()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as partial:
            partial.write_text(json.dumps({**kept, key: answer}, indent=1), encoding="utf-8")
    except OSError:
        pass
    return answer


class _Threads:
    """How many callers want one thread now, and how many threads there were before the first of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.callers = self.before = 0


_THREADS = _Threads()


@contextmanager
def one_thread() -> Iterator[None]:
    """While it lasts torch computes in the calling thread alone.

    torch knows one number of threads for the process: whoever computes beside has one, too. It comes back with the last
    of those who asked.
    """
    with _THREADS.lock:
        if not _THREADS.callers:
            _THREADS.before = torch.get_num_threads()
            torch.set_num_threads(1)
        _THREADS.callers += 1
    try:
        yield
    finally:
        with _THREADS.lock:
            _THREADS.callers -= 1
            if not _THREADS.callers:
                torch.set_num_threads(_THREADS.before)


def processor() -> str:
    """The model of this machine's CPU, as far as the system tells it, and the vector instructions that torch uses."""
    told = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
    # Virtual machines shorten the name; family and model tell their processors apart nevertheless.
    parts = [f"{name} {fields[name]}" for name in ("cpu family", "model", "stepping") if name in fields]
    return " ".join([fields.get("model name", told), *parts, torch.backends.cpu.get_cpu_capability()])


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
