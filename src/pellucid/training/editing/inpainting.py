"""Training an inpainter: batches of photographs with holes, the loss, and the score on those that are held out."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pellucid.data.holes import drawn_holes
from pellucid.data.sources import Source
from pellucid.networks import Inpainter
from pellucid.networks.inpainter import smooth_fill
from pellucid.training.editing.crops import chosen, clean_parts, crop_of
from pellucid.training.editing.settings import InpaintingSettings
from pellucid.training.encoder.batches import generator_of
from pellucid.training.loop import to_training
from pellucid.training.run import Run

__all__ = ["HoleBatch", "HoleBatches", "InpaintingObjective", "validate_inpainting"]

EPSILON = 1e-3
BATCHES = 12


@dataclass(frozen=True)
class HoleBatch:
    """Photographs, and where they are missing.

    Attributes:
        clean: (B, 3, crop, crop) in [0, 1].
        missing: (B, 1, crop, crop), bool.
    """

    clean: Tensor
    missing: Tensor

    def to(self, device: torch.device) -> "HoleBatch":
        """The same on a device, channels last."""
        return HoleBatch(self.clean.to(device, memory_format=torch.channels_last), self.missing.to(device))


@dataclass(frozen=True)
class HoleBatches:
    """Crops of a source's clean photographs, with holes in them."""

    source: Source
    crop: int
    size: int
    seed: int
    settings: InpaintingSettings

    def __post_init__(self) -> None:
        clean_parts(self.source)

    def at(self, number: int, *, rank: int = 0) -> HoleBatch:
        """Batch `number` of process `rank`."""
        generator, parts = generator_of(self.seed, rank, number), clean_parts(self.source)
        settings, crop = self.settings, self.crop
        clean, missing = [], []
        for _ in range(self.size):
            clean.append(crop_of(chosen(parts, generator), crop, crop, settings.resized, generator))
            missing.append(drawn_holes(crop, crop, generator, share=settings.share, kind=settings.holes))
        return HoleBatch(torch.stack(clean), torch.stack(missing))


class InpaintingObjective:
    """Charbonnier's distance in the holes, of the values and of the differences of neighbours.

    Args:
        gradient: weight of the second.
    """

    def __init__(self, gradient: float) -> None:
        self.gradient = gradient

    def __call__(self, module: nn.Module, batch: HoleBatch) -> Tensor:
        """The loss of a batch, a scalar: a mean over what is missing, so that small holes count as large ones do."""
        plain = module.module if isinstance(module, DistributedDataParallel) else module
        assert isinstance(plain, Inpainter)
        holed = torch.where(batch.missing, torch.nan, batch.clean)
        filled = module(holed)
        weight = batch.missing.float()
        weight = weight / weight.sum((1, 2, 3), keepdim=True).clamp_min(1)
        with torch.autocast(filled.device.type, enabled=False):
            difference = filled.float() - batch.clean
            loss = (_charbonnier(difference).mean(1, keepdim=True) * weight).sum()
            for axis in (2, 3):
                length = difference.shape[axis] - 1
                slope = difference.narrow(axis, 1, length) - difference.narrow(axis, 0, length)
                here = torch.maximum(weight.narrow(axis, 1, length), weight.narrow(axis, 0, length))
                loss = loss + self.gradient * (_charbonnier(slope).mean(1, keepdim=True) * here).sum()
        return loss / len(filled)


def _charbonnier(difference: Tensor) -> Tensor:
    return (difference.square() + EPSILON**2).sqrt()


@torch.no_grad()
def validate_inpainting(run: Run, held_out: HoleBatches) -> dict[str, Any]:
    """By the averaged weights, on always the same batches: PSNR in dB inside the holes, of the smooth filling alone
    (`psnr_smooth`) and of the network (`psnr`)."""
    network = run.module
    assert isinstance(network, Inpainter)
    network.eval()
    smooth: list[float] = []
    learnt: list[float] = []
    with run.average.applied():
        for number in range(BATCHES):
            batch = held_out.at(number).to(next(network.parameters()).device)
            holed = torch.where(batch.missing, torch.nan, batch.clean)
            for found, scores in ((smooth_fill(holed, batch.missing), smooth), (network(holed), learnt)):
                squares = (found.clamp(0, 1) - batch.clean).square().mean(1, keepdim=True) * batch.missing
                error = squares.sum((1, 2, 3)) / batch.missing.sum((1, 2, 3))
                scores += (-10 * error.clamp_min(1e-10).log10()).tolist()
    to_training(network)
    return {"psnr_smooth": round(sum(smooth) / len(smooth), 4), "psnr": round(sum(learnt) / len(learnt), 4)}
