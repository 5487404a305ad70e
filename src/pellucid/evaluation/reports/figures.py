"""Pictures for a report: the same telling crop of every model's result, maps of where the errors lie, their files."""

import hashlib
import json
import os
import re
import unicodedata
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from pellucid import images
from pellucid.errors import ImageError

__all__ = [
    "CLEAN",
    "COLOURS",
    "LARGEST",
    "SIDE",
    "FigurePlace",
    "Figures",
    "Region",
    "coloured",
    "error_map",
    "zoom",
    "zoom_region",
]

Kind = Literal["zoom", "error"]

SIDE = 96
"""Side of a crop in a report, in pixels."""
LARGEST = 0.1
"""The error (of values in [0, 1]) that has the last colour of a map in a report."""
CLEAN = None
"""What stands for the clean picture where a model's name is asked for: no model can be called so."""
COLOURS = ((0, 0, 0), (40, 38, 100), (160, 37, 115), (237, 84, 81), (255, 168, 71), (255, 245, 186))
"""The colours of error maps from 0 to the largest, in equal steps, as RGB of 8 bits; between them it is linear.

Their lightness rises in equal steps, too (CIE L* 0, 19, 38, 57, 76, 96), so that twice the error looks twice as light,
in print and to the colour-blind as well.
"""

_LONGEST = 240
"""The longest side of an error map, in pixels."""
_ACROSS = 12
"""Into how many cells a crop is cut to find where it should lie."""
_LEAST_ERROR = 1e-3
"""Counted to every error, so that detail alone decides where nothing was degraded."""


class Region(NamedTuple):
    """A rectangle of a picture, in pixels."""

    top: int
    left: int
    height: int
    width: int


class FigurePlace(NamedTuple):
    """One photograph of one column of a table: what figures are filed under."""

    data: str
    condition: str
    protocol: str
    photograph: str


