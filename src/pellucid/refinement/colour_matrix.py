"""The humblest refinement: every pixel's colour times one matrix, plus one offset; twelve numbers that know no prior.

What it gains, a network was merely off in exposure and white balance. `training.least_squares` finds the numbers.
"""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["ColourMatrix"]


class ColourMatrix(nn.Module):
    """matrix @ restored + offset, at every pixel. Untrained it returns the restored image.

    Args:
        prior_width: of the prior's vector, at which it does not look.
    """

    multiple = 1
    takes_maps = False

    def __init__(self, prior_width: int = 1) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"prior_width": prior_width}
        self.matrix = nn.Parameter(torch.eye(3))
        self.offset = nn.Parameter(torch.zeros(3))

    def forward(
        self,
        restored: Tensor,
        degraded: Tensor,
        feature: Tensor,
        *,
        grid: Tensor | None = None,
        memory: int | None = None,
    ) -> Tensor:
        """(B, 3, H, W) in and out; of the rest nothing is looked at."""
        return torch.einsum("oc,bchw->bohw", self.matrix, restored) + self.offset[:, None, None]
