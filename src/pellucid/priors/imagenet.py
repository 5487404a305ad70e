"""MobileNetV2 and SqueezeNet 1.0, trained on ImageNet: small priors that need nothing but a file of weights.

Their keys are torchvision's, so that its published files load too. Files converted from other frameworks look the same
and want other pixels, which no key tells; so the convention is said in the prior's name:

    mobilenet_v2                 converted from TensorFlow: RGB * 2 - 1, strided convolutions pad right and bottom only
    squeezenet1_0                converted from Caffe: BGR in 0..255 minus (104, 117, 123), views of 227 x 227
    mobilenet_v2:torchvision     torchvision's mobilenet_v2-*.pth: its mean and standard deviation, padding all round
    squeezenet1_0:torchvision    torchvision's squeezenet1_0-*.pth: its mean and standard deviation
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.checkpoints import load_weights
from pellucid.devices import channels_last
from pellucid.errors import ModelError, SettingsError, unknown_name
from pellucid.priors.classifier import ClassifierPrior

__all__ = ["MobileNetV2", "SqueezeNet", "mobilenet_v2", "squeezenet1_0"]

MOBILENET_BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Table 2 of the MobileNetV2 paper: expansion, channels, repetitions, stride of the first."""


class MobileNetV2(nn.Module):
    """MobileNetV2 of width 1.0 (Sandler et al., CVPR 2018): (B, 3, H, W) to (B, 1000) logits.

    With `pad_end`, convolutions of stride two pad one pixel right and bottom instead of all round. That is TensorFlow's
    "SAME" for even sides, so H and W must then divide by 32.
    """

    def __init__(self, *, pad_end: bool = False) -> None:
        super().__init__()
        features: list[nn.Module] = [_convolution(3, 32, kernel=3, stride=2, pad_end=pad_end)]
        before = 32
        for expansion, channels, repetitions, stride in MOBILENET_BLOCKS:
            for index in range(repetitions):
                features.append(_Inverted(before, channels, expansion, 1 if index else stride, pad_end))
                before = channels
        features.append(_convolution(before, 1280, kernel=1))
        self.features = nn.Sequential(*features)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, H, W) to logits (B, 1000)."""
        logits: Tensor = self.classifier(self.pool(self.features(pixels)).flatten(1))
        return logits


class _Inverted(nn.Module):
    """An inverted residual: widen, filter each channel on its own, narrow without activation."""

    def __init__(self, before: int, after: int, expansion: int, stride: int, pad_end: bool) -> None:
        super().__init__()
        wide = before * expansion
        self.conv = nn.Sequential(
            *([_convolution(before, wide, kernel=1)] if expansion > 1 else []),
            _convolution(wide, wide, kernel=3, stride=stride, groups=wide, pad_end=pad_end),
            nn.Conv2d(wide, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.residual else out


class _PadEnd(nn.Conv2d):
    """A 3x3 convolution of stride two that pads one pixel right and bottom; a class, to keep torchvision's keys."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of nn.Conv2d's argument
        return super().forward(F.pad(input, (0, 1, 0, 1)))


def _convolution(
    before: int, after: int, *, kernel: int, stride: int = 1, groups: int = 1, pad_end: bool = False
) -> nn.Sequential:
    kind, padding = (_PadEnd, 0) if pad_end and stride == 2 else (nn.Conv2d, kernel // 2)
    convolution = kind(before, after, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU6(inplace=True))


class SqueezeNet(nn.Module):
    """SqueezeNet 1.0 (Iandola et al., 2016): (B, 3, H, W) to (B, 1000) logits; sides of at least 21 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 7, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            _Fire(96, 16, 64),
            _Fire(128, 16, 64),
            _Fire(128, 32, 128),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            _Fire(256, 32, 128),
            _Fire(256, 48, 192),
            _Fire(384, 48, 192),
            _Fire(384, 64, 256),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            _Fire(512, 64, 256),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Conv2d(512, 1000, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, H, W) to logits (B, 1000)."""
        logits: Tensor = self.classifier(self.features(pixels)).flatten(1)
        return logits


class _Fire(nn.Module):
    """Narrow by a 1x1 convolution, then widen by a 1x1 and a 3x3 one side by side."""

    def __init__(self, before: int, narrow: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, narrow, 1)
        self.expand1x1 = nn.Conv2d(narrow, wide, 1)
        self.expand3x3 = nn.Conv2d(narrow, wide, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], 1).relu()


def mobilenet_v2(weights: str | Path, convention: str = "tensorflow") -> ClassifierPrior:
    """MobileNetV2 as a prior: the 1280 pooled features, from 224 x 224.

    `convention` says where the file comes from: "tensorflow" or "torchvision" (see the head of this page). Raises
    ModelError when the file does not hold these weights, or holds them of the other convention.
    """
    converted = _is_converted("mobilenet_v2", convention, "tensorflow")
    module = MobileNetV2(pad_end=converted)
    variances = load_weights(module, weights)["features.0.1.running_var"]
    # Conversion folds the batch norm into the weights and leaves variances of one, which no training ever gives.
    if bool((variances == 1).all()) != converted:
        other = "mobilenet_v2:torchvision" if converted else "mobilenet_v2"
        raise ModelError(f"{weights}: these weights of MobileNetV2 are not {convention}'s; ask for the prior {other}")
    channels_last(module)
    if converted:
        half = (0.5, 0.5, 0.5)
        return ClassifierPrior(module, name="mobilenet_v2", mean=half, std=half)
    return ClassifierPrior(module, name="mobilenet_v2:torchvision")


def squeezenet1_0(weights: str | Path, convention: str = "caffe") -> ClassifierPrior:
    """SqueezeNet 1.0 as a prior: the 512 pooled features, from 227 x 227 (Caffe's) or 224 x 224 (torchvision's).

    `convention` says where the file comes from: "caffe" or "torchvision" (see the head of this page); a file of the
    other kind cannot be told, and gives poor features. Raises ModelError when the file does not hold these weights.
    """
    converted = _is_converted("squeezenet1_0", convention, "caffe")
    module = SqueezeNet()
    load_weights(module, weights)
    channels_last(module)
    if converted:
        mean = (123 / 255, 117 / 255, 104 / 255)
        std = (1 / 255, 1 / 255, 1 / 255)
        return ClassifierPrior(module, name="squeezenet1_0", size=(227, 227), mean=mean, std=std, bgr=True)
    return ClassifierPrior(module, name="squeezenet1_0:torchvision")


def _is_converted(prior: str, convention: str, origin: str) -> bool:
    if convention not in (origin, "torchvision"):
        raise SettingsError(unknown_name(f"convention of {prior}", convention, (origin, "torchvision")))
    return convention == origin
