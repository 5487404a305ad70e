"""Tensors that lie on the disk: pictures larger than the memory they may take are streamed from there, band by band.

A tensor on the disk is an ordinary tensor over a file that nobody else sees and that is gone with it. Where it lies is
inherited: whoever makes a tensor of a picture's size makes it with `zeros_beside`, and whoever goes over all of a
picture does so in `bands`, which give the pages they have touched back to the system. In memory there is one band.

The files lie in the folder that TMPDIR names, else in /var/tmp, since /tmp itself is often memory.
"""

import errno
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import ImageError

__all__ = [
    "COPIES",
    "bands",
    "belongs_on_disk",
    "block_means",
    "by_rows",
    "everywhere",
    "excerpt",
    "extremes",
    "mapped",
    "on_disk",
    "pooled",
    "reduced",
    "release",
    "shrunk",
    "temporary_file",
    "total",
    "zeros_beside",
    "zeros_on_disk",
]

COPIES = 4
"""So many float32 RGB copies of a picture are there at once while it is restored: read, padded, joined, finished."""

BAND = 16 << 20
"""Bytes of a band, about."""

CACHED = 1 << 20
"""Bytes of a part that caches hold, about."""

PART = 256
"""Pixels of a side of the parts by which the finest detail of such an image is judged."""

GLANCE = 4_000_000
"""Pixels of an image that is seen as a whole by a network, where it is larger than the memory."""

FEW = 128
"""Parts of a side up to which means are taken by products of matrices, which then do little in vain."""

GLIMPSE = 8
"""Rows by which it is seen first whether something holds for all of an image."""

_MAPPINGS: WeakValueDictionary[int, mmap.mmap] = WeakValueDictionary()
"""What is on the disk, by its address."""


def belongs_on_disk(height: int, width: int, memory: int | None) -> bool:
    """Whether a picture of that size, and what is made of it, is to lie on the disk.

    Args:
        height: in pixels.
        width: in pixels.
        memory: bytes that it may take; None for any number.
    """
    return memory is not None and 12 * COPIES * height * width > memory


def on_disk(tensor: Tensor) -> bool:
    """Whether a tensor, or what it is a part of, lies on the disk."""
    if torch.compiler.is_exporting():  # what becomes a graph lies nowhere
        return False
    return _mapping_of(tensor) is not None


