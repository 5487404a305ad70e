"""What training diffusion minimises: the squared difference of what is said of a noisy state and what should be."""

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pellucid.diffusion.network import Generative
from pellucid.diffusion.prompts import read_prompt
from pellucid.images.padding import pad_to_multiple
from pellucid.networks import verbs_of
from pellucid.training.diffusion.batches import DiffusionBatch

__all__ = ["DiffusionObjective", "FidelityObjective"]


class DiffusionObjective:
    """Mean squared error of the prediction (Ho et al., 2020, equation 14; of v, Salimans and Ho, 2022).

    Args:
        network: whose codec, schedule and words are taken.
        first: what restores first, for a network that learns beside it; it stays as it is.
    """

    def __init__(self, network: Generative, first: nn.Module | None = None) -> None:
        self.network = network
        self._first = None if first is None else first.eval().requires_grad_(False)

    def __call__(self, module: nn.Module, batch: DiffusionBatch) -> Tensor:
        """The loss of a batch, a scalar."""
        plain = module.module if isinstance(module, DistributedDataParallel) else module
        assert isinstance(plain, Generative)
        _, said, _, wanted = self._said(plain, batch)
        error: Tensor = (said.float() - wanted).square()
        if plain.settings.get("context") == "halo":  # the outer eighths are there to be seen, not to be judged
            rows, columns = (slice(length // 8, length - length // 8) for length in error.shape[2:])
            error = error[:, :, rows, columns]
        return error.mean()

    def _said(self, plain: Generative, batch: DiffusionBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Noisy states of what is asked for, what the network says of them, at which times, and what it should say."""
        with torch.no_grad():
            clean = plain.codec.encode(batch.target)
            degraded = self.seen(plain, batch) * ~batch.unseen.view(-1, 1, 1, 1)
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
        return state, said, times, wanted

    @torch.no_grad()
    def seen(self, network: Generative, batch: DiffusionBatch) -> Tensor:
        """What the network sees of degraded patches, as a state: see `Course.degraded`."""
        degraded: Tensor = network.codec.encode(batch.degraded)
        if network.first is None:
            return degraded
        restored = batch.degraded
        if self._first is not None:
            verbs = verbs_of(self._first.to(restored.device))
            restored = pad_to_multiple(restored, verbs.contract.multiple)
            height, width = batch.degraded.shape[2:]
            restored = verbs(restored, verbs.look(restored)).float().clamp(0, 1)[:, :, :height, :width]
        both: Tensor = torch.cat([degraded, network.codec.encode(restored)], 1)
        return both


class FidelityObjective(DiffusionObjective):
    """What a fidelity decoder learns: from what the network expects at any time, and from what the encoder sees of the
    degraded picture, to the picture that was asked for (StableSR: Wang et al., IJCV 2024, arXiv 2305.07015, section
    3.3; by the Charbonnier loss alone). Network and autoencoder stay as they are.
    """

    def __call__(self, module: nn.Module, batch: DiffusionBatch) -> Tensor:
        """The loss of a batch, a scalar."""
        plain = module.module if isinstance(module, DistributedDataParallel) else module
        assert isinstance(plain, Generative)
        with torch.no_grad():
            state, said, times = self._said(plain, batch)[:3]
            expected = plain.noising.clean(state, said.float(), times)
        made = plain.codec.decode_beside(expected, batch.degraded, 1.0)
        error: Tensor = ((made - batch.target).square() + 1e-6).sqrt()
        return error.mean()
