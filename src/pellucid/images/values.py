"""The values of a picture: which are allowed, and their way from integers to [0, 1] and back."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import ImageError
from pellucid.scratch import bands, extremes

__all__ = [
    "array_of_planes",
    "check_pixels",
    "check_range",
    "check_samples",
    "light_of",
    "planes_of_array",
    "planes_of_samples",
    "quantise",
    "values_of",
]

_FARTHEST = 4.0
"""How far outside [0, 1] a value may lie and still be noise, not a picture in 0..255."""


def quantise(image: Tensor, bits: int = 8) -> Tensor:
    """`image` clipped to [0, 1] and rounded to the nearest of the 2^bits values k / (2^bits - 1).

    Any shape; the floating dtype is kept. What lies half-way goes to the even k.
    """
    steps = 2**bits - 1
    return image.clamp(0, 1).mul(steps).round().div(steps)


def light_of(values: Tensor) -> Tensor:
    """Values in [0, 1] of the encoding of sRGB (IEC 61966-2-1) as light, (..., H, W)."""
    return _by_planes(values, lambda x: torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4))


def values_of(light: Tensor) -> Tensor:
    """Light in [0, 1] in the encoding of sRGB, (..., H, W)."""
    return _by_planes(light, lambda x: torch.where(x <= 0.0031308, x * 12.92, 1.055 * x ** (1 / 2.4) - 0.055))


def _by_planes(planes: Tensor, curve: Callable[[Tensor], Tensor]) -> Tensor:
    """A curve in double precision, so that 16 bits come back; one plane at a time, for that takes memory."""
    out = torch.empty_like(planes)
    for source, target in zip(planes.reshape(-1, *planes.shape[-2:]), out.view(-1, *planes.shape[-2:]), strict=True):
        target.copy_(curve(source.double()))
    return out


def check_pixels(pixels: Tensor, what: str) -> None:
    """Refuses, with an `ImageError` about `what`, pixels that are not one RGB image (1, 3, H, W) of finite numbers."""
    if pixels.ndim != 4 or pixels.shape[:2] != (1, 3) or pixels.numel() == 0:
        raise ImageError(f"{what}: expected pixels of shape (1, 3, H, W), got {tuple(pixels.shape)}")
    if not all(map(math.isfinite, extremes(pixels.detach()))):
        raise ImageError(f"{what}: the pixels hold NaN or infinity")


def check_range(values: Tensor, what: str) -> None:
    """Refuses, with an `ImageError` about `what`, NaN and floats that are clearly not in [0, 1]."""
    low, high = (bound.item() for bound in torch.aminmax(values.detach()))
    if not np.isfinite(low + high):
        raise ImageError(f"{what}: holds NaN or infinity")
    if low < -_FARTHEST or high > 1 + _FARTHEST:
        raise ImageError(
            f"{what}: values from {low:.4g} to {high:.4g}, expected [0, 1]; "
            "divide values of 8 bits by 255, of 16 bits by 65535"
        )


def planes_of_array(array: NDArray[Any], what: str) -> Tensor:
    """An array (H, W) or (H, W, 1..4) of uint8, uint16 or float as float32 (1, C, H, W).

    Raises `ImageError` about `what` for another shape, dtype or range.
    """
    channels = array if array.ndim == 3 else array[..., None]
    if channels.ndim != 3 or channels.shape[2] not in (1, 2, 3, 4) or channels.size == 0:
        channels_first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        remedy = "; channels come last: use x.transpose(1, 2, 0)" if channels_first else ""
        raise ImageError(f"{what}: expected shape (H, W) or (H, W, 1 to 4), got {array.shape}{remedy}")
    if array.dtype.kind != "f" and (array.dtype.kind, array.dtype.itemsize) not in (("u", 1), ("u", 2)):
        raise ImageError(f"{what}: expected uint8, uint16 or float in [0, 1], got {array.dtype}")
    planes = torch.empty(1, channels.shape[2], *channels.shape[:2])
    out = planes[0].numpy()
    out[...] = channels.transpose(2, 0, 1)
    if array.dtype.kind == "f":
        check_range(planes, what)
    else:
        # Divided, not multiplied by the inverse: k / 255 is then the float32 nearest to the true value.
        np.divide(out, np.iinfo(array.dtype).max, out=out)
    return planes


def planes_of_samples(array: NDArray[Any], bits: int, empty: int) -> Tensor:
    """Samples of a file, (H, W, C) of uint8, uint16 or float32, as float32 (1, C, H, W).

    Floats stay as they are. Of integers the lowest `empty` bits are left out; the rest is divided by 2^bits - 1.
    """
    planes = torch.empty(1, array.shape[2], *array.shape[:2])
    out = planes[0].numpy()
    if array.dtype.kind == "f":
        out[...] = array.transpose(2, 0, 1)
        return planes
    out[...] = (array >> empty if empty else array).transpose(2, 0, 1)
    # Divided, not multiplied by the inverse: k / 255 is then the float32 nearest to the true value.
    np.divide(out, 2**bits - 1, out=out)
    return planes


def check_samples(planes: Tensor, what: str) -> None:
    """Raises `ImageError` about `what` where most of the floats (1, C, H, W) of a file are clearly not in [0, 1]."""
    outside, low, high = 0, math.inf, -math.inf
    for rows in bands(planes):
        part = planes[..., rows, :].numpy()
        if np.isfinite(part).any():
            low, high = min(low, float(np.nanmin(part))), max(high, float(np.nanmax(part)))
        outside += int(np.count_nonzero((part < -_FARTHEST) | (part > 1 + _FARTHEST)))
    if low > high:
        raise ImageError(f"{what}: holds no finite number")
    if 2 * outside > planes.numel():
        raise ImageError(
            f"{what}: values from {low:.4g} to {high:.4g}, expected [0, 1]; "
            "divide values of 8 bits by 255, of 16 bits by 65535"
        )


def array_of_planes(planes: Sequence[Tensor], bits: int) -> NDArray[Any]:
    """Planes (H, W) in [0, 1] as one array (H, W, C): uint8 or uint16, clipped and rounded, or float32 as they are."""
    dtype = {8: np.uint8, 16: np.uint16, 32: np.float32}[bits]
    array = np.empty((*planes[0].shape, len(planes)), dtype)
    for rows in bands(*planes, cached=True):  # so that little is ever held twice, and that in a processor's cache
        for channel, plane in enumerate(planes):
            values = plane[rows].detach().to("cpu", torch.float32)
            if bits < 32:
                values = values.clamp(0, 1).mul_(2**bits - 1).round_()
            array[rows, :, channel] = values.numpy()
    return array
