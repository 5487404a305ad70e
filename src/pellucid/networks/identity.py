"""The network that leaves a photograph as it is: an expert for those with which nothing is wrong."""

from typing import Any

from torch import Tensor, nn

__all__ = ["Identity"]


class Identity(nn.Module):
    """Image in, the same image out: (B, C, H, W). It has no parameters, so by itself there is nothing to train."""

    multiple = 1
    scale = 1

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {}

    @classmethod
    def tiny(cls) -> "Identity":
        """The smallest useful instance, for tests."""
        return cls()

    def forward(self, degraded: Tensor) -> Tensor:
        """Returns a copy."""
        return degraded.clone()