def zoom_region(degraded: Tensor, clean: Tensor, side: int = SIDE) -> Region:
    """The most telling crop of a picture: where detail was most widely damaged.

    It follows from the degraded and the clean picture alone, so all models are shown in the same one and none can
    choose its own. The picture is cut into cells; a cell has detail (mean absolute difference of neighbouring pixels of
    the clean picture) and damage (mean absolute error of the degraded one). A crop scores the mean root of its cells'
    detail times the mean root of their damage: roots, so that texture all over beats one hard edge before a flat sky.

    Args:
        degraded: (1, 3, H, W) in [0, 1], values outside are clipped; or smaller by a whole factor, then its pixels are
            repeated.
        clean: (1, 3, H, W) in [0, 1].
        side: of the crop in pixels; a picture that is shorter is taken whole that way.

    Returns:
        A region inside the picture. The first of equals; the middle where nothing stands out.

    Raises ValueError where the shapes do not fit or are not those of one picture.
    """
    degraded = _enlarged(degraded, clean)
    _require_pair(degraded, clean)
    height, width = clean.shape[-2:]
    crop = min(side, height), min(side, width)
    cell = max(1, side // _ACROSS)
    detail = _cells(_detail(clean), cell)
    damage = _cells((degraded.clamp(0, 1) - clean).abs().mean(1, keepdim=True), cell) + _LEAST_ERROR
    inside = max(1, crop[0] // cell), max(1, crop[1] // cell)
    score = avg_pool2d(detail.sqrt(), inside, 1) * avg_pool2d(damage.sqrt(), inside, 1)
    if score.max() == 0:
        return Region((height - crop[0]) // 2, (width - crop[1]) // 2, *crop)
    row, column = divmod(int(score.flatten().cpu().numpy().argmax()), score.shape[-1])
    return Region(min(row * cell, height - crop[0]), min(column * cell, width - crop[1]), *crop)


def zoom(image: Tensor, region: Region | tuple[int, int, int, int]) -> Tensor:
    """The part of (1, 3, H, W) in a region, clipped to [0, 1], pixel by pixel."""
    top, left, height, width = region
    return image[..., top : top + height, left : left + width].clamp(0, 1)


def error_map(restored: Tensor, clean: Tensor, largest: float = LARGEST) -> Tensor:
    """Where a result is wrong, and how much: dark is right, light is wrong.

    Shown is the root of the mean squared error over the channels and over the k x k pixels that one of the map stands
    for (k = 1 where the picture is at most 240 pixels long), so the mean square of the map is the error that PSNR is
    made of, whatever the size of the picture. The signs are gone before the mean is taken: noise does not cancel. A
    maximum would show the same noise lighter in a larger picture.

    Args:
        restored, clean: (1, 3, H, W) in [0, 1]; restored values outside are clipped.
        largest: the error that has the last of `COLOURS`; what is larger has it as well.

    Returns:
        RGB (1, 3, h, w) in [0, 1], no side longer than 240.

    Raises ValueError where the shapes differ or are not those of one picture, or `largest` is not positive.
    """
    return coloured(_error(restored, clean) / _positive(largest))


def _error(restored: Tensor, clean: Tensor) -> Tensor:
    """Root mean squared errors, (1, 1, h, w), no side longer than 240."""
    _require_pair(restored, clean)
    squares = (restored.clamp(0, 1) - clean).square().mean(1, keepdim=True)
    return _cells(squares, -(-max(clean.shape[-2:]) // _LONGEST)).sqrt()


def coloured(values: Tensor) -> Tensor:
    """Values (1, 1, h, w) as colours (1, 3, h, w): 0 is the first of `COLOURS`, 1 and more the last."""
    table = torch.tensor(COLOURS, device=values.device) / 255
    position = values.clamp(0, 1)[0, 0] * (len(COLOURS) - 1)
    below = position.long().clamp(max=len(COLOURS) - 2)
    colours = torch.lerp(table[below], table[below + 1], (position - below)[..., None])
    return colours.permute(2, 0, 1)[None]


def _cells(plane: Tensor, side: int) -> Tensor:
    """Means over squares of that side; those at the right and the bottom may be cut."""
    return avg_pool2d(plane, side, ceil_mode=True)


def _detail(clean: Tensor) -> Tensor:
    """How much each pixel differs from its right and its lower neighbour, (1, 1, H, W); the last ones from none."""
    detail = torch.zeros_like(clean[:, :1])
    detail[..., :, :-1] += clean.diff(dim=-1).abs().mean(1, keepdim=True)
    detail[..., :-1, :] += clean.diff(dim=-2).abs().mean(1, keepdim=True)
    return detail


def _enlarged(image: Tensor, clean: Tensor) -> Tensor:
    """A picture whose pixels are repeated to the size of the clean one, if that is larger by a whole factor."""
    factor = max(1, clean.shape[-1] // max(1, image.shape[-1]))
    return image.repeat_interleave(factor, -2).repeat_interleave(factor, -1) if factor > 1 else image


def _require_pair(first: Tensor, clean: Tensor) -> None:
    if first.shape != clean.shape or clean.ndim != 4 or clean.shape[:2] != (1, 3):
        raise ValueError(
            f"expected two pictures of one shape (1, 3, H, W), got {tuple(first.shape)} and {tuple(clean.shape)}"
        )


def _positive(largest: float) -> float:
    if not largest > 0:
        raise ValueError(f"the largest error of a map must be positive, got {largest}")
    return largest


class Figures:
    """The figures of an evaluation, as PNG files in one folder.

    A file's name follows from what it is of, not from when it was made, so an evaluation that was interrupted finds
    what it has already, and one with another model of the same name writes over it. Names are short and plain ASCII in
    small letters, whatever the photographs, sets and models are called, and end in a hash of the full names, so no two
    share one, on file systems that ignore case, too.

    Args:
        folder: made when the first figure is saved.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def path(self, place: FigurePlace, model: str | None, kind: Kind) -> Path:
        """The file of a figure, whether it is there or not. `CLEAN` for the model is the clean picture."""
        digest = hashlib.sha256(json.dumps([*place, model, SIDE, LARGEST]).encode()).hexdigest()[:16]
        names = [place.photograph, place.condition, model or "clean"]
        return self.folder / _plain(place.data) / f"{'-'.join(map(_plain, names))}-{digest}-{kind}.png"

    def has(self, place: FigurePlace, model: str) -> bool:
        """Whether all figures of this model's result are there, and the clean crop to compare with."""
        wanted: list[tuple[str | None, Kind]] = [(model, "zoom"), (model, "error"), (CLEAN, "zoom")]
        return all(self.path(place, name, kind).is_file() for name, kind in wanted)

    def save(self, place: FigurePlace, model: str, restored: Tensor, *, degraded: Tensor, clean: Tensor) -> None:
        """Writes the crop and the error map of a result, and the crop of the clean picture to compare with.

        All are (1, 3, H, W) in [0, 1], of one size; only the degraded picture, also where it is the result, may be
        smaller by a whole factor. Each file appears whole or not at all, in the place of one of the same name.

        Raises ImageError where a file cannot be written, ValueError where the shapes do not fit.
        """
        region = zoom_region(degraded, clean)
        restored = _enlarged(restored, clean)
        _write(zoom(restored, region), self.path(place, model, "zoom"))
        _write(error_map(restored, clean), self.path(place, model, "error"))
        _write(zoom(clean, region), self.path(place, CLEAN, "zoom"))


def _write(pixels: Tensor, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{path.parent}: the folder cannot be made ({error.strerror or error})") from error
    grey = bool((pixels == pixels[:, :1]).all())
    images.write(images.Photograph(pixels, grey=grey), path)


def _plain(name: str) -> str:
    """A name as at most 32 ASCII letters, digits and hyphens: for people to recognise, not to tell names apart."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")[:32].strip("-") or "x"
