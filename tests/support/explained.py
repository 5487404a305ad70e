"""R of which it is known what it does with its prior, and what it needs; small folders."""

import torch
from torch import nn

from pellucid import images
from pellucid.evaluation.candidates import DEGRADED
from pellucid.priors.contract import FrozenPrior
from pellucid.studies.explanation.bands import BANDS
from pellucid.studies.explanation.feeding import ANOTHER, BOOSTED, FED, NETWORK, RANDOM, ZEROS
from pellucid.studies.explanation.measurement import ExplainedPhotograph


class Identity(nn.Module):
    """A network that leaves the picture as it is."""

    multiple, scale = 1, 1

    def forward(self, image):
        return image


class MeanPrior(FrozenPrior):
    """The mean of the picture, and a one."""

    def __init__(self):
        super().__init__("mean", 2, (1, 1))

    def prepare(self, image):
        return image.mean((1, 2, 3))[:, None, None, None].expand(-1, 3, 1, 1)

    def encode(self, view):
        return torch.cat([view[:, :1, 0, 0], torch.ones_like(view[:, :1, 0, 0])], 1)


class Known(nn.Module):
    """A refinement that is a given function of the restored image and the feature."""

    multiple, takes_maps = 1, False

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, restored, degraded, feature, *, grid=None, memory=None):
        return self.function(restored, feature)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def write_folder(folder, pictures):
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in pictures.items():
        images.write(images.Photograph(pixels), folder / name)
    return folder


FLAT = (1e-4,) * len(BANDS)


def result(
    name, degraded=20.0, network=30.0, boosted=31.0, zeros=30.5, another=30.8, condition="pairs", bands=None, **others
):
    psnr = {DEGRADED: degraded, NETWORK: network, BOOSTED: boosted, ZEROS: zeros, ANOTHER: another, RANDOM: 30.0}
    flat = dict.fromkeys((DEGRADED, NETWORK, BOOSTED, ZEROS), FLAT)
    return ExplainedPhotograph(
        "set", condition, "pairs-rgb", str(name), psnr | others, flat | (bands or {}), dict.fromkeys(FED, 1.0)
    )
