"""One part of a photograph by several models at several strengths, side by side, each model run once."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pellucid import images
from pellucid.batch.change import FileResult, change_files
from pellucid.batch.plan import Job
from pellucid.errors import SettingsError
from pellucid.restoration.once import place_of
from pellucid.restoration.options import check_part
from pellucid.restoration.restorer import Restorer

__all__ = ["contact_sheet", "names_in", "parse_strengths", "write_sheets"]

SIDE = 256
"""Pixels of the part in the middle that is shown where nobody says which."""
_GAP, _LABEL = 8, 18


def parse_strengths(text: str) -> tuple[float, ...]:
    """Strengths in a text with commas, such as `0.25,0.5,1`. Raises SettingsError where it holds no numbers in 0..1."""
    try:
        strengths = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"strengths must be numbers with commas between, such as 0.5,1, got {text!r}") from None
    for strength in strengths:
        check_part("a strength", strength)
    return strengths


def names_in(text: str) -> list[str]:
    """The names of models in a text with commas. Raises SettingsError where it holds none."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise SettingsError("--sheet needs the names of models, such as default,fast")
    return list(dict.fromkeys(names))


def write_sheets(
    restorers: Mapping[str, Restorer],
    strengths: Sequence[float],
    jobs: Sequence[Job],
    *,
    overwrite: bool,
    **writing: Any,
) -> Generator[FileResult, None, None]:
    """Writes a sheet of each photograph, as `change_files` does; the part is the restorers' own."""
    crop = next(iter(restorers.values())).options.crop

    def sheet(photograph: images.Photograph) -> tuple[images.Photograph, None]:
        return contact_sheet(photograph, restorers, strengths, crop), None

    return change_files(sheet, jobs, "restored", overwrite=overwrite, **writing)


def contact_sheet(
    photograph: images.Photograph,
    restorers: Mapping[str, Restorer],
    strengths: Sequence[float],
    crop: tuple[int, int, int, int] | None = None,
) -> images.Photograph:
    """A sheet: a row for each model, the photograph as it is first, then each strength.

    Every model sees the whole photograph, so that a cell is that part of its result.

    Args:
        photograph: what is restored.
        restorers: the models by their names; what their other options say holds.
        strengths: 0 to 1 each.
        crop: left, top, width and height in pixels; None for a part in the middle.

    Returns:
        8 bits, with the photograph's colours.

    Raises:
        ImageError: the part is not in the photograph.
    """
    height, width = photograph.pixels.shape[2:]
    if crop is None:
        across, down = min(width, SIDE), min(height, SIDE)
        crop = ((width - across) // 2, (height - down) // 2, across, down)
    place_of(crop, photograph.pixels)
    left, top, across, down = crop
    before = photograph.pixels[..., top : top + down, left : left + across]
    rows: list[list[tuple[str, Tensor]]] = []
    for name, restorer in restorers.items():
        once = restorer.once(photograph)
        shown = [
            (f"{PurePath(name).name} {strength:g}", once.mixed(strength=strength, crop=crop)) for strength in strengths
        ]
        rows.append([("as it is", before), *((label, made.pixels) for label, made in shown)])
    cells = [cell for row in rows for _, cell in row]
    high, wide = (max(cell.shape[axis] for cell in cells) for axis in (2, 3))
    times = max(1, -(-128 // max(high, wide)))  # very small parts are enlarged, pixel by pixel
    high, wide = high * times, wide * times
    sheet = torch.ones(1, 3, len(rows) * (high + _LABEL + _GAP) - _GAP, len(rows[0]) * (wide + _GAP) - _GAP)
    for number, row in enumerate(rows):
        for column, (label, cell) in enumerate(row):
            y, x = number * (high + _LABEL + _GAP), column * (wide + _GAP)
            sheet[..., y : y + _LABEL, x : x + wide] = _written(label, wide)
            large = cell.repeat_interleave(times, 2).repeat_interleave(times, 3)
            y += _LABEL
            sheet[..., y : y + large.shape[2], x : x + large.shape[3]] = large
    colours = images.Metadata(icc=photograph.metadata.icc, colour=photograph.metadata.colour)
    if photograph.grey:
        colours = replace(colours, icc=b"", colour=None)
    return images.Photograph(sheet, metadata=colours, linear=photograph.linear and not photograph.grey)


def _written(label: str, width: int) -> Tensor:
    """A label, black on white, (1, 3, height, width)."""
    strip = Image.new("RGB", (width, _LABEL), "white")
    ImageDraw.Draw(strip).text((2, 2), label, fill="black", font=ImageFont.load_default(12))
    return torch.from_numpy(np.asarray(strip).copy()).permute(2, 0, 1)[None].float() / 255
