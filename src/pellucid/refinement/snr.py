"""The signal-to-noise ratio of an image, place by place, as a mask: where near context is enough.

Source: "SNR-Aware Low-Light Image Enhancement" (CVPR 2022), equations (1) and (2), which mixes a convolutional and a
transformer branch with it. Table 3 of PTG-RM (arXiv 2403.06793) compares it with the learned range map.
"""

import torch.nn.functional as F
from torch import Tensor

from pellucid.priors.snr import snr_map
from pellucid.refinement.windows import Windows

__all__ = ["snr_mask"]

LEAST = 1e-4
"""Of the largest ratio, so that the mask of a black image is 0."""


def snr_mask(image: Tensor, windows: Windows) -> Tensor:
    """The ratio as a mask for a latent: (B, 3, H, W), sides divisible by 4, to (B, 1, H / 4, W / 4) in [0, 1].

    Each place is the mean over its 4 x 4 pixels, divided by the largest of the image's places, so that the masks of
    bright and of dark images have one range; 0 where all is black. A pixel of the ratio depends on two around it.
    """
    places = windows.map(lambda part: F.avg_pool2d(snr_map(part), 4), image, halo=1)
    return places / places.amax((2, 3), keepdim=True).clamp_min(LEAST)
