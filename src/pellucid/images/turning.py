"""Turning a picture upright, and where a point of it lies then.

An orientation is that of EXIF, 1 to 8: 6 means that the picture has to be turned clockwise by a quarter.
"""

from torch import Tensor

from pellucid.scratch import on_disk, release, zeros_beside

__all__ = ["turned_planes", "turned_point"]

BLOCK = 512
"""Pixels of a side of what is turned at once, on the disk."""


def turned_planes(planes: Tensor, orientation: int) -> Tensor:
    """Planes (1, C, H, W) turned upright; where they lay on the disk, there."""
    if orientation == 1:
        return planes
    if not on_disk(planes):
        return _turned(planes, orientation).contiguous()
    count, (height, width) = planes.shape[1], planes.shape[2:]
    turned = zeros_beside(planes, 1, count, *((width, height) if orientation > 4 else (height, width)))
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            block = _turned(planes[..., top : top + BLOCK, left : left + BLOCK], orientation)
            bottom, right = min(top + BLOCK, height), min(left + BLOCK, width)
            corners = [turned_point(x, y, orientation, width, height) for x, y in ((left, top), (right, bottom))]
            across, down = (int(min(ends)) for ends in zip(*corners, strict=True))
            turned[..., down : down + block.shape[2], across : across + block.shape[3]] = block
            release(planes, turned)
    return turned


def _turned(planes: Tensor, orientation: int) -> Tensor:
    planes = planes.mT if orientation > 4 else planes
    axes = {2: [-1], 3: [-2, -1], 4: [-2], 6: [-1], 7: [-2, -1], 8: [-2]}.get(orientation, [])
    return planes.flip(axes)


def turned_point(x: float, y: float, orientation: int, width: float = 1.0, height: float = 1.0) -> tuple[float, float]:
    """The place in the upright picture of the point (x, y), across and down, of a `width` x `height` picture."""
    if orientation in (2, 3, 7, 8):
        x = width - x
    if orientation in (3, 4, 6, 7):
        y = height - y
    return (y, x) if orientation > 4 else (x, y)
