"""Watching a training: scores on held-out photographs, whole and in colour, degraded as those that it learns from."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from pellucid.data.sources import Sample, Source
from pellucid.guidance import Guidance
from pellucid.images.padding import pad_to_multiple
from pellucid.metrics import psnr
from pellucid.networks import contract_of
from pellucid.refinement import Boosted
from pellucid.training.loop import to_training
from pellucid.training.run import Run

__all__ = ["validate"]


@torch.no_grad()
def validate(run: Run, held_out: Source) -> dict[str, Any]:
    """Mean PSNR in dB over all channels of held-out examples, clamped to [0, 1], by the averaged weights.

    `psnr` is that of the final image, `psnr_network` that of the network alone where it is boosted; `psnr_sources` is
    `psnr` of each source in the recipe's order, where there are several, None where nothing of one is scored. The prior
    sees whole photographs, as it does when it restores. Pairs are scored whole; nothing is scored where no clean
    photographs exist, nor where one of the images is the clean one itself, whose PSNR is infinite: a network may leave
    clean photographs alone.
    """
    run.module.eval()
    with run.average.applied():
        sources = [_scores(run, source) for source in held_out.parts()]
    to_training(run.module)
    found = [score for scores in sources for score in scores]
    means: dict[str, Any] = {name: _mean([score[name] for score in found]) for name in (found[0] if found else ())}
    if found and len(sources) > 1:
        means["psnr_sources"] = [_mean([score["psnr"] for score in scores]) for scores in sources]
    return means


def _scores(run: Run, source: Source) -> list[dict[str, float]]:
    """PSNR of what is restored of every example of a source, where it is not infinite."""
    scores = []
    for index in range(len(source)):
        example = source.example(index)
        if example.clean is not None:
            clean = example.clean[None]
            score = {
                name: float(psnr(image.clamp(0, 1), clean.to(image.device)))
                for name, image in _restored(run, example).items()
            }
            if not any(map(math.isinf, score.values())):  # NaN counts: a training that diverged must show
                scores.append(score)
    return scores


def _mean(values: Sequence[float]) -> float | None:
    return round(fmean(values), 3) if values else None


def _restored(run: Run, example: Sample) -> dict[str, Tensor]:
    module, device = run.module, next(run.module.parameters()).device
    degraded = example.degraded[None].to(device)
    if not isinstance(module, Boosted):
        padded = pad_to_multiple(degraded, contract_of(module).multiple)
        return {"psnr": module(padded)[:, :, : degraded.shape[2], : degraded.shape[3]]}
    assert example.seen is not None
    view = module.prior.prepare(example.seen[None].to(device))
    known = None if example.restored is None else example.restored[None].to(device)
    told = Guidance(view=view, grid=example.grid[None].to(device), restored=known)
    refined, restored = module(degraded, told, both=True)
    return {"psnr": refined, "psnr_network": restored}
