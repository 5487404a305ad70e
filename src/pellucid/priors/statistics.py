"""The image's own statistics as a prior: what can be known of an image without any pre-trained model.

The control that asks whether a pre-trained prior gives more than a few numbers anybody can compute: colours, gradients
at several scales, and estimates of noise, blur and blocks.
"""

import math
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.images.jpeg_blocks import JPEG_BLOCK
from pellucid.images.luma import LUMA
from pellucid.priors.contract import FrozenPrior, check_image, unit_rms
from pellucid.scratch import mapped

__all__ = ["STATISTICS", "Statistics", "image_statistics", "luma_of", "scaled_vector"]

COLOURS = ("red", "green", "blue")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SCALES = (1, 2, 4, 8)
AXES = ("across", "down")
SAMPLES = 2**16
"""Quantiles and medians of larger images are those of about so many pixels, spread evenly."""

STATISTICS: tuple[str, ...] = (
    *(f"mean {colour}" for colour in COLOURS),
    *(f"deviation {colour}" for colour in COLOURS),
    *(f"quantile {part} {colour}" for colour, part in product(COLOURS, QUANTILES)),
    *(f"gradient {axis} at 1/{scale}" for scale, axis in product(SCALES, AXES)),
    *(f"noise {colour}" for colour in COLOURS),
    *(f"blur {axis}" for axis in AXES),
    *(f"blocks {axis}" for axis in AXES),
    "darkest colour",
    "chroma",
    "black",
    "white",
)
"""What the components are, in order; each in [0, 1].

mean, quantile      of a colour
deviation           twice a colour's standard deviation
gradient            mean absolute difference of neighbours in the luma, averaged down by 1, 2, 4 and 8; logarithmic
noise               standard deviation of a colour's noise, from the median of the finest diagonal wavelet; logarithmic
blur                the no-reference measure of Crete et al. (2007), 0 for sharp
blocks              differences across the edges of 8 x 8 blocks, as a part of those plus the ones inside; 0.5 for none
darkest colour      mean of each pixel's smallest colour, high in haze
chroma              mean of each pixel's largest colour minus its smallest
black, white        part of the pixels that are clipped

Logarithmic is log(1 + 255 v) / log(256). Differences that an image is too small to have are 0, and blur is then 1.
"""


class Statistics(FrozenPrior):
    """The numbers STATISTICS names, as one vector of 41: each as 2v - 1, and last a one.

    The view is the statistics themselves, computed at the image's own resolution, because resizing would take noise,
    blur and blocks away.
    """

    def __init__(self) -> None:
        super().__init__("statistics", len(STATISTICS) + 1, (1, 1))
        self.view_channels = len(STATISTICS)
        self.freeze()

    @torch.no_grad()
    def prepare(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) of any size, in [0, 1], to its statistics (B, 40, 1, 1), in [0, 1]."""
        return image_statistics(image)[:, :, None, None]

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Statistics (B, 40, 1, 1) to vectors (B, 41), float32, of unit root-mean-square."""
        return scaled_vector(view.flatten(1))


def scaled_vector(values: Tensor) -> Tensor:
    """Values (B, n) in [0, 1] to vectors (B, n + 1) of unit root-mean-square: 2v - 1, and a one.

    The one keeps what the normalisation would lose: every component divided by the last is what it was.
    """
    return unit_rms(torch.cat([2 * values.float() - 1, torch.ones_like(values[:, :1], dtype=torch.float32)], 1))


def image_statistics(image: Tensor) -> Tensor:
    """The numbers STATISTICS names: (B, 3, H, W) in [0, 1] to (B, 40) in [0, 1]; values outside are clamped first.

    Raises ValueError when `image` is not (B, 3, H, W).
    """
    luma = luma_of(image)[:, 0]
    image = image.float().clamp(0, 1)
    pixels = image.flatten(2)
    darkest, brightest = image.amin(1), image.amax(1)
    gradients = [_step(_shrunk(axis, scale)) for scale in SCALES for axis in (luma, luma.mT)]
    parts = [
        pixels.mean(2),
        2 * pixels.std(2, correction=0),
        _quantiles(image, QUANTILES).flatten(1),
        _logarithmic(torch.stack(gradients, 1)),
        _logarithmic(_noise(image)),
        torch.stack([_blur(luma), _blur(luma.mT)], 1),
        torch.stack([_blocks(luma), _blocks(luma.mT)], 1),
        *(
            plane.float().mean((1, 2))[:, None]
            for plane in (darkest, brightest - darkest, brightest < 1.5 / 255, darkest > 253.5 / 255)
        ),
    ]
    return torch.cat(parts, 1).clamp(0, 1)


