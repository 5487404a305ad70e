"""Walking over an image in windows, so that a refinement whose statistics are global still runs in bounded memory.

R has statistics of the whole image in seven places (two instance normalisations, four channel attentions, one pooling).
Cutting the image in independent tiles would give each tile statistics of its own, and seams. Here every such statistic
is first summed over all windows, and then every window is computed with it: the result is that of the whole image, to
rounding.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.scratch import on_disk, release, zeros_beside

__all__ = ["Windows"]


@dataclass(frozen=True)
class Windows:
    """A division of `height` x `width` places into windows of at most `side` x `side`; None leaves the image whole.

    The maps given to its methods may be finer than the places counted here, by any whole factor (4 for the image
    itself). Maps that lie on the disk go through the memory of `device` window by window, and what is made of them lies
    on the disk again.
    """

    height: int
    width: int
    side: int | None = None
    device: torch.device | None = None

    @property
    def whole(self) -> bool:
        """Whether one window holds all."""
        return self.side is None or self.side >= max(self.height, self.width)

    def map(self, function: Callable[..., Tensor], *maps: Tensor, halo: int) -> Tensor:
        """The function of whole maps, computed window by window.

        Args:
            function: maps (B, C, h, w) to one map; each of its places may depend on at most `halo` places around it.
            maps: what it is applied to.
            halo: that reach, in places of this division.
        """
        if self.whole:
            return function(*maps)
        result: Tensor | None = None
        for part, rows, columns in self._parts(function, maps, halo):
            factor = part.shape[2] // (rows.stop - rows.start)
            if result is None:
                shape = (*part.shape[:2], self.height * factor, self.width * factor)
                beside = next((one for one in maps if on_disk(one)), part)
                result = zeros_beside(beside, *shape, dtype=part.dtype)
            result[:, :, _scaled(rows, factor), _scaled(columns, factor)] = part
            release(result)
        assert result is not None
        return result

    def total(
        self, function: Callable[..., Tensor], reduce: Callable[[Tensor], Tensor], *maps: Tensor, halo: int
    ) -> Tensor:
        """The sum over all places of `reduce(function(maps))`, where `reduce` sums over the places of a map."""
        if self.whole:
            return reduce(function(*maps))
        return torch.stack([reduce(part) for part, _, _ in self._parts(function, maps, halo)]).sum(0)

    def moments(self, function: Callable[..., Tensor], *maps: Tensor, halo: int) -> tuple[Tensor, Tensor]:
        """Mean and variance over the pixels of `function(maps)`, each (B, C, 1, 1), float32."""
        count = 0

        def sums(part: Tensor) -> Tensor:
            nonlocal count
            count += part.shape[2] * part.shape[3]
            part = part.double()  # the difference of two large sums needs the digits
            return torch.stack([part.sum((2, 3), keepdim=True), part.square().sum((2, 3), keepdim=True)])

        first, second = self.total(function, sums, *maps, halo=halo) / count
        return first.float(), (second - first.square()).clamp_min(0).float()

    def _parts(
        self, function: Callable[..., Tensor], maps: tuple[Tensor, ...], halo: int
    ) -> Iterator[tuple[Tensor, slice, slice]]:
        """The function's result on each window, its halo cut off, and the rows and columns of the window."""
        assert self.side is not None
        for rows in _spans(self.height, self.side):
            wide_rows = _widened(rows, halo, self.height)
            for columns in _spans(self.width, self.side):
                wide_columns = _widened(columns, halo, self.width)
                cut = []
                for whole in maps:
                    factor = whole.shape[2] // self.height
                    cut.append(whole[:, :, _scaled(wide_rows, factor), _scaled(wide_columns, factor)].to(self.device))
                part = function(*cut)
                release(*maps)
                factor = part.shape[2] // (wide_rows.stop - wide_rows.start)
                inner = [
                    _scaled(slice(core.start - wide.start, core.stop - wide.start), factor)
                    for core, wide in ((rows, wide_rows), (columns, wide_columns))
                ]
                yield part[:, :, inner[0], inner[1]], rows, columns


def _spans(length: int, side: int) -> list[slice]:
    return [slice(start, min(length, start + side)) for start in range(0, length, side)]


def _widened(span: slice, halo: int, length: int) -> slice:
    return slice(max(0, span.start - halo), min(length, span.stop + halo))


def _scaled(span: slice, factor: int) -> slice:
    return slice(span.start * factor, span.stop * factor)
