"""The signal-to-noise ratio of an image, place by place, as a mask: where near context is enough.

Source: "SNR-Aware Low-Light Image Enhancement" (CVPR 2022), equations (1) and (2), which mixes a convolutional and a
transformer branch with it. Table 3 of PTG-RM (arXiv 2403.06793) compares it with the learned range map.
"""

import torch.nn.functional as F
from torch import Tensor

from pellucid.images.luma import LUMA
from pellucid.refinement.windows import Windows

__all__ = ["signal_to_noise", "snr_mask"]

SIDE = 5
"""Of the mean filter, in pixels."""
LEAST = 1e-4
"""Noise is at least this, in units of [0, 1]: a flat area has none."""


def signal_to_noise(image: Tensor) -> Tensor:
    """The luma's 5x5 mean over its absolute difference from it: (B, 3, H, W) in [0, 1] to (B, 1, H, W), 0 to 10,000.

    Values outside [0, 1] are clamped; at the border the mean is that of the pixels there are. A pixel depends on two around it.
    """
    red, green, blue = image.float().clamp(0, 1).chunk(3, dim=1)
    luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    signal = F.avg_pool2d(luma, SIDE, stride=1, padding=SIDE // 2, count_include_pad=False)
    ratio: Tensor = signal / (luma - signal).abs().clamp_min(LEAST)
    return ratio


def snr_mask(image: Tensor, windows: Windows) -> Tensor:
    """The ratio as a mask for a latent: (B, 3, H, W), sides divisible by 4, to (B, 1, H / 4, W / 4) in [0, 1].

    Each place is the mean over its 4 x 4 pixels, divided by the largest of the image's places, so that the masks of bright and
    of dark images have one range; 0 where all is black.
    """
    places = windows.map(lambda part: F.avg_pool2d(signal_to_noise(part), 4), image, halo=1)
    return places / places.amax((2, 3), keepdim=True).clamp_min(LEAST)