def luma_of(image: Tensor) -> Tensor:
    """0.299 R + 0.587 G + 0.114 B of an image clamped to [0, 1], float32: (B, 3, H, W) to (B, 1, H, W).

    Raises ValueError when `image` is not (B, 3, H, W).
    """
    check_image(image)
    return mapped(_luma, image, cached=True)


def _luma(image: Tensor) -> Tensor:
    # One channel at a time: no other copy of the image is made.
    red, green, blue = (image[:, channel : channel + 1].float().clamp(0, 1) for channel in range(3))
    return red.mul_(LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def _quantiles(planes: Tensor, parts: tuple[float, ...]) -> Tensor:
    """Quantiles (B, C, parts) of planes (B, C, H, W), linear between the nearest values."""
    step = max(1, math.ceil(math.sqrt(planes.shape[2] * planes.shape[3] / SAMPLES)))
    values = planes[:, :, ::step, ::step].detach().flatten(2).cpu().numpy()
    # numpy selects; torch would sort, which takes most of the time of all statistics.
    found = np.quantile(values, parts, axis=2).astype(np.float32)
    return torch.from_numpy(found).permute(1, 2, 0).to(planes.device)


def _noise(image: Tensor) -> Tensor:
    """Standard deviation of each channel's noise, (B, C), as Donoho and Johnstone (1994) estimate it.

    The median absolute value of Haar's diagonal detail, over that of a standard normal distribution.
    """
    height, width = (side - side % 2 for side in image.shape[2:])
    if not height or not width:
        return image.new_zeros(image.shape[:2])
    corners = [image[:, :, top:height:2, left:width:2] for top in (0, 1) for left in (0, 1)]
    detail = (corners[0] - corners[1] - corners[2] + corners[3]) / 2
    return _quantiles(detail.abs(), (0.5,))[:, :, 0] / 0.6744897501960817


def _shrunk(plane: Tensor, scale: int) -> Tensor:
    """(B, H, W) averaged down; empty where it is smaller than `scale`."""
    if min(plane.shape[1:]) < scale:
        return plane[:, :0, :0]
    return F.avg_pool2d(plane[:, None], scale)[:, 0]


def _step(plane: Tensor) -> Tensor:
    """Mean absolute difference of neighbours across, (B,); 0 where there are none."""
    return _mean(plane.diff(dim=2).abs())


def _blur(plane: Tensor) -> Tensor:
    """How blurred (B, H, W) is across, (B,) in [0, 1]: the part of its gradients that blurring it further leaves.

    Crete, Dolmiere, Ladret and Nicolas, "The blur effect: perception and estimation with a new no-reference perceptual
    blur metric" (2007), with a mean of 11 pixels and Sobel's gradients.
    """
    softer = F.avg_pool2d(_mirrored(plane, 5)[:, None], (1, 11), stride=1)[:, 0]
    sharp, soft = (_edges(one)[:, 2:-1, 2:-1] for one in (plane, softer))
    total = sharp.sum((1, 2))
    lost = (sharp - soft).clamp_min(0).sum((1, 2))
    return torch.where(total > 0, 1 - lost / total.clamp_min(1e-12), 1.0)


def _edges(plane: Tensor) -> Tensor:
    """Absolute values of Sobel's filter across, up to a factor, (B, H, W)."""
    across = _mirrored(plane, 1)
    across = across[:, :, 2:] - across[:, :, :-2]
    down = _mirrored(across.mT, 1).mT
    return (down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]).abs()


def _mirrored(plane: Tensor, margin: int) -> Tensor:
    """(B, H, W) with `margin` columns more at both sides, mirrored at the border so that the outermost ones repeat."""
    width = plane.shape[2]
    places = torch.arange(-margin, width + margin, device=plane.device) % (2 * width)
    return plane[:, :, torch.minimum(places, 2 * width - 1 - places)]


def _blocks(plane: Tensor) -> Tensor:
    """Differences across the edges of blocks, as a part of those plus the ones inside, (B,); 0.5 where both are
    equal."""
    differences = plane.diff(dim=2).abs()
    at_edge = torch.arange(differences.shape[2], device=plane.device) % JPEG_BLOCK == JPEG_BLOCK - 1
    edges, inside = _mean(differences[:, :, at_edge]), _mean(differences[:, :, ~at_edge])
    if not at_edge.any():
        edges = inside
    total = edges + inside
    return torch.where(total > 0, edges / total.clamp_min(1e-12), 0.5)


def _mean(plane: Tensor) -> Tensor:
    """The mean of (B, H, W), (B,); 0 where it is empty."""
    return plane.mean((1, 2)) if plane[0].numel() else plane.new_zeros(len(plane))


def _logarithmic(values: Tensor) -> Tensor:
    return (255 * values).log1p() / math.log(256)
