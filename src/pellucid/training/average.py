"""The exponential moving average of weights, which scores better than the last step's and is what ships."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["Average"]


class Average:
    """An exponential moving average of the trainable parameters of a module.

    The decay grows from 0.1 towards `decay` over the first steps, so that the average forgets the initial weights
    (decay at step n is at most (1 + n) / (10 + n), as TensorFlow's moving average does).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._live = {name: value for name, value in module.named_parameters() if value.requires_grad}
        self._shadow = {name: value.detach().clone() for name, value in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Takes the module's current weights in."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, value in self._live.items():  # the module may have been moved to another device since
            self._shadow[name] = self._shadow[name].to(value.device)
        torch._foreach_lerp_(list(self._shadow.values()), [v.detach() for v in self._live.values()], 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the module has the averaged weights."""
        kept = {name: value.detach().clone() for name, value in self._live.items()}
        self._copy(self._shadow)
        try:
            yield
        finally:
            self._copy(kept)

    def take(self) -> None:
        """Gives the module the averaged weights for good."""
        self._copy(self._shadow)

    def state(self) -> dict[str, Tensor | int]:
        """What a checkpoint must hold."""
        return {"updates": self.updates, **self._shadow}

    def restore(self, state: dict[str, Tensor | int]) -> None:
        """Takes back what `state` gave."""
        self.updates = int(state["updates"])
        for name, value in self._shadow.items():
            saved = state[name]
            assert isinstance(saved, Tensor)
            value.copy_(saved)

    @torch.no_grad()
    def _copy(self, source: dict[str, Tensor]) -> None:
        for name, value in self._live.items():
            value.copy_(source[name])