def zeros_on_disk(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor of zeros on the disk. One of four dimensions, (B, C, H, W), has its channels last, so that rows are
    together.

    Raises:
        ImageError: the disk has no room for it.
    """
    count = torch.Size(shape).numel()
    if not count:
        return torch.zeros(shape, dtype=dtype)
    size = count * dtype.itemsize
    with temporary_file() as file:
        _reserve(file, size)
        mapping = mmap.mmap(file.fileno(), size)
    flat = torch.frombuffer(mapping, dtype=dtype, count=count)
    _MAPPINGS[flat.untyped_storage().data_ptr()] = mapping
    if len(shape) != 4:
        return flat.view(shape)
    batch, channels, height, width = shape
    return flat.view(batch, height, width, channels).permute(0, 3, 1, 2)


def zeros_beside(tensor: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of zeros where another one lies, on the disk or in the memory of its device, and of its type."""
    dtype = tensor.dtype if dtype is None else dtype
    if on_disk(tensor):
        return zeros_on_disk(*shape, dtype=dtype)
    return torch.zeros(shape, dtype=dtype, device=tensor.device)


def bands(*tensors: Tensor, multiple: int = 1, cached: bool = False) -> Iterator[slice]:
    """Rows of tensors (..., H, W) of one height, part by part: all of them at once, unless one lies on the disk.

    What is touched of a band is released before the next, also of what lies beyond it.

    Args:
        tensors: those that are read and written; the first says how many rows there are.
        multiple: each band but the last is a multiple of so many rows.
        cached: in memory, too, parts that a processor's cache holds: for those who go over each many times.
    """
    height = tensors[0].shape[-2]
    stored = any(on_disk(tensor) for tensor in tensors)
    if not stored and (not cached or tensors[0].device.type != "cpu" or torch.compiler.is_exporting()):
        yield slice(0, height)
        return
    widest = max(tensor.numel() // tensor.shape[-2] * tensor.element_size() for tensor in tensors)
    rows = max(multiple, (BAND if stored else CACHED) // max(widest, 1) // multiple * multiple)
    for top in range(0, height, rows):
        yield slice(top, min(height, top + rows))
        release(*tensors)


def mapped(
    function: Callable[..., Tensor], *maps: Tensor, halo: int = 0, multiple: int = 1, cached: bool = False
) -> Tensor:
    """The function of whole maps; of maps on the disk computed band by band, with a result on the disk.

    Args:
        function: maps (B, C, H, W) to one map of that size; each of its rows may depend on `halo` rows on both sides.
        maps: what it is applied to, of one size.
        halo: that reach.
        multiple: where what is computed hangs on where a row lies in a grid of so many, which divides the reach.
        cached: see `bands`.
    """
    height, result = maps[0].shape[-2], None
    stored = next((one for one in maps if on_disk(one)), maps[0])
    for rows in bands(*maps, multiple=multiple, cached=cached):
        wide = slice(max(0, rows.start - halo), min(height, rows.stop + halo))
        part = function(*(one[..., wide, :] for one in maps))
        if wide == slice(0, height) and not on_disk(stored):
            return part
        if result is None:
            result = zeros_beside(stored, *part.shape[:-2], height, part.shape[-1], dtype=part.dtype)
        result[..., rows, :] = part[..., rows.start - wide.start : rows.stop - wide.start, :]
        release(result)
    assert result is not None
    return result


def shrunk(pool: Callable[[Tensor, int], Tensor], image: Tensor, factor: int) -> Tensor:
    """An image (..., H, W) that a function `pool(image, factor)` makes so many times smaller, in memory; rows that fill
    no window are left out."""
    whole = image[..., : image.shape[-2] // factor * factor, :]
    return torch.cat([pool(whole[..., rows, :], factor) for rows in bands(whole, multiple=factor)], -2)


def block_means(image: Tensor, factor: int) -> Tensor:
    """The means of blocks of factor x factor places of (..., H, W), as of torch's `avg_pool2d`, which takes thrice as
    long; what fills no block is left out."""
    height, width = (side // factor * factor for side in image.shape[-2:])
    lines = image[..., 0:height:factor, :width]
    if factor == 1:
        return lines
    lines = lines.clone()
    for step in range(1, factor):
        lines.add_(image[..., step:height:factor, :width])
    sums = lines[..., ::factor].clone()
    for step in range(1, factor):
        sums.add_(lines[..., step::factor])
    return sums.div_(factor**2)


def everywhere(test: Callable[..., Tensor], *maps: Tensor) -> bool:
    """Whether a test, of maps (..., H, W) to truth values, holds at all places; each place is tested by itself."""
    middle = maps[0].shape[-2] // 2
    if not bool(test(*(one[..., middle : middle + GLIMPSE, :] for one in maps)).all()):
        return False  # as with most pictures, and most of the time is saved
    return all(bool(test(*(one[..., rows, :] for one in maps)).all()) for rows in bands(*maps))


def extremes(image: Tensor) -> tuple[float, float]:
    """The smallest and the largest value of (..., H, W); NaN where one is NaN."""
    # Not torch.aminmax, which copies an image with its channels last.
    ends = [(float(part.amin()), float(part.amax())) for part in (image[..., rows, :] for rows in bands(image))]
    lows, highs = zip(*ends, strict=True)
    return (math.nan, math.nan) if any(map(math.isnan, highs)) else (min(lows), max(highs))


def total(reduce: Callable[..., Tensor], *maps: Tensor, cached: bool = False) -> Tensor:
    """The sum over the bands (see there) of maps (..., H, W) of what `reduce` gives for each; of one exactly that."""
    parts = [reduce(*(one[..., rows, :] for one in maps)) for rows in bands(*maps, cached=cached)]
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)


def pooled(image: Tensor, size: tuple[int, int], function: Callable[[Tensor], Tensor] = lambda part: part) -> Tensor:
    """Means of `function(image)`, which sees each pixel by itself, over about equal parts: (B, C, H, W) to (B, c,
    *size), in memory.

    See torch's `adaptive_avg_pool2d`.
    """
    if not on_disk(image):
        if max(size) > FEW or image.device.type != "cpu" or torch.compiler.is_exporting():
            return F.adaptive_avg_pool2d(function(image), size)
        down, across = (_parts(side, count) for side, count in zip(image.shape[-2:], size, strict=True))
        with torch.autocast("cpu", enabled=False):
            means = by_rows(down, image, function)
            return means @ across.T.to(means.dtype)
    height = image.shape[-2]
    lines = []
    for line in range(size[0]):
        top, bottom = line * height // size[0], -(-(line + 1) * height // size[0])
        part = image[..., top:bottom, :]
        means = total(lambda some: F.adaptive_avg_pool2d(function(some), (1, size[1])) * some.shape[-2], part)
        lines.append(means / (bottom - top))
    return torch.cat(lines, -2)


def by_rows(weights: Tensor, image: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Weighted sums of rows: (n, H) and an image (B, C, H, W) on the CPU to (B, c, n, W), in memory.

    A product of matrices, part by part: of `function(image)`, which sees each pixel by itself, there is never a copy.
    """
    result: Tensor | None = None
    for rows in bands(image, cached=True):
        part = function(image[..., rows, :])
        some = weights[:, rows].to(part.dtype)
        if part.stride(-1) == 1:
            product = some @ part
        else:  # channels are last, and rows together
            lines = part.permute(0, 2, 3, 1).flatten(2)
            product = (some @ lines).reshape(len(part), len(some), part.shape[3], part.shape[1]).permute(0, 3, 1, 2)
        result = product if result is None else result.add_(product)
    assert result is not None
    return result


@lru_cache(maxsize=16)
def _parts(length: int, count: int) -> Tensor:
    """What each of `length` places counts in the mean of each of about equal parts, (count, length)."""
    starts = torch.arange(count) * length // count
    ends = -(-torch.arange(1, count + 1) * length // count)
    place = torch.arange(length)
    inside = (place >= starts[:, None]) & (place < ends[:, None])
    return inside / (ends - starts)[:, None]


def reduced(image: Tensor) -> Tensor:
    """An image (B, C, H, W) for those who must have all of it in memory: one on the disk at GLANCE pixels at most, by
    means of about equal parts."""
    part = math.sqrt(GLANCE / (image.shape[-2] * image.shape[-1]))
    if not on_disk(image) or part >= 1:
        return image
    return pooled(image, (max(1, int(image.shape[-2] * part)), max(1, int(image.shape[-1] * part))))


def excerpt(image: Tensor) -> Tensor:
    """An image (B, C, H, W) for those who look at its finest detail in memory: of one on the disk a grid of parts at
    its own resolution, side by side, GLANCE pixels at most."""
    if not on_disk(image):
        return image
    sides = image.shape[-2:]
    counts = [max(1, min(math.isqrt(GLANCE) // PART, side // PART)) for side in sides]
    down, across = (
        torch.cat([torch.arange(PART) + number * (side - PART) // max(count - 1, 1) for number in range(count)])
        if side > count * PART
        else torch.arange(side)
        for side, count in zip(sides, counts, strict=True)
    )
    found = image[..., down[:, None], across]
    release(image)
    return found


def release(*tensors: Tensor) -> None:
    """Gives the memory back that pages of tensors on the disk have; their values stay."""
    for tensor in tensors:
        mapping = _mapping_of(tensor)
        if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapping.madvise(mmap.MADV_DONTNEED)


def _mapping_of(tensor: Tensor) -> mmap.mmap | None:
    """What a tensor is on the disk by; None where it is not. One that is only traced has no address to ask for."""
    if not _MAPPINGS or tensor.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    return _MAPPINGS.get(tensor.untyped_storage().data_ptr())


def temporary_file() -> IO[bytes]:
    """A file on the disk that has no name, and is gone when it is closed.

    Raises:
        ImageError: it cannot be made.
    """
    try:
        return tempfile.TemporaryFile(dir=_folder())
    except OSError as error:
        raise ImageError(
            f"{_folder()}: no file for intermediate results can be made there ({error.strerror})"
        ) from error


def _folder() -> Path:
    named, large = os.environ.get("TMPDIR"), Path("/var/tmp")
    if named:
        return Path(named)
    return large if os.name == "posix" and os.access(large, os.W_OK) else Path(tempfile.gettempdir())


def _reserve(file: IO[bytes], size: int) -> None:
    """Makes a file so many bytes long, and sure that the disk has them: writing to a mapping cannot fail in words."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        with suppress(AttributeError):
            if shutil.disk_usage(_folder()).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file.truncate(size)
    except OSError as error:
        raise ImageError(
            f"{_folder()}: has no {size / 2**30:.2g} GB for intermediate results ({error.strerror}); TMPDIR names "
            "another folder, and with more --memory none may be needed"
        ) from error
