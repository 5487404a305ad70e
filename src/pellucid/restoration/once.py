"""A picture that was restored once, and what is made of that: mixed with the picture as it was, in whole or in part.

The network has run when one of these is made; everything here is cheap and may be repeated with other options.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from pellucid import images
from pellucid.errors import ImageError, SettingsError, unknown_name
from pellucid.images.provenance import with_provenance
from pellucid.restoration.control import Controls, controlled, feathered
from pellucid.restoration.decision import Decision
from pellucid.restoration.options import RestoreOptions
from pellucid.scratch import mapped, on_disk
from pellucid.version import __version__

__all__ = [
    "MIXING",
    "Box",
    "Restoration",
    "check_controls",
    "mixed_picture",
    "mixed_pixels",
    "needed_place",
    "require_fit",
]

Picture = TypeVar("Picture")
Box = tuple[slice, slice]
"""Rows and columns of a picture."""

MIXING = ("strength", "detail", "luminance", "chroma", "faithful", "mask", "feather", "crop", "provenance")
"""The options that decide what is made of a restored picture, not how it is restored."""

_SAID = (*MIXING[:5], "scale", "only", "skip", "amount", "passes", "always", "precision", "tile", "seed")
"""The options that stand in the provenance of a photograph, where they are not the usual ones."""


@dataclass(frozen=True, eq=False)
class Restoration(Generic[Picture]):
    """A picture, and what it is when it is wholly restored.

    Attributes:
        picture: as it came, of a kind that a restorer takes.
        restored: (B, 3, H * scale, W * scale) in [0, 1], at full strength.
        decision: what was found in it, done, and left alone and why.
        options: of the restorer, which hold where `mixed` is not told otherwise.
        model: its name.
    """

    picture: Picture
    restored: Tensor
    decision: Decision
    options: RestoreOptions
    model: str = ""

    def mixed(self, **instead: Any) -> Picture:
        """The picture with as much of the restoration as is wanted; nothing is restored again.

        Args:
            instead: options of `MIXING` by name, instead of those of the restorer.

        Returns:
            The same kind as the picture; the picture itself where it was left alone as a whole.

        Raises:
            SettingsError: an option that there is not, or that cannot be.
            ImageError: a mask of another size, or a part that is not in the picture.
        """
        for name in instead:
            if name not in MIXING:
                raise SettingsError(unknown_name("option of mixing", name, MIXING))
        return mixed_picture(self.picture, self.restored, self.decision, replace(self.options, **instead), self.model)


def mixed_picture(
    picture: Picture,
    restored: Tensor,
    decision: Decision,
    options: RestoreOptions,
    model: str,
    pixels: Tensor | None = None,
) -> Picture:
    """`Restoration.mixed`, by all that it is made of; with the picture's pixels, where they are there already."""
    pixels = images.to_tensor(picture) if pixels is None else pixels
    box = place_of(options.crop, pixels)
    part = picture if box is None else images.part_of(picture, *box)
    if decision.unchanged:
        return part
    mixed = [
        mixed_pixels(pixels[number : number + 1].float(), restored[number : number + 1], options)
        for number in range(len(pixels))
    ]
    made = images.like(mixed[0] if len(mixed) == 1 else torch.cat(mixed), part)
    if options.provenance and options.strength > 0 and isinstance(made, images.Photograph):
        metadata = replace(made.metadata, xmp=with_provenance(made.metadata.xmp, _said(options, decision, model)))
        made = replace(made, metadata=metadata)
    return made


def over_pages(
    restore: Callable[[images.Photograph], tuple[images.Photograph, Decision]], photograph: images.Photograph
) -> tuple[images.Photograph, Decision]:
    """Restores every page of a photograph; the record is that of the first that is not left alone.

    Returns the photograph itself where all are.
    """
    made = [restore(page) for page in (replace(photograph, others=(), motion=None), *photograph.others)]
    decision = next((decision for _, decision in made if not decision.unchanged), None)
    if decision is None:
        return photograph, made[0][1]
    (first, _), *others = made
    return replace(first, others=tuple(page for page, _ in others), motion=photograph.motion), decision


def mixed_pixels(degraded: Tensor, restored: Tensor, options: RestoreOptions) -> Tensor:
    """The part of one restored picture that is wanted, mixed as it is wanted.

    Args:
        degraded: (1, 3, H, W) in [0, 1].
        restored: (1, 3, H * scale, W * scale); with a scale it was mixed before it grew.
        options: those of `MIXING`.

    Returns:
        (1, 3, h, w) on the CPU.
    """
    box, controls = place_of(options.crop, degraded), Controls.of(options)
    if options.scale is None and restored.shape == degraded.shape:
        # Whether low frequencies are near enough is seen over all of the picture; all else can be done to a part.
        rows, columns = _widened(box if controls.faithful is None else None, controls.halo, degraded)
        weight = () if options.mask is None else (feathered(mask_of(options.mask, degraded), options.feather),)
        parts = [one[..., rows, columns] for one in (degraded.to(restored.device), restored, *weight)]
        restored = controlled(parts[0], parts[1], controls, *parts[2:])
        degraded = degraded[..., rows, columns]
        box = box if box is None else _within(box, rows, columns)
    if box is not None:
        larger = (restored.shape[-2] / degraded.shape[-2], restored.shape[-1] / degraded.shape[-1])
        rows, columns = (
            slice(round(side.start * times), round(side.stop * times)) for side, times in zip(box, larger, strict=True)
        )
        restored = restored[..., rows, columns]
    return restored if on_disk(restored) else restored.cpu()


