"""Padding: by reflection, for any size from 1 x 1. The only place where images are padded."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.scratch import bands, on_disk, release, zeros_beside

__all__ = ["pad_around", "pad_before", "pad_to", "pad_to_multiple", "transform_size"]


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """The image (..., H, W), grown until both sides divide by `multiple`; itself where they do."""
    height, width = (-(-side // multiple) * multiple for side in image.shape[-2:])
    return pad_to(image, height, width)


def pad_around(image: Tensor, margin: int) -> Tensor:
    """The image (..., H, W), grown by `margin` pixels on every side."""
    height, width = (side + 2 * margin for side in image.shape[-2:])
    return pad_to(pad_before(image, margin), height, width)


def pad_before(image: Tensor, above: int, left: int | None = None) -> Tensor:
    """The image (..., H, W), grown by so many pixels above and to the left; by as many where one number is given."""
    left = above if left is None else left
    return _grown(image, image.shape[-2] + above, image.shape[-1] + left, above, left)


def pad_to(image: Tensor, height: int, width: int) -> Tensor:
    """The image (..., H, W), grown to at least height x width; itself where it is that large.

    Unlike torch's own reflection this mirrors as often as needed, so 1 x 1 grows to any size.
    """
    return _grown(image, max(height, image.shape[-2]), max(width, image.shape[-1]), 0, 0)


def _grown(image: Tensor, height: int, width: int, above: int, left: int) -> Tensor:
    """The image at (above, left) of height x width pixels; itself where it is that large."""
    if image.shape[-2:] == (height, width):
        return image
    below, right = height - image.shape[-2] - above, width - image.shape[-1] - left
    held = not on_disk(image) and not torch.compiler.is_exporting()
    if (
        held
        and image.ndim == 4
        and image.is_floating_point()
        and max(above, below) < image.shape[-2]
        and max(left, right) < image.shape[-1]
    ):
        return F.pad(image, (left, right, above, below), mode="reflect")  # several times as fast as by places
    rows, columns = (
        _mirrored(side, length, before, image.device)
        for side, length, before in ((image.shape[-2], height, above), (image.shape[-1], width, left))
    )
    if not on_disk(image):
        image = image if len(rows) == image.shape[-2] else image.index_select(-2, rows)
        return image if len(columns) == image.shape[-1] else image.index_select(-1, columns)
    grown = zeros_beside(image, *image.shape[:-2], height, width)
    for band in bands(grown):
        grown[..., band, :] = image.index_select(-2, rows[band]).index_select(-1, columns)
        release(image)
    return grown


def _mirrored(side: int, length: int, before: int, device: torch.device) -> Tensor:
    """Which of `side` places is seen at each of `length`, of which `before` lie before the first."""
    # A tensor, for ONNX knows no remainder by a size that is known only when it runs.
    period = torch.full((), max(1, 2 * (side - 1)), device=device)
    places = (torch.arange(length, device=device) - before).abs() % period
    return torch.where(places < side, places, 2 * (side - 1) - places)


def transform_size(length: int) -> int:
    """The smallest length from this one on that has no prime factor above 5: there Fourier's transform is quick."""
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1
