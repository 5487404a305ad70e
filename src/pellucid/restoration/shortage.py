"""When memory runs out while a picture is restored: smaller tiles, and the CPU last.

What was restored by then stays: the tile that did not fit is cut as a picture of its own, and so are those after it.
"""

import gc
import warnings
from collections.abc import Callable
from typing import TypeVar

import torch

from pellucid.errors import ModelError
from pellucid.restoration.options import SMALLEST_TILE

__all__ = ["Working", "attempted", "collect", "is_shortage"]

Result = TypeVar("Result")

_WORDS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "alloc_failed",
    "bad_alloc",
    "failed to allocate",
)
"""In what torch says where it has no kind of error for it, small letters."""


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory has run out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)


def attempted(function: Callable[[], Result]) -> Result | None:
    """What a function gives; None where memory has run out, all that it held being free again."""
    try:
        return function()
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
    collect()
    return None


def collect() -> None:
    """Frees what nobody holds any more, on accelerators, too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Working:
    """Where tiles are restored, and how large they may be: less of both, each time that memory runs out.

    Args:
        device: where.
        multiple: of the network.
        last: called where not even the smallest tile fits; the device to go on with, or None.
    """

    def __init__(
        self, device: torch.device, multiple: int = 1, last: Callable[[], torch.device | None] = lambda: None
    ) -> None:
        self.device, self.multiple, self._last = device, multiple, last
        self.most: int | None = None
        """Pixels of the longer side of a tile; None as long as none was too large."""

    def may_take(self, height: int, width: int) -> bool:
        """Whether a tile of that size is to be tried."""
        return self.most is None or max(height, width) <= self.most

    def go_on_with_less(self, height: int, width: int) -> None:
        """Memory has run out for a tile of that size.

        Raises:
            ModelError: there is no less.
        """
        collect()
        side, smallest = max(height, width), max(SMALLEST_TILE, 2 * self.multiple)
        if side > smallest:
            self.most = max(smallest, side // 2)
            warnings.warn(f"memory ran out for tiles of {side} pixels; going on with {self.most}", stacklevel=3)
            return
        device = self._last()
        if device is None:
            raise ModelError(f"memory ran out even for tiles of {side} pixels; close other programs")
        warnings.warn("memory ran out for the smallest tiles; going on with the CPU", stacklevel=3)
        self.device, self.most = device, None
