"""The residual block without normalisation, as several networks have it."""

from torch import Tensor, nn

__all__ = ["ResidualBlock"]


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), both 3 x 3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        result: Tensor = features + self.second(self.first(features).relu())
        return result
