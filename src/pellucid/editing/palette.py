"""The colours of one picture given to another."""

import torch
from torch import Tensor

from pellucid.images.lab import lab_of

__all__ = ["chroma_statistics", "with_palette"]

LEAST = 6.0
"""Added to the variances of a and b: what is nearly grey says little of how its colours lie."""


def chroma_statistics(image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (2,) and covariance (2, 2) of a and b of a picture (1, 3, h, w) in [0, 1]."""
    chroma = lab_of(image)[0, 1:].flatten(1).double()
    mean = chroma.mean(1)
    away = chroma - mean[:, None]
    spread: Tensor = away @ away.mT / chroma.shape[1]
    return mean, spread


def with_palette(chroma: Tensor, palette: tuple[Tensor, Tensor]) -> Tensor:
    """Chroma (1, 2, h, w) with the mean and the covariance of another picture's, by the linear map that moves colours
    least (Pitié and Kokaram, "The linear Monge-Kantorovitch linear colour mapping", CVMP 2007)."""
    flat = chroma[0].flatten(1).double()
    mean = flat.mean(1)
    away = flat - mean[:, None]
    own = away @ away.mT / flat.shape[1] + LEAST * torch.eye(2, dtype=torch.double)
    wanted = palette[1] + LEAST * torch.eye(2, dtype=torch.double)
    root = _root(own)
    inverse = torch.linalg.inv(root)
    change = inverse @ _root(root @ wanted @ root) @ inverse
    moved: Tensor = change @ away + palette[0][:, None]
    return moved.view(1, 2, *chroma.shape[2:]).to(chroma.dtype)


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.mT
    return root
