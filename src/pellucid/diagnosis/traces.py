"""Traces: what a lens, a sensor or a file leaves in the statistics of a photograph at its own resolution.

An encoder sees twelve small patches, and blur, resizing and ringing look alike in them: all take fine detail away. How
they take it differs, and the differences show in means over the whole photograph:

    spectrum    the power of every frequency in four directions: a lens takes it away gently, a filter at once
    periods     of the second difference along rows and columns: resizing makes pixels alternate between sharp and soft
                (Gallagher, "Detection of Linear and Cubic Interpolation in JPEG Compressed Images", CRV 2005, section
                3), and so do JPEG's blocks
    moments     of three bands of detail: drops, flakes and dead pixels are bright, or sparse, where photographs are
    neither
"""

import math
from functools import cache, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pellucid.images.padding import pad_to
from pellucid.priors.statistics import luma_of
from pellucid.scratch import mapped, total

__all__ = ["BLOCK", "BLOCKS", "TRACES", "block_places", "box", "traces"]

BLOCK = 32
"""Side of the blocks whose spectrum is taken, in pixels."""
BLOCKS = 400
"""About so many are spread over a photograph, however large."""
RADII, DIRECTIONS = 20, 4
"""Bins of the spectrum: frequencies of 1 to 20 in 32 pixels, and the multiples of 45 degrees."""
FLOOR = 1e-8
"""Added to powers of images in [0, 1], below what rounding to 8 bits leaves."""
PERIODS = 40
"""Bins of the frequencies from 0.1 to 0.5 in a pixel, at which second differences alternate."""
LARGEST = 0.1
"""Beyond this a second difference is an edge, and counts no more than this."""
SMOOTH = 17
"""Places over which second differences are averaged, to be compared with."""
SCALES = (1, 2, 4)
"""Sides of the boxes, in pixels, whose difference to boxes of thrice that side makes a band."""
TRACES = 3 * RADII * DIRECTIONS + 2 * (PERIODS + 1) + 4 * len(SCALES)
"""How many numbers there are."""


