"""Where something is asked for: masks, boxes, and maps of strength, as weights over the picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.diffusion.prompts import Clause, Prompt
from pellucid.errors import SettingsError, one_line, unknown_name

__all__ = ["LEVELS", "Branch", "Regions", "branches_of", "files_of_regions", "read_regions"]

LEVELS = 4
"""Strengths from nothing to all that a map of strengths is made of; between two of them predictions are blended."""
FEATHER = 8
"""Pixels over which a region fades into what is beside it, on its inner side."""


@dataclass(frozen=True)
class Regions:
    """What is known of places.

    Attributes:
        masks: by name, (H, W) in [0, 1]; or a box: left, top, right, bottom in pixels.
        strength: a map of how much of all amounts, (H, W) in [0, 1]; None for all of it everywhere.
        control: a map of how much of what an entry `controlnet` or `sft` adds, likewise.
    """

    masks: Mapping[str, Tensor | tuple[int, int, int, int]]
    strength: Tensor | None = None
    control: Tensor | None = None

    def resized(self, before: Sequence[int], after: Sequence[int]) -> "Regions":
        """The same places in the picture at another size; rows and columns `before` and `after`.

        Raises:
            SettingsError: a mask is of another size than the picture was.
        """

        def grown(what: str, mask: Tensor | None) -> Tensor | None:
            if mask is None:
                return None
            _check_size(what, mask, before[0], before[1])
            return F.interpolate(mask[None, None], tuple(after), mode="bilinear", align_corners=False)[0, 0]

        rows, columns = (new / old for new, old in zip(after, before, strict=True))
        masks: dict[str, Any] = {
            name: grown(f"region {name!r}", place)
            if isinstance(place, Tensor)
            else tuple(round(side * scale) for side, scale in zip(place, (columns, rows) * 2, strict=True))
            for name, place in self.masks.items()
        }
        return Regions(masks, grown("the map of strengths", self.strength), grown("the map of control", self.control))

    def control_of(self, height: int, width: int) -> Tensor | None:
        """The map of control of a picture of that size, (1, 1, H, W). Raises SettingsError where it is of another."""
        if self.control is None:
            return None
        _check_size("the map of control", self.control, height, width)
        return self.control[None, None]


@dataclass(frozen=True)
class Branch:
    """One prompt, and how much it counts where.

    Attributes:
        prompt: what is asked for; None keeps the degraded picture as it is.
        weight: (1, 1, H, W) in [0, 1], in pixels of the picture; None for everywhere.
    """

    prompt: Prompt | None
    weight: Tensor | None = None


def branches_of(prompt: Prompt, regions: Regions | None, height: int, width: int) -> list[Branch]:
    """The prompts of a picture's places; their weights add up to one everywhere.

    Raises:
        SettingsError: a region that nobody described, a mask of another size, or a map of strengths where a clause has
            no amount to be scaled.
    """
    masks = {} if regions is None else regions.masks
    strength = None if regions is None else regions.strength
    for name in prompt.regions:
        if not masks:
            raise SettingsError(f"prompt {str(prompt)!r}: where is {name}? Say --region {name}=mask.png, or a box")
        if name not in masks:
            raise SettingsError(f"prompt {str(prompt)!r}: {unknown_name('region', name, masks)}")
    branches = _of_regions(prompt, masks, height, width)
    if strength is None:
        return branches
    _check_size("the map of strengths", strength, height, width)
    return [part for branch in branches for part in _of_strengths(branch, strength[None, None])]


def _of_regions(prompt: Prompt, masks: Mapping[str, Any], height: int, width: int) -> list[Branch]:
    names = prompt.regions
    if not names:
        return [Branch(prompt)]
    drawn = torch.stack([_mask(name, masks[name], height, width) for name in names])
    total = drawn.sum(0)
    weights = drawn / total.clamp_min(1)
    branches = [Branch(prompt.within(name), weight[None, None]) for name, weight in zip(names, weights, strict=True)]
    outside = prompt.within(None)
    rest = (1 - total.clamp_max(1))[None, None]
    says = bool(outside.clauses or outside.all or outside.bad)
    return [*branches, Branch(outside if says else None, rest)]


def _of_strengths(branch: Branch, strength: Tensor) -> list[Branch]:
    """A branch once for each level of strength, each where the map is near it."""
    if branch.prompt is None:
        return [branch]
    prompt = branch.prompt
    if not prompt.clauses or any(clause.amount is None for clause in prompt.clauses):
        raise SettingsError(
            f"prompt {str(prompt)!r}: a map of strengths scales amounts; say how much, as in denoise 40"
        )
    parts = []
    for level in range(LEVELS + 1):
        near = (1 - (strength * LEVELS - level).abs()).clamp_min(0)
        weight = near if branch.weight is None else near * branch.weight
        scaled = tuple(Clause(one.verb, round((one.amount or 0) * level / LEVELS, 2)) for one in prompt.clauses)
        parts.append(Branch(Prompt(scaled, prompt.sentence) if level else None, weight))
    return parts


def _mask(name: str, region: Any, height: int, width: int) -> Tensor:
    if isinstance(region, Tensor):
        _check_size(f"region {name!r}", region, height, width)
        return region.float().clamp(0, 1)
    left, top, right, bottom = region
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise SettingsError(
            f"region {name!r}: the box {left},{top},{right},{bottom} does not lie in a picture of {width} x {height}"
        )
    mask = torch.zeros(height, width)
    mask[top:bottom, left:right] = 1
    return _feathered(mask)


def _feathered(mask: Tensor) -> Tensor:
    """A hard mask that rises from its border inwards; nothing outside of it is touched."""
    grown = F.pad(mask[None, None], [FEATHER] * 4, "replicate")
    eroded = -F.max_pool2d(-grown, 2 * (FEATHER // 2) + 1, 1)
    soft = F.avg_pool2d(eroded, FEATHER + 1, 1)
    return soft[0, 0] * mask


def _check_size(what: str, mask: Tensor, height: int, width: int) -> None:
    if mask.shape != (height, width):
        raise SettingsError(
            f"{what} is of {mask.shape[-1]} x {mask.shape[-2]} pixels, the picture of {width} x {height}"
        )


def read_regions(texts: Mapping[str, Any], strength: Path | None = None, control: Path | None = None) -> Regions:
    """Regions by names.

    Args:
        texts: what each is: the file of a mask, a box as a text `10,20,110,140` or as four numbers. A name without
            anything is that of a JSON file, an object of such names and places, whose masks lie beside it, or of a
            folder of masks, each a region by its own name: `face.png` is `face`.
        strength: the file of a map of strengths.
        control: the file of a map of control.

    Raises:
        SettingsError: a box that does not say one, a file that holds no regions, or a name that is given twice.
        ImageError: a mask cannot be read.
    """
    masks: dict[str, Any] = {}
    for name, place in texts.items():
        found = {name: _place(name, place, Path()) if isinstance(place, str) else _box(name, place)} if place else None
        for one, region in (_of_collection(Path(name)) if found is None else found).items():
            if one in masks:
                raise SettingsError(f"region {one!r} is given twice")
            masks[one] = region
    return Regions(masks, *(None if path is None else _grey(path) for path in (strength, control)))


def files_of_regions(texts: Mapping[str, Any]) -> list[Path]:
    """The files that regions come from, sorted: JSON files, and masks, by the same texts as `read_regions`."""
    files: set[Path] = set()
    for name, place in texts.items():
        if not place:
            folder = Path(name)
            files |= set(_masks_in(folder)) if folder.is_dir() else {folder, *_masks_named_in(folder)}
        elif isinstance(place, str) and not _is_box(place):
            files.add(Path(place))
    return sorted(files)


def _of_collection(path: Path) -> dict[str, Any]:
    """The regions of a JSON file or of a folder."""
    if path.is_dir():
        masks = {mask.stem: _grey(mask) for mask in _masks_in(path)}
        if not masks:
            raise SettingsError(f"--region {path}: a folder without a mask; each is a region by its own name: sky.png")
        return masks
    if path.suffix.lower() != ".json":
        raise SettingsError(
            f"--region {path}: expected NAME=PLACE, as in face=mask.png or face=10,20,110,140, or a JSON file or "
            "a folder of such places"
        )
    return {
        name: _place(name, place, path.parent) if isinstance(place, str) else _box(name, place)
        for name, place in _read_json(path).items()
    }


def _masks_in(folder: Path) -> list[Path]:
    from pellucid import images

    return sorted(path for path in folder.iterdir() if images.supported(path) and images.readable(path))


def _masks_named_in(path: Path) -> list[Path]:
    places = [place for place in _read_json(path).values() if isinstance(place, str)]
    return [path.parent / place for place in places if not _is_box(place)]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"--region {path}: cannot be read as JSON ({one_line(error)})") from None
    if not isinstance(told, dict) or not told:
        raise SettingsError(f'--region {path}: expected an object of places, as in {{"face": [10, 20, 110, 140]}}')
    return told


def _is_box(text: str) -> bool:
    return text.count(",") == 3


def _place(name: str, text: str, folder: Path) -> Any:
    return _box(name, text) if _is_box(text) else _grey(folder / text)


def _box(name: str, place: Any) -> tuple[int, ...]:
    try:
        box = tuple(int(number) for number in (place.split(",") if isinstance(place, str) else place))
    except (TypeError, ValueError):
        box = ()
    if len(box) != 4:
        raise SettingsError(f"region {name}={place}: a box is left,top,right,bottom in pixels")
    return box


def _grey(path: Path) -> Tensor:
    from pellucid import images

    return images.read(path).pixels[0].mean(0)
