"""How the prior's vector and the place in the image enter a convolution: T(g) and S of PTG-RM's equations (2), (4), (5)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SLOPE", "GuidedConvolution", "PositionEmbedding", "PriorMap", "coordinates"]

SLOPE = 0.1
"""The slope of every LeakyReLU in R."""


class PriorMap(nn.Sequential):
    """T: the prior's vector (B, prior_width) to (B, 4 * width)."""

    def __init__(self, prior_width: int, hidden: int, width: int) -> None:
        super().__init__(
            nn.Linear(prior_width, hidden, bias=False), nn.LeakyReLU(SLOPE), nn.Linear(hidden, 4 * width, bias=False)
        )


class PositionEmbedding(nn.Sequential):
    """S: coordinates (B, 2, h, w) in [-1, 1] to (B, width, h, w)."""

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.Conv2d(2, width, 3, padding=1, bias=False), nn.LeakyReLU(SLOPE), nn.Conv2d(width, width, 1, bias=False)
        )


class GuidedConvolution(nn.Module):
    """The 3x3 convolution of [features, T(g), S], with the same result and without building that concatenation.

    T(g) is the same at every pixel, so its share is one number per image and output channel; zero padding makes that number
    differ along the border, where it takes nine values in all. They are found on a map of 3 x 3 pixels and spread out, and
    the convolution runs over a third of the channels.
    """

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.empty(out, 6 * width, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, features: Tensor, prior: Tensor, position: Tensor) -> Tensor:
        """Features (B, width, h, w), prior (B, 4 * width), position (B, width, h, w) to (B, out, h, w)."""
        of_features, of_prior, of_position = torch.split(self.weight, [self.width, 4 * self.width, self.width], dim=1)
        near = F.conv2d(torch.cat([features, position], 1), torch.cat([of_features, of_position], 1), padding=1)
        height, width = features.shape[2:]
        constant = prior[:, :, None, None].expand(-1, -1, min(height, 3), min(width, 3))
        border = F.conv2d(constant, of_prior, padding=1)
        rows, columns = _thirds(height, features.device), _thirds(width, features.device)
        return near + border[:, :, rows][:, :, :, columns]


def coordinates(shape: torch.Size, grid: Tensor | None, device: torch.device) -> Tensor:
    """The place of every pixel of a latent of `shape` (B, C, h, w): rows, then columns, -1 to 1 over the whole image.

    Args:
        shape: of the latent.
        grid: (B, 4), where it lies: top, left, bottom, right as fractions of the whole image; None when it is the whole.
        device: where to put them.

    Returns:
        (B, 2, h, w), float32.
    """
    batch, _, height, width = shape
    if grid is None:
        grid = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(batch, 4)
    top, left, bottom, right = grid.to(device).float().unbind(1)
    rows, columns = _axis(height, top, bottom), _axis(width, left, right)
    return torch.stack(
        [rows[:, :, None].expand(batch, height, width), columns[:, None, :].expand(batch, height, width)], dim=1
    )


def _axis(length: int, start: Tensor, end: Tensor) -> Tensor:
    """Coordinates (B, length) of the part from `start` to `end` of an axis that runs from -1 to 1."""
    total = length / (end - start)
    steps = (start * total)[:, None] + torch.arange(length, device=start.device)
    return 2 * steps / (total - 1).clamp_min(1)[:, None] - 1


def _thirds(length: int, device: torch.device) -> Tensor:
    """For each of `length` places the index 0 (first), 1 (inner) or 2 (last) of a map of min(length, 3) places."""
    places = torch.arange(length, device=device)
    return places if length <= 3 else (places > 0).long() + (places == length - 1).long()
