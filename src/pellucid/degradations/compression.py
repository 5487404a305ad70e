"""JPEG: what a file that forgets does to a photograph."""

from dataclasses import dataclass
from io import BytesIO
from typing import ClassVar, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pellucid.degradations.batching import degrade_each
from pellucid.errors import ImageError, SettingsError

__all__ = ["Jpeg"]

_LONGEST = 65500
"""The longest side that libjpeg takes."""


@dataclass(frozen=True)
class Jpeg:
    """Baseline JPEG by libjpeg itself: the image of 8 bits is compressed, and decoded again.

    Args:
        quality: of libjpeg, 1..100; cameras write 90 to 98, the web 60 to 85.
        subsampling: of the colours of an RGB image; `4:2:0` halves them both ways, `4:4:4` leaves them whole.
    """

    kind: ClassVar[str] = "jpeg"

    quality: int
    subsampling: Literal["4:2:0", "4:2:2", "4:4:4"] = "4:2:0"

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise SettingsError(f"jpeg: quality must lie in 1..100, got {self.quality}")
        if self.subsampling not in ("4:2:0", "4:2:2", "4:4:4"):
            raise SettingsError(f"jpeg: subsampling must be 4:2:0, 4:2:2 or 4:4:4, got {self.subsampling!r}")

    @property
    def severity(self) -> float:
        """What the quality lacks to 100."""
        return 100.0 - self.quality

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Clean (..., C, H, W) in [0, 1], C = 1 or 3, to degraded, same shape, of 8 bits; draws nothing.

        Raises:
            ImageError: a side is longer than 65500 pixels, the most that JPEG files hold.
        """
        if max(clean.shape[-2:]) > _LONGEST:
            raise ImageError(f"jpeg: a side may have {_LONGEST} pixels, got {max(clean.shape[-2:])}")
        return degrade_each(clean, self._compressed)

    def _compressed(self, clean: Tensor) -> Tensor:
        levels = clean.detach().cpu().clamp(0, 1).mul_(255).round_().to(torch.uint8)
        picture = Image.fromarray(
            levels[0].numpy() if len(levels) == 1 else levels.permute(1, 2, 0).contiguous().numpy()
        )
        file = BytesIO()
        picture.save(file, "JPEG", quality=self.quality, subsampling=self.subsampling)
        with Image.open(file, formats=["JPEG"]) as decoded:
            array = np.array(decoded).reshape(*clean.shape[-2:], -1)
        return torch.from_numpy(array).permute(2, 0, 1).contiguous().to(clean.device, clean.dtype).div_(255)
