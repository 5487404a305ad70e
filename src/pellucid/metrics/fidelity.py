"""How far a restored picture is from the clean one: PSNR, SSIM and its variants, one number per picture.

Everything is summed in float64, in strips of rows, so that a picture of 12 megapixels needs a few tens of megabytes
beside itself (one float64 channel for the variants that average pictures down).

The four SSIMs differ by more than restorers do, so a number means nothing without the name of its variant:

    ssim          Gaussian window 11 x 11, sigma 1.5, inside the picture, the average of the channels (Wang et al. 2004)
    ssim_uniform  uniform window 7 x 7, sample covariance, inside the picture only: scikit-image's defaults
    ssim_volume   Gaussian window 11 x 11 x 11 over the channels too, borders replicated: MATLAB's ssim of RGB
    ssim_pooled   `ssim` of pictures first averaged down to a shorter side of about 256: the dehazing tables
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ms_ssim", "psnr", "ssim", "ssim_pooled", "ssim_uniform", "ssim_volume"]

_RADIUS = 5
_WEIGHTS = [math.exp(-(i**2) / (2 * 1.5**2)) for i in range(-_RADIUS, _RADIUS + 1)]
GAUSSIAN = tuple(weight / sum(_WEIGHTS) for weight in _WEIGHTS)
UNIFORM = (1 / 7,) * 7
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The exponents of the five scales of MS-SSIM (Wang et al. 2003), from the finest to the coarsest."""

# Pixels per strip, eight bytes each, so that the maps stay near the processor; and the fewest rows, since each strip
# reads ten rows of its neighbours too.
_STRIP, _ROWS = 1 << 18, 32


