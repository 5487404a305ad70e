"""Watching a training: scores on held-out photographs, whole and in colour, under the degradations that it learns from."""

import math

import torch
from torch import Tensor

from pellucid.data.sources import Sample, Source
from pellucid.metrics import psnr
from pellucid.networks import input_multiple
from pellucid.padding import pad_to_multiple
from pellucid.refinement import Boosted
from pellucid.training.loop import Run

__all__ = ["validate"]


@torch.no_grad()
def validate(run: Run, held_out: Source) -> dict[str, float]:
    """Mean PSNR in dB over all channels of held-out examples, clamped to [0, 1], by the averaged weights.

    `psnr` is that of the final image, `psnr_network` that of the network alone where it is boosted. The prior sees whole
    photographs, as it does when it restores. Pairs are scored whole; nothing is scored where no clean photographs exist, nor
    where one of the images is the clean one itself, whose PSNR is infinite: a network may leave clean photographs alone.
    """
    scores: dict[str, list[float]] = {}
    run.module.eval()
    with run.average.applied():
        for index in range(len(held_out)):
            example = held_out.example(index)
            if example.clean is not None:
                found = {
                    name: float(psnr(image.clamp(0, 1), example.clean[None].to(image.device)))
                    for name, image in _restored(run, example).items()
                }
                if all(map(math.isfinite, found.values())):
                    for name, score in found.items():
                        scores.setdefault(name, []).append(score)
    run.module.train()
    return {name: round(sum(values) / len(values), 3) for name, values in scores.items()}


def _restored(run: Run, example: Sample) -> dict[str, Tensor]:
    module, device = run.module, next(run.module.parameters()).device
    degraded = example.degraded[None].to(device)
    if not isinstance(module, Boosted):
        padded = pad_to_multiple(degraded, input_multiple(module))
        return {"psnr": module(padded)[:, :, : degraded.shape[2], : degraded.shape[3]]}
    assert example.seen is not None
    view = module.prior.prepare(example.seen[None].to(device))
    refined, restored = module(degraded, both=True, view=view, grid=example.grid[None].to(device))
    return {"psnr": refined, "psnr_network": restored}
