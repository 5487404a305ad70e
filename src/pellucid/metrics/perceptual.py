"""LPIPS, a distance that agrees with people's judgement (Zhang et al. 2018).

The numbers mean something only with the published weights, which are not part of pellucid: a file of torchvision's
ImageNet backbone, and a file of the linear heads of LPIPS v0.1. There is no LPIPS without them, so none can be built
by accident.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.checkpoints import read_weights
from pellucid.errors import ModelError, SettingsError, unknown_name

__all__ = ["LPIPS", "load_lpips"]

Weights = Mapping[str, Tensor]


class _Fire(nn.Module):
    """SqueezeNet's block (Iandola et al. 2016): a 1 x 1 convolution, then 1 x 1 and 3 x 3 side by side."""

    def __init__(self, width: int, narrow: int, half: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, narrow, 1)
        self.expand1x1 = nn.Conv2d(narrow, half, 1)
        self.expand3x3 = nn.Conv2d(narrow, half, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


def _alexnet() -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    for width, wider in ((192, 384), (384, 256), (256, 256)):
        layers += [nn.Conv2d(width, wider, 3, padding=1), nn.ReLU()]
    return layers


def _vgg16() -> list[nn.Module]:
    layers: list[nn.Module] = []
    width = 3
    for wider, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [nn.MaxPool2d(2)] if layers else []
        for _ in range(depth):
            layers += [nn.Conv2d(width, wider, 3, padding=1), nn.ReLU()]
            width = wider
    return layers


def _squeezenet() -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, stride=2), nn.ReLU()]
    layers += [nn.MaxPool2d(3, 2, ceil_mode=True), _Fire(64, 16, 64), _Fire(128, 16, 64)]
    layers += [nn.MaxPool2d(3, 2, ceil_mode=True), _Fire(128, 32, 128), _Fire(256, 32, 128)]
    layers += [nn.MaxPool2d(3, 2, ceil_mode=True), _Fire(256, 48, 192), _Fire(384, 48, 192)]
    return [*layers, _Fire(384, 64, 256), _Fire(512, 64, 256)]


@dataclass(frozen=True)
class Backbone:
    """A network of torchvision, the layers after which LPIPS looks, and what it needs."""

    title: str
    layers: Callable[[], list[nn.Module]]
    taps: tuple[int, ...]
    widths: tuple[int, ...]
    least: int
    """The shortest side that leaves something at the last layer, in pixels."""


BACKBONES: Mapping[str, Backbone] = {
    "alex": Backbone("AlexNet", _alexnet, (1, 4, 7, 9, 11), (64, 192, 384, 256, 256), 31),
    "squeeze": Backbone(
        "SqueezeNet 1.1", _squeezenet, (1, 4, 7, 9, 10, 11, 12), (64, 128, 256, 384, 384, 512, 512), 17
    ),
    "vgg": Backbone("VGG-16", _vgg16, (3, 8, 15, 22, 29), (64, 128, 256, 512, 512), 16),
}


class LPIPS(nn.Module):
    """The distance of two pictures, 0 for equal ones, with the given weights; see `load_lpips`.

    `backbone` has torchvision's keys ("features.0.weight"; those of its classifier are ignored), `heads` those of
    LPIPS v0.1 ("lin0.model.1.weight", of shape (1, C, 1, 1)). Raises SettingsError for an unknown network,
    ModelError for weights that do not suit.
    """

    def __init__(self, network: str, backbone: Weights, heads: Weights) -> None:
        super().__init__()
        if network not in BACKBONES:
            raise SettingsError(unknown_name("network of LPIPS", network, BACKBONES))
        self.settings = BACKBONES[network]
        self.features = nn.Sequential(*self.settings.layers())
        own = {name: value for name, value in backbone.items() if name.startswith("features.")}
        features = {f"features.{name}": value for name, value in self.features.state_dict().items()}
        _check_weights(features, own, f"the backbone {self.settings.title}")
        self.features.load_state_dict({name.removeprefix("features."): value for name, value in own.items()})
        widths = self.settings.widths
        linear = {f"lin{i}.model.1.weight": torch.empty(1, width, 1, 1) for i, width in enumerate(widths)}
        _check_weights(linear, heads, f"the heads of LPIPS v0.1 for {network}")
        for i, name in enumerate(linear):
            self.register_buffer(f"head{i}", heads[name].float().clone())
        # The mean and deviation of ImageNet, for a picture in [-1, 1], as published with the weights.
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1))
        self.requires_grad_(False).eval()

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """The distance, float32 (B,), of pictures (B, 3, H, W), RGB in [0, 1]. A gradient flows back to the pictures.

        Raises ValueError where the shapes differ or a side is too short for the backbone.
        """
        if restored.shape != clean.shape or clean.ndim != 4 or clean.shape[1] != 3:
            raise ValueError(f"expected two (B, 3, H, W), got {tuple(restored.shape)} and {tuple(clean.shape)}")
        height, width = clean.shape[-2:]
        if min(height, width) < self.settings.least:
            raise ValueError(
                f"a picture of {width} x {height} pixels is too small for LPIPS with {self.settings.title}: "
                f"each side needs {self.settings.least}"
            )
        first, second = (self._scaled(image.float()) for image in (restored, clean))
        distance = torch.zeros(len(clean), device=clean.device)
        for index, layer in enumerate(self.features):
            first, second = layer(first), layer(second)
            if index in self.settings.taps:
                head = self.get_buffer(f"head{self.settings.taps.index(index)}")
                # Equation 1: unit length in the channel direction, weighted squares, the average over places.
                square = (_unit(first) - _unit(second)).square()
                distance = distance + (square * head).sum(1).mean((1, 2))
        return distance

    def _scaled(self, image: Tensor) -> Tensor:
        return (2 * image - 1 - self.get_buffer("shift")) / self.get_buffer("scale")


def load_lpips(backbone: str | Path, heads: str | Path, network: str = "alex") -> LPIPS:
    """LPIPS from two local files: torchvision's weights of the backbone, and the heads of LPIPS v0.1.

    `network` is "alex", "vgg" or "squeeze". Files are .safetensors, or pickles read without running code. Raises
    SettingsError for another network, ModelError where a file is not there, cannot be read, or does not suit.
    """
    if network not in BACKBONES:
        raise SettingsError(unknown_name("network of LPIPS", network, BACKBONES))
    title = BACKBONES[network].title
    return LPIPS(
        network,
        _read(Path(backbone), f"the ImageNet weights of {title} as torchvision publishes them"),
        _read(Path(heads), f"the linear heads of LPIPS v0.1 for {network}, {network}.pth as its authors publish them"),
    )


def _read(path: Path, what: str) -> Weights:
    if not path.is_file():
        raise ModelError(f"LPIPS needs {what}, but there is no file {path}")
    return read_weights(path)


def _check_weights(expected: Weights, given: Weights, what: str) -> None:
    for name, value in expected.items():
        if name not in given:
            raise ModelError(f"these are not the weights of {what}: {name} is missing")
        if given[name].shape != value.shape:
            shapes = f"{tuple(given[name].shape)} instead of {tuple(value.shape)}"
            raise ModelError(f"these are not the weights of {what}: {name} has the shape {shapes}")
    extra = sorted(given.keys() - expected.keys())
    if extra:
        raise ModelError(f"these are not the weights of {what}: it has no {extra[0]}")


def _unit(feature: Tensor) -> Tensor:
    # The norm, not a square root of a sum: its gradient is 0, not nan, where all channels are silent.
    length: Tensor = torch.linalg.vector_norm(feature, dim=1, keepdim=True)
    return feature / (length + 1e-10)