def traces(image: Tensor, places: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """The traces (1, TRACES), float32, of one image (1, 3, H, W) in [0, 1] of any size; small ones are reflected.

    Args:
        image: the image.
        places: where its blocks begin, as `block_places` has it: for a graph, which cannot find it.

    Raises ValueError for another shape.
    """
    if image.ndim != 4 or image.shape[:2] != (1, 3):
        raise ValueError(f"expected one image (1, 3, H, W), got {tuple(image.shape)}")
    luma = pad_to(luma_of(image), 2 * BLOCK, 2 * BLOCK)
    places = block_places(*luma.shape[2:]) if places is None else places
    parts = [_spectrum(luma[0, 0], places), _periods(luma[0, 0]), _periods(luma[0, 0].T), _moments(luma)]
    return torch.cat(parts)[None]


def block_places(height: int, width: int) -> tuple[Tensor, Tensor]:
    """The rows and the columns at which the blocks of a picture begin, of which about BLOCKS are looked at."""
    step = max(BLOCK // 2, math.trunc((height * width / BLOCKS) ** 0.5))
    rows, columns = (torch.arange((side - BLOCK) // step + 1) * step for side in (height, width))
    return rows, columns


def _spectrum(luma: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
    """Log powers of (H, W): of the mean over all blocks; the mean of logs over all, and over the liveliest quarter."""
    inside = torch.arange(BLOCK, device=luma.device)
    down, across = (starts.to(luma.device)[:, None] + inside for starts in places)
    blocks = luma[down[:, None, :, None], across[None, :, None, :]].reshape(-1, BLOCK, BLOCK)
    window = torch.hann_window(BLOCK, periodic=False, device=luma.device)
    window = window[:, None] * window
    power = (
        torch.fft.rfft2((blocks - blocks.mean((1, 2), keepdim=True)) * window).abs().square() / window.square().sum()
    )
    liveliest = power[power.sum((1, 2)).topk(max(1, power.shape[0] // 4)).indices]
    logs = [_log(power.mean(0)), _log(liveliest).mean(0), _log(power).mean(0)]
    return torch.cat([_binned(one) for one in logs])


def _log(power: Tensor) -> Tensor:
    """The decimal logarithm of a power and FLOOR. Written so, because what makes graphs drops a sum with 1e-8."""
    return (power / FLOOR + 1).log10() + math.log10(FLOOR)


def _binned(power: Tensor) -> Tensor:
    """Means of (BLOCK, BLOCK / 2 + 1) over rings and directions, (RADII * DIRECTIONS,)."""
    return torch.from_numpy(_rings()).to(power.device) @ power.flatten()


@cache
def _rings() -> NDArray[np.float32]:
    """What each frequency, of (BLOCK * (BLOCK / 2 + 1)), counts in the mean of each ring and direction, (RADII *
    DIRECTIONS).

    By numpy, so that a graph of the traces holds it as it is.
    """
    down, across = np.fft.fftfreq(BLOCK)[:, None], np.fft.rfftfreq(BLOCK)[None]
    ring = np.rint(BLOCK * np.hypot(down, across)).astype(int) - 1
    turn = np.rint(np.arctan2(down, across + 0 * down) / (math.pi / DIRECTIONS)).astype(int) % DIRECTIONS
    bins = np.where((ring >= 0) & (ring < RADII), ring * DIRECTIONS + turn, -1).flatten()
    among = (bins[None] == np.arange(RADII * DIRECTIONS)[:, None]).astype(np.float32)
    # Beyond a row's end only diagonals are left: in some there is nothing.
    means: NDArray[np.float32] = among / np.maximum(among.sum(1, keepdims=True), 1)
    return means


def _periods(luma: Tensor) -> Tensor:
    """How much the second difference along rows of (H, W) alternates by frequency, in logs, and its usual amount."""
    second = _second(luma)
    around = F.avg_pool1d(F.pad(second[None, None], [SMOOTH // 2] * 2, mode="reflect"), SMOOTH, 1)[0, 0]
    # A Hann window, written out: torch's own has one length in a graph.
    # Lengths as tensors, for ONNX knows no product with a number that is known only when it runs.
    length = torch.full((), second.shape[0], dtype=torch.float32, device=luma.device)
    window = 0.5 - 0.5 * (2 * math.pi / length * torch.arange(second.shape[0], device=luma.device)).cos()
    signal = (second / (around + 1e-5) - 1) * window
    strength = torch.fft.rfft(signal).abs() / length.sqrt()
    frequency = torch.arange(strength.shape[0], device=luma.device) * (1 / length)
    told = frequency >= 0.1
    bins = torch.where(told, ((frequency - 0.1) / 0.4 * PERIODS).long().clamp(0, PERIODS - 1), PERIODS)
    peaks = torch.zeros(PERIODS + 1, device=luma.device).scatter_reduce(0, bins, strength, "amax")[:PERIODS]
    usual = torch.where(told, strength, torch.inf).sort().values[(told.sum() - 1) // 2]
    return (torch.cat([peaks, usual[None]]) + 1e-3).log10()


def _second(luma: Tensor) -> Tensor:
    """The mean of the second differences along the rows of (H, W), at each column."""
    if luma.stride(0) < luma.stride(1):  # turned: its columns are rows of what lies on the disk
        rows = mapped(lambda part: F.pad(_differences(part.mT).mean(0), (1, 1))[:, None], luma.T, halo=1, cached=True)
        return rows[1:-1, 0].clone()
    sums = total(lambda part: _differences(part).sum(0), luma, cached=True)
    return sums / luma.shape[0]


def _differences(luma: Tensor) -> Tensor:
    return (2 * luma[:, 1:-1] - luma[:, :-2] - luma[:, 2:]).abs().clamp_max(LARGEST)


def _moments(luma: Tensor) -> Tensor:
    """Of each band of detail of (1, 1, H, W): log deviation, skewness, log kurtosis, and the part that is far out."""
    found = []
    for scale in SCALES:
        wide = 3 * scale | 1
        band = mapped(lambda part, s=scale | 1, w=wide: box(part, s) - box(part, w), luma, halo=wide // 2, cached=True)
        count = band.numel()
        mean, second, third, last = (total(_powers, band, cached=True).double() / count).unbind()
        square = (second - mean**2).clamp_min(0)
        cube = third - 3 * mean * second + 2 * mean**3
        fourth = last - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
        mean, square, cube, fourth = (one.float() for one in (mean, square, cube, fourth))
        deviation = square.sqrt() + 1e-4
        ends = mean - 4 * deviation, mean + 4 * deviation
        outer = total(
            lambda part, ends=ends: (part > ends[1]).count_nonzero() - (part < ends[0]).count_nonzero(),
            band,
            cached=True,
        )
        found += [
            deviation.log10(),
            (cube / deviation**3).clamp(-10, 10),
            (fourth / deviation**4 + 1).log10(),
            100 * outer / count,
        ]
    return torch.stack(found)


def _powers(values: Tensor) -> Tensor:
    """The sums of values, of squares, cubes and fourth powers, (4,)."""
    square = values.square()
    sums = [values.sum(), square.sum(), (values * square).sum(), square.square_().sum()]
    return torch.stack(sums)


def box(plane: Tensor, side: int) -> Tensor:
    """Means over side x side places of (1, 1, H, W), side odd; at the border over those that there are."""
    if torch.compiler.is_exporting():  # one operator of a graph instead of dozens
        return F.avg_pool2d(plane, side, 1, side // 2, count_include_pad=False)
    if side == 1:
        return plane
    # Along rows and then along columns. Beyond the border lie zeros.
    height, width = plane.shape[2:]
    reach = side // 2
    sums = _sums_along(_sums_along(F.pad(plane, (reach,) * 4), 2, side), 3, side)
    return sums.mul_(_shares(height, reach)[:, None].to(plane.device)).mul_(_shares(width, reach).to(plane.device))


def _sums_along(plane: Tensor, axis: int, side: int) -> Tensor:
    """Sums over `side` places each along an axis, side odd: of 2, 4, 8 from sums of half as many, and from these those
    of an odd number. Of 13 they take 5 additions a place."""
    length = plane.shape[axis] - side + 1
    runs, many, done = plane, 1, 1  # runs: sums of `many` places from each on
    sums = plane.narrow(axis, 0, length)
    while done < side:
        left = runs.shape[axis] - many
        runs = runs.narrow(axis, 0, left) + runs.narrow(axis, many, left)
        many *= 2
        if side & many:
            more = runs.narrow(axis, done, length)
            sums = sums + more if done == 1 else sums.add_(more)
            done += many
    return sums


@lru_cache(maxsize=32)
def _shares(length: int, reach: int) -> Tensor:
    """One over how many of the places up to `reach` away, on both sides and of itself, there are at each place."""
    place = torch.arange(length)
    return 1 / (1 + place.clamp(max=reach) + place.flip(0).clamp(max=reach))
