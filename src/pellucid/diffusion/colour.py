"""Tones of one picture for another: what sampling has shifted is brought back.

adain       mean and spread of each channel (Huang and Belongie, ICCV 2017, arXiv 1703.06868)
wavelet     everything coarse: five levels of the à trous transform with [1 2 1] / 4, as StableSR does (Wang et al.,
            IJCV 2024, arXiv 2305.07015)
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["adain", "low_pass", "wavelet"]

LEVELS = 5


def adain(image: Tensor, reference: Tensor) -> Tensor:
    """The image (B, C, H, W) with each channel's mean and standard deviation those of the reference."""
    spread = reference.std((2, 3), keepdim=True) / image.std((2, 3), keepdim=True).clamp_min(1e-5)
    return (image - image.mean((2, 3), keepdim=True)) * spread + reference.mean((2, 3), keepdim=True)


def wavelet(image: Tensor, reference: Tensor, levels: int = LEVELS) -> Tensor:
    """What is fine of the image, and what is coarse of the reference; both (B, C, H, W)."""
    return image - low_pass(image, levels) + low_pass(reference, levels)


def low_pass(image: Tensor, levels: int) -> Tensor:
    """What is left of an image after so many levels: each blurs by [1 2 1] / 4 both ways, twice as far as the one
    before; edges are repeated."""
    taps = torch.tensor([1.0, 2.0, 1.0], device=image.device, dtype=image.dtype) / 4
    channels = image.shape[1]
    for level in range(levels):
        reach = 2**level
        for shape, padding, dilation in (
            ((channels, 1, 3, 1), (0, 0, reach, reach), (reach, 1)),
            ((channels, 1, 1, 3), (reach, reach, 0, 0), (1, reach)),
        ):
            kernel = taps.view(1, 1, *shape[2:]).expand(shape)
            image = F.conv2d(F.pad(image, padding, "replicate"), kernel, dilation=dilation, groups=channels)
    return image
