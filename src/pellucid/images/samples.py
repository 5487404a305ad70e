"""The samples of a photograph as a file holds them, band by band."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.images.photograph import Beyond, Photograph
from pellucid.images.values import array_of_planes, light_of
from pellucid.scratch import bands, on_disk, release, total

__all__ = ["Samples"]


@dataclass(frozen=True)
class Samples:
    """The samples of a photograph, (H, W, C): grey or RGB, alpha if there is one, other planes.

    A part of the rows is `samples[top:bottom]`, an array of uint8, uint16 or float32.
    """

    photograph: Photograph
    bits: int
    """8, 16, or 32 for float."""
    has_alpha: bool
    """Whether alpha is one of the channels; else the picture lies over white."""
    has_planes: bool
    """Whether other planes are among the channels."""

    @property
    def channels(self) -> int:
        """Of grey or RGB, and alpha."""
        return (1 if self.photograph.grey else 3) + self.has_alpha

    @property
    def extra(self) -> int:
        """Channels beside these."""
        planes = self.photograph.planes
        return planes.shape[1] if self.has_planes and planes is not None else 0

    @property
    def meanings(self) -> tuple[int, ...]:
        """What the channels beside the colours are, as TIFF says it: those of the file it is from, in their order."""
        usual = ((2,) if self.has_alpha else ()) + (0,) * self.extra
        own = self.photograph.coding.extra
        fits = len(own) == len(usual) and self.has_alpha == any(meaning in (1, 2) for meaning in own)
        return own if fits and self.has_planes and self.photograph.format == "tiff" else usual

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width = self.photograph.pixels.shape[2:]
        return height, width, self.channels + self.extra

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of the samples."""
        return np.dtype({8: np.uint8, 16: np.uint16, 32: np.float32}[self.bits])

    @property
    def nbytes(self) -> int:
        """Of all samples."""
        height, width, count = self.shape
        return height * width * count * self.dtype.itemsize

    @property
    def streamed(self) -> bool:
        """Whether the photograph lies on the disk, so that no more than a band of it should be in memory."""
        return on_disk(self.photograph.pixels)

    @cached_property
    def whole(self) -> NDArray[np.generic]:
        """All of them."""
        return self[0 : self.shape[0]]

    def __getitem__(self, rows: slice) -> NDArray[np.generic]:
        photograph, alpha = self.photograph, self.photograph.alpha
        pixels = photograph.pixels[0, :, rows].detach().float().cpu()
        if photograph.linear:
            pixels = light_of(pixels.clamp(0, 1))
        planes = [pixels[0] if _equal(pixels) else pixels.mean(0)] if photograph.grey else list(pixels)
        colours = planes
        if alpha is not None and self.has_alpha:
            planes = [*planes, alpha[0, 0, rows]]
        elif alpha is not None:
            planes = [torch.lerp(torch.ones_like(plane), plane, alpha[0, 0, rows].to(plane)) for plane in planes]
        if self.extra:
            assert photograph.planes is not None
            planes = [*planes, *photograph.planes[0, :, rows]]
        array = array_of_planes(planes, self.bits)
        if photograph.beyond is not None and (alpha is None or self.has_alpha):
            self._add(photograph.beyond, array, colours, rows)
        if self.has_planes and self.has_alpha:
            self._arrange(array, len(colours))
        release(*(one for one in (photograph.pixels, alpha, photograph.planes) if one is not None))
        return array

    def _add(self, beyond: Beyond, array: NDArray[np.generic], colours: list[Tensor], rows: slice) -> None:
        """Adds what lies beyond the pixels to the samples of the colours; to integers only what is a number."""
        places, count = beyond.places[rows], len(colours)
        begin, end = self._begins[rows.start], self._begins[rows.stop]
        for channel, values in enumerate(beyond.values[:count, begin:end].expand(count, -1)):
            plane = colours[channel][places]
            whole = plane + values if self.bits == 32 else torch.where(values.isfinite(), plane + values, plane)
            array[places.numpy(), channel] = array_of_planes([whole[None]], self.bits)[0, :, 0]
        release(beyond.places, beyond.values)

    def _arrange(self, array: NDArray[Any], colours: int) -> None:
        """Puts the channels beside the colours, of which alpha is the first, in the order of their meanings, and
        multiplies the colours by the alpha where they were."""
        place = next(index for index, meaning in enumerate(self.meanings) if meaning in (1, 2))
        if self.meanings[place] == 1:
            most = 1.0 if array.dtype.kind == "f" else float(np.iinfo(array.dtype).max)
            laid = array[..., :colours] * (array[..., colours, None] / most)
            array[..., :colours] = laid if array.dtype.kind == "f" else np.rint(laid)
        if place:
            others = iter(range(colours + 1, array.shape[2]))
            order = [colours if index == place else next(others) for index in range(len(self.meanings))]
            array[..., colours:] = array[..., order]

    @cached_property
    def _begins(self) -> list[int]:
        """Which of the values beyond the pixels is the first of each row; at last their number."""
        assert self.photograph.beyond is not None
        places = self.photograph.beyond.places
        counts = torch.cat([places[rows].sum(1) for rows in bands(places)])
        return [0, *counts.cumsum(0).tolist()]

    def is_clear(self) -> bool:
        """Whether anything lies under an alpha below 1."""
        alpha = self.photograph.alpha
        return alpha is not None and bool(total(lambda part: (part < 1).count_nonzero(), alpha))


def _equal(pixels: Tensor) -> bool:
    """Whether the channels (3, H, W) are the same: the mean of three would round."""
    return torch.equal(pixels[0], pixels[1]) and torch.equal(pixels[0], pixels[2])
