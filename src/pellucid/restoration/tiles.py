"""Overlapping tiles with a smooth blend, so that a network runs on images of any size in bounded memory."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.guidance import Guidance
from pellucid.restoration.shortage import Working, is_shortage
from pellucid.scratch import release, zeros_beside

__all__ = ["Layout", "Place", "Tiles", "over_tiles"]


@dataclass(frozen=True)
class Tiles:
    """How an image is cut.

    Attributes:
        side: of a tile at most, overlap included, in pixels of the input.
        overlap: pixels that neighbouring tiles share at least.
        multiple: of the network; tiles start on multiples of it, or its strided layers would sample other places than
            those of the whole image.
    """

    side: int
    overlap: int = 48
    multiple: int = 1

    def __post_init__(self) -> None:
        if self.side < 16 or self.multiple < 1 or not 0 <= self.overlap <= self.side // 2:
            raise ValueError(f"a tile needs a side of 16 at least and an overlap of half of it at most, got {self}")
        if self.side - self.overlap < self.multiple:
            raise ValueError(f"a tile must reach beyond its overlap by a multiple of the network's, got {self}")

    @classmethod
    def of_side(cls, side: int, multiple: int) -> "Tiles":
        """Tiles of about `side` with the usual overlap, enlarged where the network's multiple asks for it."""
        side = max(side, 2 * multiple)
        return cls(side, min(cls.overlap, side // 4), multiple)


@dataclass(frozen=True)
class Place:
    """Where a tile lies in an image, in pixels: first row and column, and one beyond the last ones."""

    top: int
    left: int
    bottom: int
    right: int

    def of(self, image: Tensor, factor: int = 1) -> Tensor:
        """The tile of an image (B, C, H, W) that is `factor` times as fine as the one that was cut."""
        rows = slice(self.top * factor, self.bottom * factor)
        return image[:, :, rows, self.left * factor : self.right * factor]

    def meets(self, rows: slice, columns: slice) -> bool:
        """Whether any of these rows and columns are in the tile."""
        above, left = self.top < rows.stop, self.left < columns.stop
        return bool(above and left and rows.start < self.bottom and columns.start < self.right)

    def grid(self, height: int, width: int, within: Tensor | None = None) -> Tensor:
        """Top, left, bottom and right as fractions of the whole image's sides, (1, 4).

        Args:
            height: of the image that was cut.
            width: likewise.
            within: where that lies itself in a larger one, (1, 4); None: it is the whole.
        """
        own = torch.tensor([[self.top / height, self.left / width, self.bottom / height, self.right / width]])
        if within is None:
            return own
        top, left, bottom, right = within.unbind(1)
        start, size = torch.stack([top, left] * 2, 1), torch.stack([bottom - top, right - left] * 2, 1)
        return start + own.to(within) * size


class Layout:
    """The tiles of one image, and how what is made of them is joined.

    Within an overlap the weight of a tile rises like half a cosine, so that a seam has no edge; the outer quarter of
    the overlap, where a tile lacks context, does not count at all.

    Args:
        height: of the image, in pixels.
        width: likewise.
        tiles: how it is cut.
    """

    def __init__(self, height: int, width: int, tiles: Tiles) -> None:
        self.height, self.width = height, width
        self._rows, self._columns = _spans(height, tiles), _spans(width, tiles)
        self.places = [Place(top, left, bottom, right) for top, bottom in self._rows for left, right in self._columns]

    def weights(
        self, scale: int, device: torch.device, shape: Callable[[int], Tensor] | None = None
    ) -> dict[Place, tuple[Tensor, Tensor]]:
        """How much each row (h, 1) and each column (w,) of a tile counts, `scale` pixels for one of the image.

        At every place the weights of all tiles sum to one, in float32: those of a Gaussian's corners are too small for
        half precision.

        Args:
            scale: pixels for one of the image.
            device: of the weights.
            shape: of a tile's weights along a side of so many pixels, in proportion; None for the half cosine.
        """
        rows, columns = (_weights(spans, scale, device, shape) for spans in (self._rows, self._columns))
        every = ((row[:, None], column) for row in rows for column in columns)
        return dict(zip(self.places, every, strict=True))


def over_tiles(
    restore: Callable[[Tensor, Guidance], Tensor],
    image: Tensor,
    guidance: Guidance,
    tiles: Tiles,
    *,
    scale: int = 1,
    working: Working | None = None,
    wanted: tuple[slice, slice] | None = None,
) -> Tensor:
    """Runs a network over tiles and blends the seams (`Layout`).

    Args:
        restore: images (B, C, h, w), any h and w, to (B, 3, h * scale, w * scale); its guidance says where the tile
            lies, unless it is all of the image.
        image: (B, C, H, W); C is 3, but for the state of a network that samples.
        guidance: what is known of the whole image.
        tiles: how to cut it.
        scale: of the network.
        working: where tiles are restored, and what to do where memory runs out; None: where the image lies.
        wanted: rows and columns of the image; tiles beside them are left out, and stay black. None for all.

    Returns:
        (B, 3, H * scale, W * scale), float32, where the image lies.
    """
    height, width = image.shape[2:]
    working = working or Working(image.device, tiles.multiple)
    layout = Layout(height, width, tiles)
    single = len(layout.places) == 1
    result = (
        torch.empty(0)
        if single
        else zeros_beside(image, len(image), 3, height * scale, width * scale, dtype=torch.float32)
    )
    weights = layout.weights(scale, image.device)
    for place in layout.places:
        if wanted is not None and not single and not place.meets(*wanted):
            continue
        told = guidance if single else guidance.knowing(grid=place.grid(height, width, guidance.grid))
        tile, part = place.of(image), None
        if working.may_take(*tile.shape[2:]):
            try:  # inline: no frame more between a picture and its network
                part = restore(tile.to(working.device), told.to(working.device)).float()
            except (MemoryError, RuntimeError) as error:
                if not is_shortage(error):
                    raise
        if part is None:
            part = _in_parts(restore, tile, told, scale, working)
        part = part.to(image.device)
        if single:
            return part
        rows, columns = weights[place]
        place.of(result, scale).addcmul_(part * rows, columns)
        release(image, result)
    return result


def _in_parts(
    restore: Callable[[Tensor, Guidance], Tensor], tile: Tensor, guidance: Guidance, scale: int, working: Working
) -> Tensor:
    """A tile that is too large for the memory, as a picture of its own."""
    if working.may_take(*tile.shape[2:]):
        working.go_on_with_less(*tile.shape[2:])
    side = max(tile.shape[2:]) if working.most is None else working.most
    return over_tiles(
        restore, tile, guidance, Tiles.of_side(max(side, 16), working.multiple), scale=scale, working=working
    )


def _spans(length: int, tiles: Tiles) -> list[tuple[int, int]]:
    """The fewest tiles that cover `length`, of one size but for the last: no larger than their overlap asks for.

    Tiles of the full side would overlap by much more wherever `length` is not made of them, and each pixel that lies in
    four of them is computed four times.
    """
    if length <= tiles.side:
        return [(0, length)]
    longest = (tiles.side - tiles.overlap) // tiles.multiple * tiles.multiple
    count = 1 + -(-(length - tiles.side) // longest)
    step = min(longest, -(-(length - tiles.overlap) // count // tiles.multiple) * tiles.multiple)
    needed = max(step + tiles.overlap, length - (count - 1) * step)  # the last tile must reach the end
    side = min(tiles.side, -(-needed // tiles.multiple) * tiles.multiple)
    return [(start, min(length, start + side)) for start in range(0, count * step, step)]


def _weights(
    spans: list[tuple[int, int]], scale: int, device: torch.device, shape: Callable[[int], Tensor] | None
) -> list[Tensor]:
    """One weight for each pixel of each span, output pixels; at every place they sum to one."""
    weights = []
    for index, (start, end) in enumerate(spans):
        if shape is not None:
            weights.append(shape((end - start) * scale).to(device))
            continue
        weight = torch.ones((end - start) * scale, device=device)
        if index:
            weight[: (spans[index - 1][1] - start) * scale] *= _ramp((spans[index - 1][1] - start) * scale, device)
        if index + 1 < len(spans):
            weight[(spans[index + 1][0] - start) * scale :] *= _ramp((end - spans[index + 1][0]) * scale, device).flip(
                0
            )
        weights.append(weight)
    total = torch.zeros(spans[-1][1] * scale, device=device)
    for (start, end), weight in zip(spans, weights, strict=True):
        total[start * scale : end * scale] += weight
    return [weight / total[start * scale : end * scale] for (start, end), weight in zip(spans, weights, strict=True)]


def _ramp(length: int, device: torch.device) -> Tensor:
    """From 0 to 1 over an overlap: nothing in the first quarter, all in the last, half a cosine between."""
    place = (torch.arange(length, device=device) + 0.5) / max(1, length)
    ramp = (1 - torch.cos(torch.pi * ((place - 0.25) * 2).clamp(0, 1))) / 2
    return ramp.clamp_min(1e-6)  # where three tiles meet a pixel must not be left without any weight
