"""Where a point of a picture lies when the picture is turned upright."""

__all__ = ["turned_point"]


def turned_point(x: float, y: float, orientation: int, width: float = 1.0, height: float = 1.0) -> tuple[float, float]:
    """The place in the upright picture of the point (x, y), across and down, of a `width` x `height` picture.

    `orientation` is that of EXIF, 1 to 8: 6 means that the picture has to be turned clockwise by a quarter.
    """
    if orientation in (2, 3, 7, 8):
        x = width - x
    if orientation in (3, 4, 6, 7):
        y = height - y
    return (y, x) if orientation > 4 else (x, y)
