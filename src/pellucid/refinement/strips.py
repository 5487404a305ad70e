"""Walking over an image in strips of rows, so that a refinement whose statistics are global still runs in bounded memory.

R has statistics of the whole image in seven places (two instance normalisations, four channel attentions, one pooling).
Cutting the image in tiles would give each tile statistics of its own, and seams. Here every such statistic is first summed
over all strips, and then every strip is computed with it: the result is that of the whole image, to rounding.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Strips"]


@dataclass(frozen=True)
class Strips:
    """A division of `height` rows into strips of at most `rows`; None leaves the image whole.

    The maps given to its methods may be finer than the rows counted here, by any whole factor (4 for the image itself).
    """

    height: int
    rows: int | None = None

    @property
    def whole(self) -> bool:
        """Whether one strip holds all."""
        return self.rows is None or self.rows >= self.height

    def map(self, function: Callable[..., Tensor], *maps: Tensor, halo: int) -> Tensor:
        """The function of whole maps, computed strip by strip.

        Args:
            function: maps (B, C, h, w) to one map; each of its rows may depend on at most `halo` rows above and below.
            maps: what it is applied to.
            halo: that reach, in rows of this division.
        """
        if self.whole:
            return function(*maps)
        result: Tensor | None = None
        for part, top, bottom in self._parts(function, maps, halo):
            factor = part.shape[2] // (bottom - top)
            if result is None:
                shape = (*part.shape[:2], self.height * factor, part.shape[3])
                result = torch.empty(shape, dtype=part.dtype, device=part.device)
            result[:, :, top * factor : bottom * factor] = part
        assert result is not None
        return result

    def total(
        self, function: Callable[..., Tensor], reduce: Callable[[Tensor], Tensor], *maps: Tensor, halo: int
    ) -> Tensor:
        """The sum over all rows of `reduce(function(maps))`, where `reduce` sums over the rows of a map."""
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
    ) -> Iterator[tuple[Tensor, int, int]]:
        assert self.rows is not None
        for top in range(0, self.height, self.rows):
            bottom = min(self.height, top + self.rows)
            above, below = min(halo, top), min(halo, self.height - bottom)
            cut = []
            for whole in maps:
                factor = whole.shape[2] // self.height
                cut.append(whole[:, :, (top - above) * factor : (bottom + below) * factor])
            part = function(*cut)
            factor = part.shape[2] // (above + bottom - top + below)
            yield part[:, :, above * factor : part.shape[2] - below * factor], top, bottom
