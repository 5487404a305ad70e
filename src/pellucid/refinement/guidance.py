"""How the prior and the place in the image enter R: T(g) and S of PTG-RM's equations (2), (4), (5), and plain
concatenation."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.priors import unit_rms

__all__ = [
    "SLOPE",
    "Concatenation",
    "GuidedConvolution",
    "PositionEmbedding",
    "PriorMap",
    "PriorNorm",
    "Standardise",
    "UnitLength",
    "centres",
    "coordinates",
    "even",
    "spread",
]

SLOPE = 0.1
"""The slope of every LeakyReLU in R."""


PriorNorm = Literal["none", "components", "photographs", "length"]

LEAST_DEVIATION, LARGEST_DEVIATIONS = 0.1, 5.0
"""Of the prior's numbers over the training photographs: one that hardly differs among them, measured by the median of
all deviations, would be blown up by any other photograph, and none may lie farther out than so many deviations."""


class Standardise(nn.Module):
    """Each of the prior's numbers less its mean over the training photographs, in units of its deviation there.

    No number becomes larger than `LARGEST_DEVIATIONS`. Until it has `learn`t them nothing is shifted or scaled.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, prior_width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(prior_width))
        self.register_buffer("deviation", torch.ones(prior_width))

    def learn(self, vectors: Tensor) -> None:
        """From the prior's vectors (N, prior_width) of training photographs, N of two or more.

        A number that is the same in all of them tells nothing, and keeps its unit; no deviation counts as smaller than
        `LEAST_DEVIATION` times the median of those that differ.
        """
        deviation, mean = torch.std_mean(vectors.double(), dim=0)
        differs = deviation > 1e-6
        least = LEAST_DEVIATION * deviation[differs].median() if differs.any() else deviation.new_zeros(())
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(differs, deviation.clamp_min(least), 1))

    def forward(self, prior: Tensor) -> Tensor:
        """(..., prior_width) to the same."""
        return ((prior - self.mean) / self.deviation).clamp(-LARGEST_DEVIATIONS, LARGEST_DEVIATIONS)


class UnitLength(nn.Module):
    """Vectors of unit length, as the authors' code gives them to T."""

    def forward(self, prior: Tensor) -> Tensor:
        """(..., prior_width) to the same."""
        return F.normalize(prior, dim=-1)


class PriorMap(nn.Sequential):
    """T: the prior's vector (..., prior_width) to (..., 4 * width).

    Args:
        prior_width: length of the vector.
        hidden: hidden width.
        width: channels of the latent.
        norm: what is done to the vector first. "none": nothing, as in the paper. "components": layer normalisation over
            its numbers. "photographs": `Standardise`. "length": `UnitLength`.
    """

    def __init__(self, prior_width: int, hidden: int, width: int, *, norm: PriorNorm = "none") -> None:
        first: list[nn.Module] = []
        if norm == "components":
            first = [nn.LayerNorm(prior_width)]
        elif norm == "photographs":
            first = [Standardise(prior_width)]
        elif norm == "length":
            first = [UnitLength()]
        super().__init__(
            *first,
            nn.Linear(prior_width, hidden, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, 4 * width, bias=False),
        )


class PositionEmbedding(nn.Sequential):
    """S: coordinates (B, 2, h, w) in [-1, 1] to (B, width, h, w)."""

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.Conv2d(2, width, 3, padding=1, bias=False), nn.LeakyReLU(SLOPE), nn.Conv2d(width, width, 1, bias=False)
        )


