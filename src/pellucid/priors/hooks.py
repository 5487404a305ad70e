"""What the layers of a module take and give while it runs, left by hooks where only the caller's own thread sees it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

__all__ = ["first_tensor", "gathered", "watch_input", "watch_output"]

_SEEN: ContextVar[list[tuple[nn.Module, Tensor]] | None] = ContextVar("seen", default=None)
"""Where hooks leave what they see. A context variable, so that threads sharing a prior see only their own images."""


@contextmanager
def gathered() -> Iterator[list[tuple[nn.Module, Tensor]]]:
    """The watched layers, in the order in which they ran inside the `with`, and the tensor each took or gave."""
    seen: list[tuple[nn.Module, Tensor]] = []
    token = _SEEN.set(seen)
    try:
        yield seen
    finally:
        _SEEN.reset(token)


def watch_input(layer: nn.Module) -> RemovableHandle:
    """Lets `gathered` see the first tensor that a layer takes."""
    return layer.register_forward_pre_hook(_see_input)


def watch_output(layer: nn.Module) -> RemovableHandle:
    """Lets `gathered` see the first tensor that a layer gives."""
    return layer.register_forward_hook(_see_output)


def _see_input(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
    seen = _SEEN.get()
    if seen is not None:
        seen.append((layer, inputs[0]))


def _see_output(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
    seen, tensor = _SEEN.get(), first_tensor(output)
    if seen is not None and tensor is not None:
        # A copy: the next layer may work in place.
        seen.append((layer, tensor.detach().clone()))


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of what a layer returns: a tensor, or nested tuples, lists and dictionaries of them."""
    if isinstance(output, Tensor):
        return output
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    return next((tensor for value in values if (tensor := first_tensor(value)) is not None), None)
