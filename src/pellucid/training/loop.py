"""The training loop, as a generator: each step is handed to the caller, who shows, logs, validates and stops as it likes.

    for step in train(recipe, folder):
        print(step.number, step.loss)

Training is a generator rather than a Trainer class, so there are no callbacks to learn: what should happen between two
steps stands in the caller's own loop.
"""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from pellucid.data.sources import Source
from pellucid.devices import fast_bfloat16
from pellucid.errors import DataError, MissingExtraError, ModelError, SettingsError, one_line
from pellucid.training.average import Average
from pellucid.training.settings import TrainSettings

__all__ = ["Run", "Step", "optimise", "to_training"]


class Batch(Protocol):
    """What a step learns from."""

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        ...


class Batches(Protocol):
    """Batches by their number."""

    @property
    def source(self) -> Source:
        """What they are drawn from."""
        ...

    def at(self, number: int, *, rank: int = 0) -> Batch:
        """Batch `number` of process `rank`: a pure function of both."""
        ...


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
    """

    number: int
    loss: float
    learning_rate: float
    progress: float
    seconds: float
    last: bool


@dataclass
class Run:
    """A training under way: everything that must be saved for it to resume exactly.

    Args:
        module: what is trained; only parameters that require a gradient are.
        objective: (module, batch) to the scalar loss.
        batches: batch n for process `rank`, a pure function of both.
        settings: the optimisation.
        checkpoint: the file to save to and to resume from.
    """

    module: nn.Module
    objective: Callable[[nn.Module, Any], Tensor]
    batches: Batches
    settings: TrainSettings
    checkpoint: Path
    step: int = 0
    seconds: float = 0.0
    trainable: list[nn.Parameter] = field(init=False)
    average: Average = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.trainable = [value for value in self.module.parameters() if value.requires_grad]
        if not self.trainable:
            raise SettingsError("nothing to train: every parameter is frozen")
        self.average = Average(self.module, self.settings.average)
        self.optimizer = torch.optim.AdamW(
            self.trainable, lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay, betas=(0.9, 0.99)
        )

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all.

        Raises:
            DataError: it cannot be written.
        """
        state = {
            "module": self.module.state_dict(),
            "average": self.average.state(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        partial = self.checkpoint.with_suffix(".partial")
        try:
            torch.save(state, partial)
            partial.replace(self.checkpoint)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            raise DataError(f"{self.checkpoint}: the checkpoint cannot be written ({one_line(error)})") from error

    def resume(self) -> None:
        """Goes back to the state of the checkpoint.

        Raises:
            ModelError: it is missing, damaged, or of another module.
        """
        try:
            state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            self.module.load_state_dict(state["module"])
            self.average.restore(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
            torch.set_rng_state(state["random"])
            if state["random_cuda"] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(state["random_cuda"])
        except FileNotFoundError:
            raise ModelError(f"{self.checkpoint}: no checkpoint to resume from") from None
        except Exception as error:  # torch reports damage in many ways
            raise ModelError(f"{self.checkpoint}: not a checkpoint of this recipe") from error

    def progress(self) -> float:
        """The part of the training that is done, by steps or by time, whichever is further."""
        by_steps = self.step / self.settings.steps if self.settings.steps else 0.0
        by_time = self.seconds / (60 * self.settings.minutes) if self.settings.minutes else 0.0
        return min(1.0, max(by_steps, by_time))


def optimise(run: Run) -> Iterator[Step]:
    """Takes steps until the run's end, yielding each.

    Saves the checkpoint every `checkpoint_minutes` and at the end. Under torchrun every process takes its own batches and
    the gradients are averaged (accelerate's DDP).

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
    to_training(module)
    while run.progress() < 1:
        rate = _learning_rate(run)
        for group in optimizer.param_groups:
            group["lr"] = rate
        buffers = [buffer.clone() for buffer in run.module.buffers()]
        optimizer.zero_grad()
        loss = _backward(run, module, accelerator, upcoming)
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
            run.save()
            saved = time.monotonic()
        paused = time.monotonic()
        yield Step(run.step, float(loss), rate, progress, run.seconds, progress >= 1)
        started += time.monotonic() - paused  # the caller's own work is not training time


def _upcoming(run: Run, rank: int) -> Iterator[Batch]:
    """The batches of a process from the run's next step on; each is drawn while the one before it is being learnt from."""
    numbers = count(run.step * run.settings.accumulate)
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        drawn = pool.submit(run.batches.at, next(numbers), rank=rank)
        while True:
            batch = drawn.result()
            drawn = pool.submit(run.batches.at, next(numbers), rank=rank)
            yield batch


def _backward(run: Run, module: nn.Module, accelerator: Any, upcoming: Iterator[Batch]) -> Tensor:
    """Adds the gradients of the batches of one step up, and returns their mean loss."""
    total = torch.zeros((), device=accelerator.device)
    batches, wanted = run.settings.accumulate, run.settings.precision
    bfloat16 = fast_bfloat16(accelerator.device) if wanted == "auto" else wanted == "bfloat16"
    for _ in range(batches):
        batch = next(upcoming).to(accelerator.device)
        # Autocast is ours: accelerate fixes its precision for the whole process, and a second run may want another.
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=bfloat16):
            loss = run.objective(module, batch) / batches
        accelerator.backward(loss)
        total += loss.detach()
    return total


def to_training(module: nn.Module) -> None:
    """Sets the mode. Parts of which nothing learns stay in that of evaluation: so a frozen normalisation keeps its statistics."""
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
