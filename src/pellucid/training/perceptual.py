"""The perceptual loss: how far two images are apart for a network that has learned to see."""

from pathlib import Path

import torch
from torch import Tensor, nn

from pellucid.checkpoints import read_weights
from pellucid.errors import ModelError
from pellucid.metrics.perceptual import BACKBONES

__all__ = ["Perceptual"]

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)
"""Of the five maps, from the finest to the deepest."""


class Perceptual(nn.Module):
    """Mean absolute differences of five feature maps of VGG-16: the last of each stage, the deepest counting most.

    Source: Johnson et al., ECCV 2016 (arXiv 1603.08155), section 3.2; L1 and the weights 1/32 ... 1 are those of
    pix2pixHD (Wang et al., CVPR 2018, arXiv 1711.11585).

    Args:
        weights: torchvision's file of VGG-16; the classifier's keys are ignored.

    Raises:
        ModelError: it is missing, unreadable, or of another network.
    """

    smallest = BACKBONES["vgg"].least

    def __init__(self, weights: Path) -> None:
        super().__init__()
        vgg = BACKBONES["vgg"]
        layers = nn.Sequential(*vgg.layers())
        given = read_weights(weights)
        features = {key.removeprefix("features."): given[key] for key in given if key.startswith("features.")}
        try:
            layers.load_state_dict(features)
        except RuntimeError as error:
            raise ModelError(f"{weights}: not torchvision's weights of {vgg.title}") from error
        self.layers, self.taps = layers, vgg.taps
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).reshape(1, 3, 1, 1))
        self.requires_grad_(False).eval()

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """The loss, a scalar, of images (B, 3, H, W) in [0, 1], sides of at least 16 pixels."""
        self.to(restored.device)
        mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
        first, second = (restored - mean) / deviation, (clean - mean) / deviation
        total = restored.new_zeros(())
        for index, layer in enumerate(self.layers):
            first, second = layer(first), layer(second)
            if index in self.taps:
                total = total + WEIGHTS[self.taps.index(index)] * (first - second).abs().mean()
        return total
