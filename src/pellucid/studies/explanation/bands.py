"""Where in the spectrum an error lies: its energy by octave of the spatial frequency.

The error e is the difference of the two pictures' full-range luma. It is weighed by a window w that falls to the
borders like a sine squared in both directions, since a spectrum wraps around and a border would be an edge in it; its
orthonormal Fourier transform E is taken; and |E|^2 is summed where the radial frequency r = sqrt(u^2 + v^2), in cycles
per pixel, lies in each octave. What is given is divided by the sum of w^2, so that by Parseval's theorem the bands sum
to

    sum (w e)^2 / sum w^2

the mean squared error of the luma, in which the middle of the picture counts most.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.metrics.colour import grey

__all__ = ["BANDS", "Band", "band_energies"]


@dataclass(frozen=True)
class Band:
    """An octave of the spatial frequency."""

    name: str
    """The size of the structures that have it."""
    low: float
    """In cycles per pixel, itself included."""
    high: float
    """Not included."""


BANDS = (
    Band("under 4 pixels", 1 / 4, 1.0),
    Band("4 to 8 pixels", 1 / 8, 1 / 4),
    Band("8 to 16 pixels", 1 / 16, 1 / 8),
    Band("16 to 32 pixels", 1 / 32, 1 / 16),
    Band("over 32 pixels", 0.0, 1 / 32),
)
"""From fine to coarse. The first goes beyond the octave, to the spectrum's corners (0.71); the last has all below."""


def band_energies(restored: Tensor, clean: Tensor) -> tuple[float, ...]:
    """The mean squared error of the luma, windowed, by band.

    Args:
        restored, clean: (1, 3, H, W) in [0, 1]; restored values outside are clipped.

    Returns:
        One number for each of `BANDS`, of values in [0, 1] squared.
    """
    error = (grey(restored.clamp(0, 1)) - grey(clean))[0, 0]
    rows, columns = (_window(side, error) for side in error.shape)
    window = rows[:, None] * columns
    energy = torch.fft.fft2(error * window, norm="ortho").abs().square() / window.square().sum()
    radius = torch.hypot(*torch.meshgrid(*(_frequencies(side, error) for side in error.shape), indexing="ij"))
    return tuple(float(energy[(radius >= band.low) & (radius < band.high)].sum()) for band in BANDS)


def _window(side: int, like: Tensor) -> Tensor:
    """Sine squared, nowhere 0: a side of one pixel has weight 1."""
    places = torch.arange(side, dtype=like.dtype, device=like.device)
    return torch.sin(torch.pi * (places + 0.5) / side).square()


def _frequencies(side: int, like: Tensor) -> Tensor:
    frequencies: Tensor = torch.fft.fftfreq(side, dtype=like.dtype, device=like.device)
    return frequencies
