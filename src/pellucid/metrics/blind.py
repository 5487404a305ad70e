"""What can be measured without the clean picture and without any weights: noise, sharpness, blockiness."""

import torch
from torch import Tensor

from pellucid.images.jpeg_blocks import JPEG_BLOCK
from pellucid.images.noise import noise_sigma
from pellucid.metrics.colour import grey

__all__ = ["blockiness", "noise_sigma", "sharpness"]


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


def _check(image: Tensor, least: int) -> None:
    if image.ndim != 4:
        raise ValueError(f"expected pictures of shape (B, C, H, W), got {tuple(image.shape)}")
    height, width = image.shape[-2:]
    if min(height, width) < least:
        raise ValueError(f"a picture of {width} x {height} pixels is too small: each side needs {least}")