class GuidedConvolution(nn.Module):
    """The 3x3 convolution of [features, T(g), S], with the same result and without building that concatenation.

    T(g) is the same at every pixel, so its share is one number per image and output channel; zero padding makes that
    number differ along the border. For one image it is a plane of ones, beside a third of the channels. For several it
    takes nine values in all for each, which are found on a map of 3 x 3 pixels and spread out.

    Args:
        width: channels of the features, and of S.
        out: channels of the result.
        prior: whether T(g) is part of the concatenation.
        position: whether S is.
    """

    def __init__(self, width: int, out: int, *, prior: bool = True, position: bool = True) -> None:
        super().__init__()
        self.widths = [width, 4 * width * prior, width * position]
        self.weight = nn.Parameter(torch.empty(out, sum(self.widths), 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, features: Tensor, prior: Tensor | None, position: Tensor | None) -> Tensor:
        """Features (B, width, h, w), prior (B, 4 * width), position (B, width, h, w) to (B, out, h, w).

        The prior and the position are None where they are no part of the concatenation.
        """
        of_features, of_prior, of_position = torch.split(self.weight, self.widths, dim=1)
        parts, kernels = [features], [of_features]
        if position is not None:
            parts, kernels = [*parts, position], [*kernels, of_position]
        if prior is not None and len(features) == 1:
            # One image: T(g) is a plane of ones under a kernel of its own.
            parts.append(features.new_ones(()).expand(1, 1, *features.shape[2:]))
            kernels.append((of_prior * prior.to(of_prior.dtype)[0, :, None, None]).sum(1, keepdim=True))
        near = F.conv2d(torch.cat(parts, 1), torch.cat(kernels, 1), padding=1)
        if prior is None or len(features) == 1:
            return near
        height, width = features.shape[2:]
        constant = prior[:, :, None, None].expand(-1, -1, min(height, 3), min(width, 3))
        border = F.conv2d(constant, of_prior, padding=1)
        rows, columns = _thirds(height, features.device), _thirds(width, features.device)
        return near + border[:, :, rows][:, :, :, columns]


def even(features: Tensor, eps: float = 1e-6) -> Tensor:
    """Maps (B, C, ...) scaled so that the C values at each place have a root-mean-square of one."""
    wide = features.float()
    return (wide * torch.rsqrt(wide.square().mean(1, keepdim=True) + eps)).to(features.dtype)


class Concatenation(nn.Module):
    """The plain way for a prior to come in: T(g) beside the features, at every place, and a 1x1 convolution over
    both."""

    def __init__(self, prior_width: int, hidden: int, width: int, *, norm: PriorNorm = "none") -> None:
        super().__init__()
        self.prior = PriorMap(prior_width, hidden, width, norm=norm)
        self.mix = nn.Conv2d(5 * width, width, 1, bias=False)

    def project(self, prior: Tensor) -> Tensor:
        """T of a vector (B, prior_width), to (B, 4 width, 1, 1); or of maps (B, prior_width, h, w), to (B, 4 width, h,
        w).

        Vectors of priors have unit root-mean-square, and so maps are brought to it: one number for each image.
        """
        if prior.ndim == 2:
            projected: Tensor = self.prior(prior)[:, :, None, None]
            return projected
        prior = unit_rms(prior.flatten(1)).reshape(prior.shape)
        at_places: Tensor = self.prior(prior.permute(0, 2, 3, 1))
        return at_places.permute(0, 3, 1, 2)

    def forward(self, features: Tensor, projected: Tensor) -> Tensor:
        """Features (B, width, h, w) and T(g) (B, 4 width, h, w), or (B, 4 width, 1, 1) for all places, to (B, width, h,
        w)."""
        everywhere = projected.to(features.dtype).expand(-1, -1, *features.shape[2:])
        mixed: Tensor = self.mix(torch.cat([features, everywhere], 1))
        return mixed


def coordinates(shape: torch.Size, grid: Tensor | None, device: torch.device) -> Tensor:
    """The place of every pixel of a latent of `shape` (B, C, h, w): rows, then columns, -1 to 1 over the whole image.

    Args:
        shape: of the latent.
        grid: (B, 4), where it lies: top, left, bottom, right as fractions of the whole image; None when it is the
            whole.
        device: where to put them.

    Returns:
        (B, 2, h, w), float32.
    """
    top, left, bottom, right = _edges(shape, grid, device)
    return _plane(_axis(shape[2], top, bottom), _axis(shape[3], left, right))


def centres(shape: torch.Size, grid: Tensor | None, device: torch.device) -> Tensor:
    """As `coordinates`, but -1 and 1 are the whole image's edges rather than the middles of its outermost places.

    These do not depend on how finely the whole is divided, and so say where a place lies in maps of another size.
    """
    top, left, bottom, right = _edges(shape, grid, device)
    return _plane(_middles(shape[2], top, bottom), _middles(shape[3], left, right))


def spread(maps: Tensor, centres: Tensor) -> Tensor:
    """Maps (B, C, m, n) of the whole image, read between their places at `centres` (B, 2, h, w), to (B, C, h, w)."""
    columns_first = centres.flip(1).permute(0, 2, 3, 1)
    return F.grid_sample(maps.float(), columns_first, mode="bilinear", padding_mode="border", align_corners=False)


def _edges(shape: torch.Size, grid: Tensor | None, device: torch.device) -> tuple[Tensor, ...]:
    if grid is None:
        grid = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(shape[0], 4)
    return grid.to(device).float().unbind(1)


def _plane(rows: Tensor, columns: Tensor) -> Tensor:
    """Rows (B, h) and columns (B, w) to (B, 2, h, w)."""
    size = (len(rows), rows.shape[1], columns.shape[1])
    return torch.stack([rows[:, :, None].expand(size), columns[:, None, :].expand(size)], dim=1)


def _middles(length: int, start: Tensor, end: Tensor) -> Tensor:
    """The middles (B, length) of the places of the part from `start` to `end`, fractions, of an axis from -1 to 1."""
    fractions = (torch.arange(length, device=start.device) + 0.5) / length
    return 2 * torch.lerp(start[:, None], end[:, None], fractions) - 1


def _axis(length: int, start: Tensor, end: Tensor) -> Tensor:
    """Coordinates (B, length) of the part from `start` to `end` of an axis that runs from -1 to 1."""
    total = length / (end - start)
    steps = (start * total)[:, None] + torch.arange(length, device=start.device)
    return 2 * steps / (total - 1).clamp_min(1)[:, None] - 1


def _thirds(length: int, device: torch.device) -> Tensor:
    """For each of `length` places the index 0 (first), 1 (inner) or 2 (last) of a map of min(length, 3) places."""
    places = torch.arange(length, device=device)
    return places if length <= 3 else (places > 0).long() + (places == length - 1).long()