def place_of(crop: tuple[int, int, int, int] | None, pixels: Tensor) -> Box | None:
    """The rows and columns of a part (left, top, width, height) of pixels (..., H, W); None for all.

    Raises ImageError where it reaches beyond them.
    """
    if crop is None:
        return None
    left, top, width, height = crop
    rows, columns = pixels.shape[-2:]
    if left + width > columns or top + height > rows:
        raise ImageError(
            f"the part {left},{top},{width},{height} reaches beyond the picture of {columns} x {rows} pixels"
        )
    return slice(top, top + height), slice(left, left + width)


def needed_place(options: RestoreOptions, pixels: Tensor, top: int = 0, left: int = 0) -> Box | None:
    """The rows and columns of the result without which the part that is wanted cannot be made; None for all.

    They are those of pixels (..., H, W) that lie at (top, left) in a larger picture.
    """
    box, controls = place_of(options.crop, pixels), Controls.of(options)
    if box is None or controls.faithful is not None:
        return None
    rows, columns = _widened(box, controls.halo, pixels)
    return slice(rows.start + top, rows.stop + top), slice(columns.start + left, columns.stop + left)


def mask_of(mask: object, pixels: Tensor) -> Tensor:
    """A mask (1, 1, H, W) in [0, 1] for pixels of that size: the mean of its colours, times its alpha.

    Args:
        mask: a path or a picture.
        pixels: (..., H, W).

    Raises:
        ImageError: it cannot be read, or is of another size.
    """
    name = str(mask) if isinstance(mask, str | Path) else "the mask"
    memory = 1 if on_disk(pixels) else None  # a mask of a picture on the disk is as large
    picture = images.read(Path(mask), memory=memory) if isinstance(mask, str | Path) else mask
    given, alpha = images.to_tensor(picture)[:1], images.alpha_of(picture)
    if given.shape[-2:] != pixels.shape[-2:]:
        (rows, columns), (high, wide) = pixels.shape[-2:], given.shape[-2:]
        raise ImageError(f"{name}: a mask of {wide} x {high} pixels for a picture of {columns} x {rows}")

    def weight(colours: Tensor, *alpha: Tensor) -> Tensor:
        mean = colours.float().mean(1, keepdim=True).clamp(0, 1)
        return mean * alpha[0] if alpha else mean

    return mapped(weight, given, *([] if alpha is None else [alpha]))


def require_fit(options: RestoreOptions, pixels: Tensor) -> None:
    """Raises ImageError where a mask or a part does not fit pixels (..., H, W)."""
    place_of(options.crop, pixels)
    if options.mask is not None:
        mask_of(options.mask, pixels)


def check_controls(options: RestoreOptions, scale: int) -> None:
    """Raises SettingsError where a picture that was enlarged is to be mixed with what it was."""
    if scale == 1:
        return
    asked = [name for name in ("strength", "luminance", "chroma") if getattr(options, name) != 1]
    asked += ["detail"] * bool(options.detail) + ["faithful"] * (options.faithful is not None)
    asked += ["mask"] * (options.mask is not None)
    if asked:
        raise SettingsError(f"{asked[0]} mixes images of one size; this network enlarges by {scale}")


def _widened(box: Box | None, halo: int, pixels: Tensor) -> Box:
    """A part with so many pixels around it as there are."""
    sides = pixels.shape[-2:]
    if box is None:
        return slice(0, sides[0]), slice(0, sides[1])
    rows, columns = (
        slice(max(0, side.start - halo), min(length, side.stop + halo)) for side, length in zip(box, sides, strict=True)
    )
    return rows, columns


def _within(box: Box, rows: slice, columns: slice) -> Box:
    """The place of a part in a larger one."""
    height, width = box
    return (
        slice(height.start - rows.start, height.stop - rows.start),
        slice(width.start - columns.start, width.stop - columns.start),
    )


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return "+".join(f"{name}:{part:g}" for name, part in value.items())
    return "+".join(value) if isinstance(value, tuple) else str(value)


def _said(options: RestoreOptions, decision: Decision, model: str) -> dict[str, str]:
    """What the provenance of a photograph says."""
    usual = RestoreOptions()
    told: dict[str, Any] = {"strength": options.strength}
    told |= {name: getattr(options, name) for name in _SAID if getattr(options, name) != getattr(usual, name)}
    told |= dict(options.control)
    told |= {} if options.mask is None else {"mask": "yes"}
    words = ", ".join(f"{name}={_told(value)}" for name, value in told.items())
    name = model if model.startswith("hf:") else Path(model).name  # where a file lies is nobody's business
    return {"Software": f"pellucid {__version__}", "Model": name, "Settings": words, "Done": decision.words()}
