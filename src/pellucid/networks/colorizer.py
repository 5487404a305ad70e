"""The colorizer: which colours a grey picture may have, found for the whole of it in small, and laid on every pixel."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import ModelError
from pellucid.guidance import NOTHING, Guidance
from pellucid.images.lab import lab_of, paler_until_real, rgb_of
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.half_unet import HalfUNet
from pellucid.scratch import pooled

__all__ = ["Colorizer", "joined_chroma"]

LONGEST = 4
"""A side of the small view is at most so many times `side`: of a panorama the small view is a panorama."""
CHROMA = 50.0
"""What the network's output is multiplied by: a usual chroma of CIELAB."""
NEAR_LIGHT = 9.0
"""Of the Gaussian by which lightness counts as alike, when chroma is laid on pixels."""
NEAR_PLACE = 0.9
"""Of the Gaussian of distance, in pixels of the small view."""


class Colorizer(Network):
    """Grey pictures (B, 3, H, W) in [0, 1], any size, to coloured ones of the same lightness; coloured ones anew.

    `look` sees the lightness of the whole picture, small, and where its pixels lie, and predicts a and b of CIELAB by a
    U-Net (as Zhang et al. predict chroma from lightness, ECCV 2016, arXiv 1603.08511). A vector, `Guidance.vector`,
    such as that of a sentence, steers all of its layers; without one it chooses. `restore` lays the chroma on the
    pixels of a tile by joint bilateral upsampling (Kopf et al., SIGGRAPH 2007), keeps their lightness, and makes
    colours that no screen has paler until one has them. `Guidance.told["saturation"]` multiplies the chroma.

    Args:
        widths, blocks: see `HalfUNet`.
        told: length of the vector.
        side: of the small view, in pixels: its area is that of such a square.
    """

    def __init__(
        self,
        widths: Sequence[int] = (64, 96, 128, 192),
        blocks: Sequence[int] = (1, 2, 2, 2),
        told: int = 64,
        side: int = 96,
    ) -> None:
        super().__init__()
        if told < 1 or side < 2 ** len(widths):
            raise ValueError(f"told must be 1 or more and side at least {2 ** len(widths)}, got {told} and {side}")
        self.contract = Contract(looks=True, numbers=("saturation",))
        self.settings = {"widths": list(widths), "blocks": list(blocks), "told": told, "side": side}
        self.told, self.side = told, side
        self.steer = nn.Sequential(nn.Linear(told, told), nn.SiLU())
        self.unet = HalfUNet(3, 2, widths, blocks, told=told, attention=True)

    @classmethod
    def tiny(cls) -> "Colorizer":
        """The smallest useful instance, for tests."""
        return cls(widths=(8, 16), blocks=(1, 1), told=4, side=16)

    def predict(self, light: Tensor, vector: Tensor | None) -> Tensor:
        """Lightness (B, 1, h, w) in 0..100 and vectors (B, told) to a and b, (B, 2, h / 2, w / 2), float32.

        Args:
            light: of whole pictures, sides divisible by the U-Net's multiple.
            vector: what is said of each; zeros, or None, where nothing is.
        """
        count, _, height, width = light.shape
        if vector is None:
            vector = light.new_zeros(count, self.told)
        if vector.shape[1] != self.told:
            raise ModelError(
                f"this colorizer reads vectors of {self.told} numbers, and was given one of {vector.shape[1]}: "
                "it has learnt with another encoder"
            )
        rows = torch.linspace(-1, 1, height, device=light.device).view(1, 1, -1, 1).expand(count, 1, -1, width)
        columns = torch.linspace(-1, 1, width, device=light.device).expand(count, 1, height, -1)
        seen = torch.cat([light / 50 - 1, rows, columns], 1)
        chroma: Tensor = self.unet(seen, self.steer(vector.expand(count, -1))).float() * CHROMA
        return chroma

    def view_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the small view of a picture of this size."""
        root = math.sqrt(height / width)
        multiple, longest = self.unet.multiple, LONGEST * self.side
        rows, columns = (min(max(self.side * part, multiple), longest) for part in (root, 1 / root))
        return round(rows / multiple) * multiple, round(columns / multiple) * multiple

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Finds `own["chroma"]`: L, a and b of the whole picture, small, (B, 3, h, w)."""
        with without_autocast(image):
            light = lab_of(_small(image, self.view_size(*image.shape[2:])))[:, :1]
        vector = None if known.vector is None else known.vector.to(light)
        chroma = self.predict(light, vector)
        return known.knowing(own={**known.own, "chroma": torch.cat([F.avg_pool2d(light, 2), chroma], 1)})

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """The tile with the colours that were found for its place in the whole picture."""
        guidance = guidance if "chroma" in guidance.own else self.look(tile, guidance)
        with without_autocast(tile):
            light = lab_of(tile)[:, :1]
            chroma = joined_chroma(light, guidance.own["chroma"].to(light), guidance.grid)
            chroma = chroma * guidance.told.get("saturation", 1.0)
            return rgb_of(paler_until_real(torch.cat([light, chroma], 1))).clamp(0, 1)


def _small(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The whole picture at a small size; one on the disk, or very large, is averaged down first."""
    sides = (min(image.shape[2], 16 * size[0]), min(image.shape[3], 16 * size[1]))
    image = pooled(image, sides, lambda part: part.float().clamp(0, 1))
    return F.interpolate(image, size, mode="bilinear", antialias=True)


def joined_chroma(light: Tensor, small: Tensor, grid: Tensor | None = None) -> Tensor:
    """The chroma of a small picture on the pixels of a large one: of the small pixels around each, those that are about
    as light as it count.

    Args:
        light: L of the large picture or of a part of it, (B, 1, H, W), 0..100.
        small: L, a and b of the whole, (B or 1, 3, h, w).
        grid: where the part lies in the whole, (1 or B, 4), as fractions; None for the whole. All of a batch lie alike.

    Returns:
        a and b, (B, 2, H, W): means of those in `small`, nothing beyond them.
    """
    height, width = light.shape[2:]
    top, left, bottom, right = (0.0, 0.0, 1.0, 1.0) if grid is None else grid[0].tolist()
    total, weights = torch.zeros_like(light.expand(-1, 2, -1, -1)), torch.zeros_like(light)
    rows = _places(top, bottom, height, small.shape[2], light)
    columns = _places(left, right, width, small.shape[3], light)
    for row, from_row in rows:
        for column, from_column in columns:
            near = small[:, :, row][:, :, :, column]
            place = (from_row.square()[:, None] + from_column.square()) / NEAR_PLACE**2
            alike = (near[:, :1] - light).square() / NEAR_LIGHT**2
            # Whatever is near counts a little, or a line thinner than a pixel of the small view would have no colour.
            weight = torch.exp(-0.5 * place) * (torch.exp(-0.5 * alike) + 1e-3)
            total.addcmul_(near[:, 1:], weight.expand(-1, 2, -1, -1))
            weights += weight
    return total / weights


def _places(begin: float, end: float, length: int, small: int, like: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The four pixels of the small side around each of `length` places, and how far away each is: (length,) each."""
    at = begin + (end - begin) * (torch.arange(length, device=like.device, dtype=torch.float64) + 0.5) / length
    at = (at * small - 0.5).to(like.dtype)
    first = at.floor()
    return [((first + step).long().clamp(0, small - 1), first + step - at) for step in (-1, 0, 1, 2)]
