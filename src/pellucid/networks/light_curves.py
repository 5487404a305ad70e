"""Light curves: a dark picture made bright by curves that are smooth over it, and the noise that they bring out taken
away."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.guidance import NOTHING, Guidance
from pellucid.images.luma import LUMA
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.unet import UNet
from pellucid.scratch import pooled

__all__ = ["LightCurves"]

LOG_SCALE = 50.0
"""By how much light is stretched before its logarithm is taken: half of the knots lie below 0.12 of full scale."""
DARKEST = 1 / 1024
"""Light below this is brightened as this is: what little is there is rounding."""
LOCAL = 0.8
"""How far the logarithm of a curve's rise may differ from place to place, up and down."""
MIXING = 0.5
"""How far an element of the colour matrix may lie from that of the identity."""
MARGIN = 16
"""Pixels on each side over whose mean the denoiser may change nothing."""


class LightCurves(Network):
    """Dark image in, bright image out: (B, 3, H, W) in [0, 1], sides divisible by the denoiser's multiple.

    `look` sees the whole picture at `side` x `side` pixels and predicts a curve for every cell of a coarse grid, and
    one colour matrix M. Light l of a pixel, the mean of its largest channel and its luma, becomes the exposure e(l):
    the curve of its place, which is a cubic B-spline between those of the cells. Then

        bright = 1 - exp(-max(0, M y e(l) / l))

    so all channels of a pixel grow by one factor, lights come near white and are never cut off there, and what was
    brighter stays brighter: a curve is the sum of rises that are positive. How much a place's rises differ from those
    of the whole picture is bounded, and nothing is finer than a cell, so an edge gets no halo. At last a small U-Net
    takes the noise away; of what it changes the mean around each pixel is taken out, so it cannot paint tones.

    Sources: a grid of curves, found in small and applied at full size, is that of HDRNet (Gharbi et al., SIGGRAPH 2017,
    arXiv 1707.02880); brightening by curves alone that of Zero-DCE (Guo et al., CVPR 2020, arXiv 2001.06826); a global
    colour matrix that of IAT (Cui et al., BMVC 2022, arXiv 2205.14871). The rises, the exponential shoulder and the
    bounds are ours.

    Args:
        widths: channels of the small picture's features; each scale halves it.
        cells: of the grid along each side.
        knots: of a curve.
        side: pixels of the small picture.
        tail: channels of the denoiser at each scale; empty for none.
        dropout: the part of the numbers that sum up the whole picture that is left out in training: there are few dark
            photographs, and their exposures are soon learnt by heart.
    """

    def __init__(
        self,
        widths: Sequence[int] = (24, 40, 64),
        cells: int = 12,
        knots: int = 16,
        side: int = 96,
        tail: Sequence[int] = (16, 32, 48),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not widths or min(*widths, cells, knots) < 1 or side < 2 ** len(widths):
            raise ValueError(f"widths, cells and knots must be positive, got {list(widths)}, {cells} and {knots}")
        self.settings = {
            "widths": list(widths), "cells": cells, "knots": knots, "side": side, "tail": list(tail), "dropout": dropout
        }  # fmt: skip
        self.cells, self.knots, self.side = cells, knots, side
        inputs, layers = 6, []
        for width in widths:
            layers += [nn.Conv2d(inputs, width, 3, stride=2, padding=1), nn.ReLU()]
            inputs = width
        self.encoder = nn.Sequential(*layers)
        self.summary = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(2 * inputs + 7, inputs), nn.ReLU(), nn.Dropout(dropout)
        )
        self.rises = nn.Linear(inputs, knots)
        self.matrix = nn.Linear(inputs, 9)
        self.told = nn.Linear(inputs, inputs)
        last = nn.Conv2d(inputs, knots, 1)
        self.local = nn.Sequential(nn.Conv2d(inputs, inputs, 3, padding=1), nn.ReLU(), last)
        for values in (*self.matrix.parameters(), *last.parameters()):  # at first one curve, and no colour changed
            nn.init.zeros_(values)
        self.tail = UNet(tail, [1] * len(tail), bias=True, beside=1, smooth=True) if tail else None
        self.contract = Contract(multiple=self.tail.contract.multiple if self.tail else 1, looks=True, glance=side)

    @classmethod
    def tiny(cls) -> "LightCurves":
        """The smallest useful instance, for tests."""
        return cls((4, 8), cells=3, knots=4, side=16, tail=(4, 8))

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Adds `own["curves"]`, the exposures at the knots of each cell (B, knots + 1, cells, cells), and
        `own["matrix"]`, M (B, 3, 3)."""
        small = pooled(image, (self.side, self.side), lambda part: part.float().clamp(0, 1))
        with without_autocast(small):
            curves, matrix = self._predicted(small.to(self.matrix.weight.device))
        return known.knowing(own={**known.own, "curves": curves, "matrix": matrix})

    def _predicted(self, small: Tensor) -> tuple[Tensor, Tensor]:
        """Curves and matrix of small pictures (B, 3, side, side)."""
        light = light_of(small)
        level = (light + DARKEST).log().mean((2, 3), keepdim=True)
        logs = (small + DARKEST).log() - level
        seen = torch.cat([logs / 2, small.sqrt() * 2 - 0.5], 1)
        features = self.encoder(seen)
        flat = light.flatten(1)
        ranks = torch.quantile(flat, torch.tensor([0.05, 0.5, 0.95, 0.99], device=small.device), dim=1).T
        channels = (small.mean((2, 3)) + DARKEST).log() - level.flatten(1)
        moments = torch.cat(
            [features.mean((2, 3)), features.flatten(2).std(2), (ranks + DARKEST).log() / 2 + 1.5, channels], 1
        )
        summary = self.summary(moments)
        place = F.adaptive_avg_pool2d(features, self.cells) + self.told(summary)[:, :, None, None]
        local = LOCAL * torch.tanh(self.local(place))
        rises = F.softplus(self.rises(summary) - 1.5)[:, :, None, None] * local.exp()
        curves = torch.cat([torch.zeros_like(rises[:, :1]), rises.cumsum(1)], 1)
        matrix = torch.eye(3, device=small.device) + MIXING * torch.tanh(self.matrix(summary)).view(-1, 3, 3)
        return curves, matrix

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """The tile made bright by the curves of its place in the whole picture."""
        whole = "curves" not in guidance.own
        own = self.look(tile).own if whole else guidance.own
        with without_autocast(tile):
            bright, gain = self._brightened(
                tile.float(), own["curves"], own["matrix"], None if whole else guidance.grid
            )
        if self.tail is None:
            return bright.to(tile.dtype)
        changed = self.tail(torch.cat([bright, gain.log() / 3], 1).to(tile.dtype)) - bright.to(tile.dtype)
        restored: Tensor = bright + changed - around(changed)
        return restored.to(tile.dtype)

    def _brightened(self, image: Tensor, curves: Tensor, matrix: Tensor, grid: Tensor | None) -> tuple[Tensor, Tensor]:
        """The image by its curves, and by which factor each pixel grew, (B, 1, h, w)."""
        image = image.clamp(0, 1)
        light = light_of(image).clamp_min(DARKEST)
        if grid is None:
            grid = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        grid = grid.to(image)
        height, width = image.shape[2:]
        rows = splines(grid[:, 0], grid[:, 2], height, self.cells)
        columns = splines(grid[:, 1], grid[:, 3], width, self.cells)
        place = torch.log1p(LOG_SCALE * light) / math.log1p(LOG_SCALE) * self.knots
        low = place.floor().clamp(0, self.knots - 1)
        curves = curves.to(image)
        maps = rows[:, None] @ curves @ columns[:, None].mT
        maps = maps.expand(len(image), -1, -1, -1)
        number = low.long()
        exposure = torch.lerp(maps.gather(1, number), maps.gather(1, number + 1), place - low)
        gain = exposure / light
        mixed = torch.einsum("bij,bjhw->bihw", matrix.to(image).expand(len(image), -1, -1), image * gain)
        return 1 - torch.exp(-mixed.clamp_min(0)), gain


def light_of(image: Tensor) -> Tensor:
    """How light pixels are, (B, 1, H, W): the mean of the largest channel and the luma of (B, 3, H, W)."""
    weights = torch.tensor(LUMA, device=image.device, dtype=image.dtype)[:, None, None]
    return ((image * weights).sum(1, keepdim=True) + image.amax(1, keepdim=True)) / 2


def splines(begin: Tensor, end: Tensor, length: int, cells: int) -> Tensor:
    """The weights of cells at pixels, those of a cubic B-spline: (B, length, cells), positive, each row of sum 1.

    Args:
        begin: where the first pixel begins, (B,), in parts of the side that the cells divide.
        end: where the last one ends.
        length: pixels.
        cells: along the side; the first and the last go on beyond it.
    """
    parts = (torch.arange(length, device=begin.device, dtype=begin.dtype) + 0.5) / length
    at = (begin[:, None] + (end - begin)[:, None] * parts) * cells - 0.5
    at = at.clamp(0, cells - 1)
    reach = torch.arange(-1, cells + 1, device=begin.device, dtype=begin.dtype)
    away = (at[:, :, None] - reach).abs()
    weights = (2 - away).clamp_min(0) ** 3 / 6 - 4 * (1 - away).clamp_min(0) ** 3 / 6
    inner = weights[:, :, 1:-1].clone()
    inner[:, :, 0] += weights[:, :, 0]
    inner[:, :, -1] += weights[:, :, -1]
    return inner


def around(image: Tensor) -> Tensor:
    """The mean of each pixel's surroundings, which are a square, within the image: (B, C, H, W) of that shape."""
    side = 2 * MARGIN + 1
    rows = F.avg_pool2d(image, (side, 1), 1, (MARGIN, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side), 1, (0, MARGIN), count_include_pad=False)
