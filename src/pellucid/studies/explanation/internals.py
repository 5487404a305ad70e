"""What happens inside R on one photograph: its range map, its attention and its masks, watched while it runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pellucid.evaluation.reports.figures import Region
from pellucid.images.padding import pad_to_multiple
from pellucid.layers import watched
from pellucid.networks import contract_of
from pellucid.refinement.snr import snr_mask
from pellucid.refinement.windows import Windows
from pellucid.studies.explanation.feeding import Subject

__all__ = ["LARGEST", "Inside", "central_region", "look_inside"]

LARGEST = 2**20
"""Pixels of a photograph that is looked into whole; of a larger one it is so many in the middle."""
PARTS = ("range_map", "channel_attention", "spatial_attention", "decoder")
"""Of a refinement, those whose outputs are shown."""
_STEP = 32
"""A part begins at multiples of this, where networks sample what they sample of the whole."""


@dataclass(frozen=True)
class Inside:
    """What R does to one photograph, or to the part of it that was looked into; maps have its size (1, C, H, W).

    Attributes:
        restored: by the network alone, not clamped.
        refined: by R, not clamped.
        range_map: (1, 1, H, W) in [0, 1], M of equation (2), or what stands for it; None where R has none.
        weighted: what the range map is the weight of: "near context" or "far context".
        channel_weights: (width,) in (0, 1), M_c of equation (4), or None.
        spatial_mask: (1, 1, H, W) in (0, 1), M_s of equation (6), or None.
        image_mask: (1, 3, H, W), I_m of equation (1), 1 for a change of the network's that is kept as it is; or None.
        residual: (1, 3, H, W), I_r of equation (1), or None.
        missing: why parts are not there, in sentences.
    """

    restored: Tensor
    refined: Tensor
    range_map: Tensor | None
    weighted: str
    channel_weights: Tensor | None
    spatial_mask: Tensor | None
    image_mask: Tensor | None
    residual: Tensor | None
    missing: tuple[str, ...]


def central_region(height: int, width: int) -> Region:
    """All of a picture, or of one with more than `LARGEST` pixels its middle, of the same proportions."""
    if height * width <= LARGEST:
        return Region(0, 0, height, width)
    factor = (LARGEST / (height * width)) ** 0.5
    rows = min(max(1, int(height * factor)), LARGEST)
    sides = rows, min(max(1, int(width * factor)), LARGEST // rows)
    top, left = ((whole - part) // 2 // _STEP * _STEP for whole, part in zip((height, width), sides, strict=True))
    return Region(top, left, *sides)


@torch.no_grad()
def look_inside(subject: Subject, degraded: Tensor, feature: Tensor, region: Region) -> Inside:
    """Runs a boosted model on a region of a photograph, in one piece, and keeps what its R computes on the way.

    Args:
        subject: the model.
        degraded: the whole photograph (1, 3, H, W) in [0, 1].
        feature: the prior's, of the whole photograph.
        region: what to look into.
    """
    boosted, refinement = subject.boosted, cast(Any, subject.boosted.refinement)
    image = degraded.float().to(subject.device)
    height, width = image.shape[2:]
    top, left, rows, columns = region
    part = image[:, :, top : top + rows, left : left + columns]
    grid = None
    if part.shape != image.shape:
        grid = torch.tensor([[top / height, left / width, (top + rows) / height, (left + columns) / width]])
    guidance = subject.fed_with(boosted.look(image), feature).knowing(grid=grid)
    parts = {name: module for name in PARTS if isinstance(module := getattr(refinement, name, None), nn.Module)}
    with watched(parts) as ran:
        alone = boosted.restore(part, boosted.for_network_alone(guidance))
        restored = boosted.restore(part, guidance) if boosted.inside else alone
        refined = boosted.refine(restored, part, guidance)
    seen: dict[str, Tensor] = {name: output for name, _, output in ran}
    if refinement.range_kind == "snr":
        padded = pad_to_multiple(part, 4)
        seen["range_map"] = snr_mask(padded, Windows(padded.shape[2] // 4, padded.shape[3] // 4))
    multiple = contract_of(boosted.network).multiple if boosted.inside else boosted.refinement_multiple

    def fitted(name: str) -> Tensor | None:
        return _fitted(seen[name], (rows, columns), multiple) if name in seen else None

    decoded = None if boosted.inside else fitted("decoder")
    mask, residual = None, decoded
    if decoded is not None:
        modulation = None if refinement.film is None else refinement.modulation(guidance.vector)
        mask, residual = refinement.masks(decoded, modulation)
    weights = seen.get("channel_attention")
    return Inside(
        alone.float().cpu(),
        refined.float().cpu(),
        fitted("range_map"),
        "far context" if refinement.far_weighted else "near context",
        None if weights is None else weights.float().mean(0).cpu(),
        fitted("spatial_attention"),
        mask,
        residual,
        tuple(_missing(boosted)),
    )


def _fitted(maps: Tensor, size: tuple[int, int], multiple: int) -> Tensor:
    """Maps of a padded picture, brought to the size of the picture: every place as a block of pixels.

    A network may work on several pictures for one, such as its colours one by one: their mean is taken.
    """
    padded = [-(-side // multiple) * multiple for side in size]
    enlarged = interpolate(maps.float().mean(0, keepdim=True), size=padded, mode="nearest")
    return enlarged[:, :, : size[0], : size[1]].cpu()


def _missing(boosted: Any) -> Iterator[str]:
    refinement = boosted.refinement
    if refinement.range_kind == "sum":
        yield "There is no range map M: this R adds near and far context."
    if refinement.range_kind == "snr":
        yield "The range map is not learned: it is the signal-to-noise ratio of the degraded picture."
    if refinement.channel_attention is None:
        yield "There are no channel weights M_c: this R has no channel attention."
    if refinement.spatial_attention is None:
        yield "There is no spatial mask M_s: this R has no spatial attention."
    if boosted.inside:
        yield (
            f"There are no I_m and I_r: this R works on the feature map of the network's layer {refinement.layer}, "
            "and masks features rather than pixels."
        )
    elif refinement.form == "reference":
        yield "There is no mask I_m: in the reference form the decoder gives a residual alone."
