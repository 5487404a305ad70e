"""What can be measured without the clean picture and without any weights: noise, sharpness, blockiness."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.images.jpeg_blocks import JPEG_BLOCK
from pellucid.metrics.colour import grey
from pellucid.metrics.fidelity import filtered

__all__ = ["blockiness", "noise_sigma", "sharpness"]

# The high-pass filter of Daubechies' wavelet with two vanishing moments: it takes out flat and evenly sloping parts.
_WAVELET = (-0.12940952255092145, -0.22414386804185735, 0.836516303737469, -0.48296291314469025)
_SIDE = 32
# The median of |x| for a unit Gaussian; then what the lower quartile of the blocks of pure noise lacks (measured).
_MEDIAN, _QUARTILE = 0.6744897501960817, 0.97


@torch.no_grad()
def noise_sigma(image: Tensor) -> Tensor:
    """The standard deviation of white noise in (B, C, H, W) pictures in [0, 1], on the scale 0..255, as float64 (B,).

    The median absolute diagonal wavelet coefficient (Donoho and Johnstone 1994) of each block of 32 x 32, then the
    lower quartile of the blocks, since texture only ever adds; the average of the channels. Places that are exactly 0
    or 1 are left out, since clipping removed their noise. On photographs within a tenth for sigma 10..50; a clean
    photograph gives what its finest texture looks like, 0.3 to 3 (7 for one that is texture throughout). Raises
    ValueError where a side is shorter than 4 pixels.
    """
    _check(image, 4)
    channels = [_channel_sigma(image[:, c]) for c in range(image.shape[1])]
    return torch.stack(channels).mean(0) * 255


@torch.no_grad()
def sharpness(image: Tensor) -> Tensor:
    """The variance of the Laplacian of the brightness on the scale 0..255, of (B, C, H, W) in [0, 1], as float64 (B,).

    Falls with blur, rises with noise, depends on the scene: compare two versions of one picture. (Pech-Pacheco et al.
    2000.) Raises ValueError where a side is shorter than 3 pixels.
    """
    _check(image, 3)
    plane = grey(image)[:, 0] * 255
    across = plane[:, 1:-1, :-2] + plane[:, 1:-1, 2:]
    down = plane[:, :-2, 1:-1] + plane[:, 2:, 1:-1]
    return (across + down - 4 * plane[:, 1:-1, 1:-1]).var((1, 2), correction=0)


@torch.no_grad()
def blockiness(image: Tensor) -> Tensor:
    """How much more neighbours differ across JPEG's 8 x 8 grid than beside it, of (B, C, H, W), as float64 (B,).

    1 for a picture never compressed, more as JPEG's quality falls. The grid starts in the upper left corner: a picture
    cropped after compression shows nothing here. Raises ValueError where a side is shorter than 9 pixels.
    """
    _check(image, 9)
    plane = grey(image)[:, 0]
    return (_grid_ratio(plane) + _grid_ratio(plane.mT)) / 2


def _grid_ratio(plane: Tensor) -> Tensor:
    steps = (plane[..., 1:] - plane[..., :-1]).abs().mean(1)
    on_grid = torch.arange(steps.shape[-1], device=plane.device) % JPEG_BLOCK == JPEG_BLOCK - 1
    # A thousandth of a grey level keeps a flat picture at 1 instead of 0 / 0.
    least = 1e-3 / 255
    return (steps[:, on_grid].mean(1) + least) / (steps[:, ~on_grid].mean(1) + least)


def _channel_sigma(plane: Tensor) -> Tensor:
    detail = filtered(filtered(plane.to(torch.float64), _WAVELET, -2), _WAVELET, -1).abs_()
    clipped = F.max_pool2d(((plane == 0) | (plane == 1)).float()[:, None], 4, stride=1)[:, 0] > 0
    detail[clipped] = torch.nan
    return torch.stack([_typical(picture) for picture in detail]) / _MEDIAN


def _typical(detail: Tensor) -> Tensor:
    """The typical size of one picture's wavelet coefficients (H, W), of which some are nan; 0 if all are."""
    rows, columns = (side // _SIDE for side in detail.shape)
    tiled = detail[: rows * _SIDE, : columns * _SIDE].reshape(rows, _SIDE, columns, _SIDE)
    blocks = tiled.transpose(1, 2).reshape(rows * columns, _SIDE**2)
    blocks = blocks[blocks.isfinite().double().mean(1) >= 0.5]
    if len(blocks):
        return blocks.nanmedian(1).values.quantile(0.25) / _QUARTILE
    return detail.flatten().nanmedian().nan_to_num()


def _check(image: Tensor, least: int) -> None:
    if image.ndim != 4:
        raise ValueError(f"expected pictures of shape (B, C, H, W), got {tuple(image.shape)}")
    height, width = image.shape[-2:]
    if min(height, width) < least:
        raise ValueError(f"a picture of {width} x {height} pixels is too small: each side needs {least}")
