"""Watching a training: scores on held-out photographs, whole and in colour, degraded as those that it learns from."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.data.batches import Batches as DataBatches
from pellucid.data.sources import Sample, Source
from pellucid.guidance import NOTHING, Guidance
from pellucid.images.padding import pad_to_multiple
from pellucid.layers import watched
from pellucid.metrics import psnr
from pellucid.networks import contract_of
from pellucid.priors import shown
from pellucid.refinement import Boosted
from pellucid.training.loop import to_training
from pellucid.training.objective import glanced, looked
from pellucid.training.run import Run

__all__ = ["EDGE", "MASKS", "MUCH", "validate"]

MASKS = ("range_map", "channel_attention", "spatial_attention")
"""Of R, those that weigh by a sigmoid."""
EDGE = 0.02
"""How near to 0 or 1 a weight must be to count as saturated."""
MUCH = 0.5
"""The share of saturated weights from which a training says so when it ends."""


@torch.no_grad()
def validate(run: Run, held_out: Source) -> dict[str, Any]:
    """Mean PSNR in dB over all channels of held-out examples, clamped to [0, 1], by the averaged weights.

    `psnr` is that of the final image, `psnr_network` that of the network alone where it is boosted; `psnr_sources` is
    `psnr` of each source in the recipe's order, where there are several, None where nothing of one is scored. The prior
    sees whole photographs, as it does when it restores. Pairs are scored whole; nothing is scored where no clean
    photographs exist, nor where one of the images is the clean one itself, whose PSNR is infinite: a network may leave
    clean photographs alone.

    `saturated` is, by part of R, the share of its weights that are within `EDGE` of 0 or 1 on these examples: of M
    (`range_map`), M_c (`channel_attention`) and M_s (`spatial_attention`). What is saturated learns no more.
    """
    run.module.eval()
    refinement = run.module.refinement if isinstance(run.module, Boosted) else None
    found_masks = {name: getattr(refinement, name, None) for name in MASKS}
    masks = {name: part for name, part in found_masks.items() if isinstance(part, nn.Module)}
    shares: dict[str, list[float]] = {}
    with run.average.applied():
        sources = [_scores(run, source, masks, shares) for source in held_out.parts()]
    to_training(run.module)
    found = [score for scores in sources for score in scores]
    means: dict[str, Any] = {name: _mean([score[name] for score in found]) for name in (found[0] if found else ())}
    if found and len(sources) > 1:
        means["psnr_sources"] = [_mean([score["psnr"] for score in scores]) for scores in sources]
    if shares:
        means["saturated"] = {name: round(fmean(of_mask), 4) for name, of_mask in shares.items()}
    return means


def _scores(
    run: Run, source: Source, masks: Mapping[str, nn.Module], shares: dict[str, list[float]]
) -> list[dict[str, float]]:
    """PSNR of what is restored of every example of a source, where it is not infinite.

    Adds to `shares`, by mask, which part of its weights was saturated.
    """
    scores = []
    for index in range(len(source)):
        example = source.example(index)
        if example.clean is not None:
            clean = example.clean[None]
            others = source.example(index - 1 if index else len(source) - 1) if _is_shown(run) else example
            with watched(masks) as ran:
                restored = _restored(run, example, others)
            for name, _, weights in ran:
                saturated = (weights < EDGE) | (weights > 1 - EDGE)
                shares.setdefault(name, []).append(float(saturated.float().mean()))
            score = {name: float(psnr(image.clamp(0, 1), clean.to(image.device))) for name, image in restored.items()}
            if not any(map(math.isinf, score.values())):  # NaN counts: a training that diverged must show
                scores.append(score)
    return scores


def _mean(values: Sequence[float]) -> float | None:
    return round(fmean(values), 3) if values else None


def _is_shown(run: Run) -> bool:
    """Whether the network is shown a reference."""
    return isinstance(run.batches, DataBatches) and run.batches.reference is not None


def _restored(run: Run, example: Sample, other: Sample) -> dict[str, Tensor]:
    module, device = run.module, next(run.module.parameters()).device
    degraded = example.degraded[None].to(device)
    if not isinstance(module, Boosted):
        padded, scale = pad_to_multiple(degraded, contract_of(module).multiple), example.scale
        glance = contract_of(module).glance
        view = None if glance is None or example.seen is None else glanced(glance, example.seen[None]).to(device)
        grid = None if view is None else example.grid[None].to(device)
        told = looked(module, Guidance(scale=None if scale == 1 else scale, view=view, grid=grid))
        if isinstance(run.batches, DataBatches) and run.batches.reference is not None:
            reference = run.batches.reference(example, other, torch.Generator().manual_seed(0))
            told = told.knowing(reference=reference[None].to(device))
        restored = module(padded) if told == NOTHING else module(padded, told)
        return {"psnr": restored[:, :, : degraded.shape[2] * scale, : degraded.shape[3] * scale]}
    assert example.seen is not None
    partner = None if example.seen_clean is None else example.seen_clean[None].to(device)
    view = shown(module.prior, example.seen[None].to(device), partner)
    known = None if example.restored is None else example.restored[None].to(device)
    told = Guidance(view=view, grid=example.grid[None].to(device), restored=known)
    refined, restored = module(degraded, told, both=True)
    return {"psnr": refined, "psnr_network": restored}
