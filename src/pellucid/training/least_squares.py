"""The colour matrix that brings what a frozen network restores nearest to the clean pictures, found without steps."""

import torch
from torch import Tensor

from pellucid.data.sources import Source
from pellucid.errors import DataError
from pellucid.guidance import Guidance
from pellucid.refinement import Boosted
from pellucid.refinement.colour_matrix import ColourMatrix

__all__ = ["solve_colour_matrix"]


@torch.no_grad()
def solve_colour_matrix(module: Boosted, training: Source) -> None:
    """Sets the twelve numbers of a module's `ColourMatrix` to those of least squares over all training examples.

    Every pixel of every example counts alike; the network's results are clamped to [0, 1], as where they are scored.

    Raises:
        DataError: there are no clean pictures.
    """
    refinement = module.refinement
    assert isinstance(refinement, ColourMatrix)
    device = refinement.matrix.device
    squares = torch.zeros(4, 4, dtype=torch.float64, device=device)
    products = torch.zeros(4, 3, dtype=torch.float64, device=device)
    module.eval()
    for index in range(len(training)):
        example = training.example(index)
        if example.clean is None:
            raise DataError("a colour matrix is found by clean pictures, and there are none")
        known = None if example.restored is None else example.restored[None].to(device)
        told = Guidance(restored=known, grid=example.grid[None].to(device))
        restored = module(example.degraded[None].to(device), told, both=True)[1]
        pixels = _with_one(restored.clamp(0, 1))
        squares += pixels.T @ pixels
        products += pixels.T @ example.clean.flatten(1).T.double().to(device)
    # By the pseudo-inverse: pictures without colour leave the matrix undetermined.
    solution = torch.linalg.lstsq(squares.cpu(), products.cpu(), driver="gelsd").solution
    refinement.matrix.copy_(solution[:3].T)
    refinement.offset.copy_(solution[3])


def _with_one(image: Tensor) -> Tensor:
    """(1, 3, H, W) to its pixels, each with a one behind it, (H W, 4), float64."""
    colours = image[0].flatten(1).T.double()
    return torch.cat([colours, torch.ones_like(colours[:, :1])], dim=1)
