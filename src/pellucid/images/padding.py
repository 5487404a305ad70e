"""Padding: by reflection, for any size from 1 x 1. The only place where images are padded."""

import torch
from torch import Tensor

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
    if not above and not left:
        return image
    height, width = image.shape[-2] + above, image.shape[-1] + left
    return pad_to(image.flip(-2, -1), height, width).flip(-2, -1)


def pad_to(image: Tensor, height: int, width: int) -> Tensor:
    """The image (..., H, W), grown to at least height x width; itself where it is that large.

    Unlike torch's own reflection this mirrors as often as needed, so 1 x 1 grows to any size.
    """
    for dimension, target in ((-2, height), (-1, width)):
        side = image.shape[dimension]
        if target > side:
            # A tensor, for ONNX knows no remainder by a size that is known only when it runs.
            period = torch.full((), max(1, 2 * (side - 1)), device=image.device)
            places = torch.arange(target, device=image.device) % period
            image = image.index_select(dimension, torch.where(places < side, places, 2 * (side - 1) - places))
    return image


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
