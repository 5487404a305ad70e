"""Which part of a picture is most like another picture, by DINOv2's patch tokens.

Source: "Improving Image Restoration through Removing Degradations in Textual Representations" (CVPR 2024, arXiv
2312.17334), whose code so chooses, in training, the part of a guidance image that is shown beside a crop.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.priors.dinov2 import dinov2

__all__ = ["WindowPicker"]


class WindowPicker:
    """Picks windows by the cosine of all patch tokens, flattened.

    Args:
        name: the folder or the name of a DINOv2.
        stride: pixels between windows.
    """

    def __init__(self, name: str, stride: int = 96) -> None:
        self.prior, self.stride = dinov2(name), stride

    @torch.no_grad()
    def window(self, crop: Tensor, picture: Tensor) -> Tensor:
        """Of a picture (1, 3, H, W) the window as large as a crop (1, 3, h, w) that is most like it; (1, 3, h, w).

        A picture that is smaller along a side is taken whole along it.
        """
        height, width = (min(one, other) for one, other in zip(crop.shape[2:], picture.shape[2:], strict=True))
        windows = [
            picture[:, :, top : top + height, left : left + width]
            for top in _starts(picture.shape[2], height, self.stride)
            for left in _starts(picture.shape[3], width, self.stride)
        ]
        if len(windows) == 1:
            return windows[0]
        # As large as the crop, in whole patches: no detail is lost on the way into the transformer.
        patch = self.prior.module.config.patch_size
        sides = [-(-side // patch) * patch for side in crop.shape[2:]]
        seen = F.interpolate(torch.cat([crop, *windows]), sides, mode="bicubic", antialias=True).clamp(0, 1)
        output = self.prior.module(pixel_values=self.prior.normalise(seen))
        others = 1 + getattr(self.prior.module.config, "num_register_tokens", 0)
        tokens = F.normalize(output.last_hidden_state[:, others:].flatten(1), dim=1)
        return windows[int((tokens[1:] @ tokens[0]).argmax())]


def _starts(length: int, side: int, stride: int) -> list[int]:
    """Where windows begin: at every stride, and at the end."""
    return sorted({*range(0, length - side + 1, stride), length - side})
