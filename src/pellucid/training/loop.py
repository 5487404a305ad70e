"""The training loop, as a generator: each step is handed to the caller, who shows, logs, validates and stops.

    for step in train(recipe, folder):
        print(step.number, step.loss)

Training is a generator rather than a Trainer class, so there are no callbacks to learn: what should happen between two
steps stands in the caller's own loop.
"""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pellucid.devices import fast_bfloat16
from pellucid.errors import MissingExtraError, ModelError
from pellucid.training.checkpoint import save_checkpoint
from pellucid.training.run import Batch, Run

__all__ = ["Step", "optimise", "precision_of", "to_training"]


@dataclass(frozen=True)
class Step:
    """One step of training.

    Attributes:
        number: steps done so far, this one included.
        loss: the loss of this step's batch.
        learning_rate: the rate it was taken with.
        progress: the part of the training that is done, 0 to 1.
        seconds: time spent in training so far, resumed runs included.
        last: whether the training ends here.
        waited: seconds in which this step waited for its batches to be drawn.
        operations: floating-point operations of a step's convolutions and products of matrices, forwards and backwards,
            as the first step since the start had them.
    """

    number: int
    loss: float
    learning_rate: float
    progress: float
    seconds: float
    last: bool
    waited: float = 0.0
    operations: float = 0.0


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the floating-point operations of convolutions and products of matrices."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operator and adds what it takes."""
        from torch.utils.flop_counter import flop_registry

        result = func(*args, **(kwargs or {}))
        counted = flop_registry.get(getattr(func, "overloadpacket", None))
        if counted is not None:
            self.total += counted(*args, **(kwargs or {}), out_val=result)
        return result


def optimise(run: Run) -> Iterator[Step]:
    """Takes steps until the run's end, yielding each.

    Saves the checkpoint every `checkpoint_minutes` and at the end. Under torchrun every process takes its own batches
    and the gradients are averaged (accelerate's DDP).

    Raises:
        MissingExtraError: accelerate is not installed.
        ModelError: the loss is not finite ten times in a row.
    """
    try:
        from accelerate import Accelerator
        from accelerate.utils import broadcast
    except ImportError:
        raise MissingExtraError("accelerate", "train") from None
    settings = run.settings
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    module, optimizer = accelerator.prepare(run.module, run.optimizer)
    started = time.monotonic() - run.seconds
    saved = time.monotonic()
    bad = 0
    upcoming = _upcoming(run, accelerator.process_index)
    operations: float | None = None
    to_training(module)
    while run.progress() < 1:
        rate = _learning_rate(run)
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("share", 1.0)  # checkpoints of before had one group, and no share
        buffers = [buffer.clone() for buffer in run.module.buffers()]
        optimizer.zero_grad()
        if operations is None:
            with _Counting() as counting:
                loss, waited = _backward(run, module, accelerator, upcoming)
            operations = counting.total
        else:
            loss, waited = _backward(run, module, accelerator, upcoming)
        norm = accelerator.clip_grad_norm_(run.trainable, settings.gradient_clip)
        # A step that is not finite would poison weights and average for good: it is skipped.
        bad = 0 if math.isfinite(float(norm)) else bad + 1
        if bad >= 10:
            raise ModelError(
                f"training diverged at step {run.step}: ten gradients in a row are not finite; lower the rate"
            )
        if bad:
            for buffer, before in zip(run.module.buffers(), buffers, strict=True):
                buffer.copy_(before)
        else:
            optimizer.step()
            run.average.update()
        run.step += 1
        run.seconds = time.monotonic() - started
        if accelerator.num_processes > 1:  # all must agree on when the time is up, or the others would wait for ever
            clock = torch.tensor([run.seconds], device=accelerator.device)
            run.seconds = float(broadcast(clock)[0])
        progress = run.progress()
        if accelerator.is_main_process and (
            progress >= 1 or time.monotonic() - saved > 60 * settings.checkpoint_minutes
        ):
            save_checkpoint(run)
            saved = time.monotonic()
        paused = time.monotonic()
        yield Step(run.step, float(loss), rate, progress, run.seconds, progress >= 1, waited, operations)
        started += time.monotonic() - paused  # the caller's own work is not training time


def _upcoming(run: Run, rank: int) -> Iterator[Batch]:
    """The batches of a process from the run's next step on; each is drawn while the one before it is learnt from."""
    numbers = count(run.step * run.settings.accumulate)
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        drawn = pool.submit(run.batches.at, next(numbers), rank=rank)
        while True:
            batch = drawn.result()
            drawn = pool.submit(run.batches.at, next(numbers), rank=rank)
            yield batch


def precision_of(run: Run, device: torch.device) -> torch.dtype:
    """What the steps of a run compute in on a device, where that is safe."""
    wanted = run.settings.precision
    bfloat16 = fast_bfloat16(device) if wanted == "auto" else wanted == "bfloat16"
    return torch.bfloat16 if bfloat16 else torch.float32


def _backward(run: Run, module: nn.Module, accelerator: Any, upcoming: Iterator[Batch]) -> tuple[Tensor, float]:
    """Adds the gradients of the batches of one step up; their mean loss, and the seconds that they were waited for."""
    total, waited = torch.zeros((), device=accelerator.device), 0.0
    batches, bfloat16 = run.settings.accumulate, precision_of(run, accelerator.device) == torch.bfloat16
    for _ in range(batches):
        started = time.monotonic()
        batch = next(upcoming)
        waited += time.monotonic() - started
        batch = batch.to(accelerator.device)
        # Autocast is ours: accelerate fixes its precision for the whole process, and a second run may want another.
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=bfloat16):
            loss = run.objective(module, batch) / batches
        accelerator.backward(loss)
        total += loss.detach()
    return total, waited


def to_training(module: nn.Module) -> None:
    """Sets the mode of training, but of evaluation in parts of which nothing learns.

    So a normalisation that is frozen keeps its statistics.
    """
    module.train()
    for part in module.modules():
        parameters = list(part.parameters())
        if parameters and not any(value.requires_grad for value in parameters):
            part.eval()


def _learning_rate(run: Run) -> float:
    """Linear warm-up, then a half cosine down to the final rate."""
    settings = run.settings
    warm = min(1.0, (run.step + 1) / max(1, settings.warmup_steps))
    cosine = (1 + math.cos(math.pi * run.progress())) / 2
    return warm * (settings.final_learning_rate + (settings.learning_rate - settings.final_learning_rate) * cosine)