@torch.no_grad()
def psnr(restored: Tensor, clean: Tensor, *, peak: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio in dB of (B, C, H, W) over all channels, as float64 (B,); infinite where all is equal.

    `peak` is the largest value a pixel can have. Raises ValueError where the shapes differ.
    """
    _check(restored, clean, 1)
    batch, channels, height, width = clean.shape
    total = torch.zeros(batch, dtype=torch.float64, device=clean.device)
    for start, stop in _strips(height, width * batch * channels):
        difference = _exact(restored[:, :, start:stop]) - clean[:, :, start:stop]
        total += difference.square_().sum((1, 2, 3))
    return 10 * torch.log10(peak**2 * clean[0].numel() / total)


@torch.no_grad()
def ssim(restored: Tensor, clean: Tensor, *, peak: float = 1.0) -> Tensor:
    """Structural similarity of (B, C, H, W) pictures, the average of the channels, as float64 (B,).

    Wang et al. 2004: Gaussian window of 11 x 11 with sigma 1.5 where it lies wholly inside the picture, K1 = 0.01,
    K2 = 0.03, population covariance. Equals scikit-image's with gaussian_weights=True, sigma=1.5 and
    use_sample_covariance=False. Raises ValueError where the shapes differ or a side is shorter than 11 pixels.
    """
    _check(restored, clean, len(GAUSSIAN))
    return _similarity(restored, clean, GAUSSIAN, peak)[0].mean(1)


@torch.no_grad()
def ssim_uniform(restored: Tensor, clean: Tensor, *, peak: float = 1.0) -> Tensor:
    """As `ssim`, with a uniform window of 7 x 7 and the sample covariance: the defaults of scikit-image.

    The tables of all-in-one restoration and of defocus deblurring hold this.
    Raises ValueError where the shapes differ or a side is shorter than 7 pixels.
    """
    _check(restored, clean, len(UNIFORM))
    size = len(UNIFORM) ** 2
    return _similarity(restored, clean, UNIFORM, peak, correction=size / (size - 1))[0].mean(1)


@torch.no_grad()
def ssim_volume(restored: Tensor, clean: Tensor, *, peak: float = 1.0) -> Tensor:
    """SSIM of (B, C, H, W) pictures as volumes, borders replicated, averaged over the whole volume, as float64 (B,).

    MATLAB's `ssim` takes an RGB array as a volume, so the motion deblurring and real denoising tables hold this. Any
    size. Raises ValueError where the shapes differ.
    """
    _check(restored, clean, 1)
    batch, channels, height, width = clean.shape
    columns = _replicated(0, width, width)
    # Along the few channels, window and replicated border together are one small matrix.
    nearest = torch.stack([_replicated(channel, channel + 1, channels) for channel in range(channels)])
    weights = torch.tensor(GAUSSIAN, dtype=torch.float64).expand(channels, -1)
    mixing = torch.zeros(channels, channels, dtype=torch.float64).scatter_add_(1, nearest, weights).to(clean.device)
    total = torch.zeros(batch, dtype=torch.float64, device=clean.device)
    for start, stop in _strips(height, width * batch * channels):
        rows = _replicated(start, stop, height)
        strips = (_exact(image[:, :, rows][..., columns]) for image in (restored, clean))
        moments = torch.einsum("ij,mbjhw->mbihw", mixing, _moments(*strips))
        total += _maps(moments, GAUSSIAN, peak)[0].sum((1, 2, 3))
    return total / clean[0].numel()


@torch.no_grad()
def ssim_pooled(restored: Tensor, clean: Tensor, *, peak: float = 1.0) -> Tensor:
    """`ssim` after averaging both pictures down by max(1, round(shorter side / 256)), as DehazeFormer reports it."""
    _check(restored, clean, len(GAUSSIAN))
    ratio = max(1, round(min(clean.shape[-2:]) / 256))
    if ratio > 1:
        size = (clean.shape[-2] // ratio, clean.shape[-1] // ratio)
        restored, clean = (_by_channel(image, lambda x: F.adaptive_avg_pool2d(x, size)) for image in (restored, clean))
    return ssim(restored, clean, peak=peak)


@torch.no_grad()
def ms_ssim(restored: Tensor, clean: Tensor, *, peak: float = 1.0) -> Tensor:
    """Multi-scale SSIM (Wang et al. 2003) of (B, C, H, W) pictures, the average of the channels, as float64 (B,).

    Five scales, each half the one before by 2 x 2 averages; a negative contrast term counts as 0, since its power is
    not real. Raises ValueError where the shapes differ or a side is shorter than 161 pixels.
    """
    _check(restored, clean, (len(GAUSSIAN) - 1) * 2 ** (len(SCALES) - 1) + 1, "five scales of a window of 11 x 11")
    product = torch.ones(clean.shape[:2], dtype=torch.float64, device=clean.device)
    for scale, exponent in enumerate(SCALES):
        similarity, contrast = _similarity(restored, clean, GAUSSIAN, peak)
        last = scale == len(SCALES) - 1
        product *= (similarity if last else contrast).clamp(min=0) ** exponent
        if not last:
            restored, clean = _halved(restored), _halved(clean)
    return product.mean(1)


def _similarity(
    restored: Tensor, clean: Tensor, kernel: Sequence[float], peak: float, *, correction: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The averages over the picture of SSIM and of its contrast-structure factor, (B, C) each."""
    batch, channels, height, width = clean.shape
    margin = len(kernel) - 1
    similarity = torch.zeros(batch, channels, dtype=torch.float64, device=clean.device)
    contrast = torch.zeros_like(similarity)
    for channel in range(channels):
        for start, stop in _strips(height - margin, width * batch):
            strips = (_exact(image[:, channel, start : stop + margin]) for image in (restored, clean))
            full, structure = _maps(_moments(*strips), kernel, peak, correction)
            similarity[:, channel] += full.sum((1, 2))
            contrast[:, channel] += structure.sum((1, 2))
    area = (height - margin) * (width - margin)
    return similarity / area, contrast / area


def _moments(first: Tensor, second: Tensor) -> Tensor:
    """What SSIM averages in its window, stacked along a new first axis."""
    return torch.stack((first, second, first * first, second * second, first * second))


def _maps(moments: Tensor, kernel: Sequence[float], peak: float, correction: float = 1.0) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast-structure factor at every place where the window fits in the last two axes."""
    moments = filtered(filtered(moments, kernel, -2), kernel, -1)
    mean_first, mean_second, square_first, square_second, cross = moments
    covariance = correction * (cross - mean_first * mean_second)
    variances = correction * (square_first - mean_first**2 + square_second - mean_second**2)
    low, high = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    structure = (2 * covariance + high) / (variances + high)
    luminance = (2 * mean_first * mean_second + low) / (mean_first**2 + mean_second**2 + low)
    return luminance * structure, structure


def filtered(maps: Tensor, kernel: Sequence[float], axis: int) -> Tensor:
    """The weighted sums of `len(kernel)` neighbours along one axis, where they all exist."""
    # Shifted sums: torch has no fast float64 convolution on CPU (this is five to ten times faster).
    length = maps.shape[axis] - len(kernel) + 1
    total = maps.narrow(axis, 0, length) * kernel[0]
    for shift, weight in enumerate(kernel[1:], start=1):
        total.add_(maps.narrow(axis, shift, length), alpha=weight)
    return total


def _halved(image: Tensor) -> Tensor:
    """The 2 x 2 averages of a picture; the last row or column of an odd side is averaged alone."""
    return _by_channel(image, lambda x: F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False))


def _by_channel(image: Tensor, shrink: Callable[[Tensor], Tensor]) -> Tensor:
    """Shrink one channel at a time, in float64."""
    return torch.cat([shrink(_exact(image[:, c : c + 1])) for c in range(image.shape[1])], 1)


def _strips(rows: int, pixels_per_row: int) -> Iterator[tuple[int, int]]:
    """The first row, and the one after the last, of each strip."""
    size = max(_ROWS, _STRIP // pixels_per_row)
    return ((start, min(start + size, rows)) for start in range(0, rows, size))


def _replicated(start: int, stop: int, size: int) -> Tensor:
    """The indices start - 5 ... stop + 4, held inside 0 ... size - 1."""
    return torch.arange(start - _RADIUS, stop + _RADIUS).clamp(0, size - 1)


def _exact(image: Tensor) -> Tensor:
    """A float64 copy."""
    return image.to(torch.float64, copy=True)


def _check(restored: Tensor, clean: Tensor, window: int, what: str = "") -> None:
    if restored.shape != clean.shape:
        raise ValueError(
            f"restored and clean must have one shape, got {tuple(restored.shape)} and {tuple(clean.shape)}"
        )
    if clean.ndim != 4:
        raise ValueError(f"expected pictures of shape (B, C, H, W), got {tuple(clean.shape)}")
    if min(clean.shape) < 1:
        raise ValueError(f"expected at least one picture with at least one pixel, got shape {tuple(clean.shape)}")
    height, width = clean.shape[-2:]
    if min(height, width) < window:
        what = what or f"the window is {window} x {window}"
        raise ValueError(f"a picture of {width} x {height} pixels is too small: {what}, so each side needs {window}")
