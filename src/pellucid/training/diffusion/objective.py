"""What training diffusion minimises: the squared difference of what is said of a noisy state and what should be."""

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pellucid.diffusion.network import Generative
from pellucid.diffusion.prompts import read_prompt
from pellucid.training.diffusion.batches import DiffusionBatch

__all__ = ["DiffusionObjective"]


class DiffusionObjective:
    """Mean squared error of the prediction (Ho et al., 2020, equation 14; of v, Salimans and Ho, 2022).

    Args:
        network: whose codec, schedule and words are taken.
    """

    def __init__(self, network: Generative) -> None:
        self.network = network

    def __call__(self, module: nn.Module, batch: DiffusionBatch) -> Tensor:
        """The loss of a batch, a scalar."""
        plain = module.module if isinstance(module, DistributedDataParallel) else module
        assert isinstance(plain, Generative)
        with torch.no_grad():
            clean = plain.codec.encode(batch.target)
            degraded = plain.codec.encode(batch.degraded) * ~batch.unseen.view(-1, 1, 1, 1)
            generator = torch.Generator().manual_seed(batch.seed)
            noise = torch.randn(clean.shape, generator=generator).to(clean.device)
            times = (batch.times * plain.noising.steps).long()
            state = plain.noising.noised(clean, noise, times)
            wanted = plain.noising.wanted(clean, noise, times)
        told = plain.denoiser.told([read_prompt(text) for text in batch.words]).to(clean.device)
        whole = plain.denoiser.context(batch.thumb, batch.grid, len(clean), clean.device)
        memory = torch.channels_last
        said = plain.denoiser(
            state.contiguous(memory_format=memory),
            degraded.contiguous(memory_format=memory),
            times,
            told,
            context=None if whole is None else whole * ~batch.alone.view(-1, *[1] * (whole.ndim - 1)),
        )
        error: Tensor = (said.float() - wanted).square()
        if plain.settings.get("context") == "halo":  # the outer eighths are there to be seen, not to be judged
            rows, columns = (slice(length // 8, length - length // 8) for length in error.shape[2:])
            error = error[:, :, rows, columns]
        return error.mean()
