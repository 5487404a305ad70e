"""RUAS: Retinex unrolled, with cells whose operations were found by a search."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, count

__all__ = ["RUAS", "RUASStage"]


class Operation(NamedTuple):
    """A convolution of the search's space, with its input added or not."""

    side: int
    dilation: int = 1
    residual: bool = False


# Operations of a cell by their place; a place without one passes its input on.
ILLUMINATION: Mapping[str, Operation] = {
    "carry1": Operation(1, residual=True),
    "keep2": Operation(3, dilation=2, residual=True),
    "carry2": Operation(3),
    "keep3": Operation(3),
    "keep4": Operation(3),
}
NOISE: Mapping[str, Operation] = {
    "keep1": Operation(1, residual=True),
    "carry1": Operation(1, residual=True),
    "keep2": Operation(3, dilation=2, residual=True),
    "keep3": Operation(1, residual=True),
    "carry3": Operation(1, residual=True),
}


class RUASStage(NamedTuple):
    """One stage of the unrolling, each (B, 3, H, W)."""

    illumination: Tensor
    """t, in [0.001, 1]."""
    enhanced: Tensor
    """u = y / t, in [0, 1]."""


class Cell(nn.Module):
    """A distillation block: at each of four steps one part is kept and another carried on; the kept ones are mixed."""

    def __init__(self, width: int, operations: Mapping[str, Operation]) -> None:
        super().__init__()
        self.operations = operations
        self.convolutions = nn.ModuleDict(
            {
                place: nn.Conv2d(width, width, side, padding=side // 2 * dilation, dilation=dilation)
                for place, (side, dilation, _) in operations.items()
            }
        )
        self.mix = nn.Conv2d(4 * width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) in and out."""
        kept = []
        with without_autocast(features):
            for step in (1, 2, 3):
                kept.append(_activate(self._operate(f"keep{step}", features)))
                features = _activate(self._operate(f"carry{step}", features) + features)
            kept.append(_activate(self._operate("keep4", features)))
            mixed: Tensor = self.mix(torch.cat(kept, 1))
        return mixed

    def _operate(self, place: str, features: Tensor) -> Tensor:
        if place not in self.operations:
            return features
        result: Tensor = self.convolutions[place](features)
        return result + features if self.operations[place].residual else result


class RUAS(Network):
    """Dark image in, bright image out: (B, 3, H, W) in [0, 1], any size.

    Source: Liu et al., "Retinex-inspired Unrolling with Cooperative Prior Architecture Search for Low-light Image
    Enhancement" (CVPR 2021, arXiv 2012.05609), section 3. Illumination estimation, from the dark image y: a warm start
    t̂ is the largest value of a small window, in y at first and in the last result u, less half of u - y, from then on;
    a searched cell refines it to t; u = y / t. Noise removal: a second stack of searched cells predicts the noise of
    the last u. `ILLUMINATION` and `NOISE` are what the authors' search gave.

    The losses are computed of every stage: `stages` gives them.

    Args:
        iterations: stages of illumination estimation, each with a cell of its own.
        blocks: cells of noise removal.
        width: channels of these.
        denoise: whether noise removal follows. The authors do it with their weights for LOL, and leave it out with
            those for MIT-Adobe FiveK and DarkFace.
    """

    def __init__(self, iterations: int = 3, blocks: int = 3, width: int = 6, denoise: bool = True) -> None:
        super().__init__()
        if min(iterations, blocks, width) < 1:
            raise ValueError(f"iterations, blocks and width must be positive; got {iterations}, {blocks}, {width}")
        self.contract = Contract()
        self.settings = {
            "iterations": iterations,
            "blocks": blocks,
            "width": width,
            "denoise": denoise,
        }
        self.denoise = denoise
        self.illumination = nn.ModuleList(Cell(3, ILLUMINATION) for _ in range(iterations))
        self.noise_head = nn.Conv2d(3, width, 3, padding=1)
        self.noise_cells = nn.Sequential(*(Cell(width, NOISE) for _ in range(blocks)))
        self.noise_tail = nn.Conv2d(width, 3, 3, padding=1)

    @classmethod
    def tiny(cls) -> "RUAS":
        """The smallest useful instance, for tests."""
        return cls(iterations=2, blocks=1, width=4)

    def stages(self, degraded: Tensor) -> list[RUASStage]:
        """Every stage of the illumination estimation, the best last, before noise removal."""
        stages: list[RUASStage] = []
        for cell in self.illumination:
            start = _brightest(stages[-1].enhanced if stages else degraded)
            if stages:
                start = start - 0.5 * (stages[-1].enhanced - degraded)
            illumination = cell(start).sigmoid().clamp(1e-3, 1)
            stages.append(RUASStage(illumination, (degraded / illumination).clamp(0, 1)))
        return stages

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns the last stage's image, without its noise where `denoise` says so."""
        enhanced = self.stages(tile)[-1].enhanced
        if not self.denoise:
            return enhanced
        with without_autocast(enhanced):
            restored: Tensor = enhanced - self.noise_tail(self.noise_cells(self.noise_head(enhanced)))
        return restored


def _activate(features: Tensor) -> Tensor:
    return F.leaky_relu(features, 0.05)


def _brightest(image: Tensor) -> Tensor:
    """The largest value of each pixel and its neighbours to the right and below; beyond the border lies black."""
    return F.max_pool2d(F.pad(image, (0, 1, 0, 1)), 2, stride=1)


PUBLISHED = Published(
    task="low light",
    marks=("denoise_net.stem.weight",),
    settings=lambda weights: {
        "iterations": count(weights, r"enhance_net\.iems\.\d+\.cell\.c5\.weight"),
        "blocks": count(weights, r"denoise_net\.nrms\.\d+\.c5\.weight"),
        "width": weights["denoise_net.stem.weight"].shape[0],
    },
    names=(
        (r"^enhance_net\.iems\.(\d+)\.cell", r"illumination.\1"),
        (r"^denoise_net\.stem", "noise_head"),
        (r"^denoise_net\.nrms", "noise_cells"),
        (r"^denoise_net\.activate\.0", "noise_tail"),
        (r"c(\d)(_d)?\.op", r"convolutions.keep\1"),
        (r"c(\d)_r\.op", r"convolutions.carry\1"),
        (r"c5", "mix"),
    ),
)
