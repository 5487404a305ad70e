"""Watching diffusion: the loss on held-out photographs, and what one step from noise makes of them."""

from typing import Any

import torch

from pellucid.diffusion.network import Generative
from pellucid.diffusion.prompts import read_prompt
from pellucid.metrics import psnr
from pellucid.training.diffusion.batches import DiffusionBatches
from pellucid.training.loop import to_training
from pellucid.training.run import Run

__all__ = ["validate_diffusion"]

BATCHES = 4


@torch.no_grad()
def validate_diffusion(run: Run, held_out: DiffusionBatches) -> dict[str, Any]:
    """By the averaged weights, on always the same batches: the loss, and PSNR in dB against the target of the degraded
    patch (`psnr_input`) and of what is expected of it from nothing but noise (`psnr`), which is the mean of samples."""
    network = run.module
    assert isinstance(network, Generative)
    network.eval()
    losses, before, after = [], [], []
    with run.average.applied():
        for number in range(BATCHES):
            batch = held_out.at(number).to(next(network.parameters()).device)
            losses.append(float(run.objective(network, batch)))
            degraded = run.objective.seen(network, batch)  # type: ignore[attr-defined]
            shape = (len(degraded), network.codec.channels, *degraded.shape[2:])
            state = torch.randn(shape, generator=torch.Generator().manual_seed(batch.seed)).to(degraded)
            times = torch.full((len(state),), network.noising.steps - 1, device=state.device)
            told = network.denoiser.told([read_prompt(text) for text in batch.words]).to(state.device)
            whole = network.denoiser.context(batch.thumb, batch.grid, len(state), state.device)
            said = network.denoiser(state, degraded, times, told, context=whole)
            expected = network.codec.decode(network.noising.clean(state, said, times)).clamp(0, 1)
            shown = ~batch.unseen.cpu()
            for one, input_, target in zip(expected[shown], batch.degraded[shown], batch.target[shown], strict=True):
                scores = [float(psnr(image[None], target[None])) for image in (input_, one)]
                if max(scores) < 100:  # of what was asked to be left as it is, PSNR says nothing
                    before.append(scores[0])
                    after.append(scores[1])
    to_training(network)
    means = {"loss_held_out": sum(losses) / len(losses)}
    if not held_out.settings.prior and before:
        means |= {"psnr_input": sum(before) / len(before), "psnr": sum(after) / len(after)}
    return {name: round(value, 4) for name, value in means.items()}
