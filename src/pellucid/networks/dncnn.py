"""DnCNN: a plain stack of convolutions that predicts the noise."""

import torch
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published

__all__ = ["DnCNN"]


class DnCNN(Network):
    """Noisy image in, clean image out: (B, 3, H, W), any size, values unclipped both ways.

    Source: Zhang et al., "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising" (TIP 2017,
    arXiv 1608.03981), section III. For y = x + v the network learns R(y) to be v (equation 1), and x̂ = y - R(y). R is
    Conv + ReLU, then Conv + BN + ReLU repeatedly, then Conv, all 3 x 3. DnCNN-S has 17 layers and knows one level of
    noise; DnCNN-B has 20 and knows sigma 0 to 55.

    A network for grey images (one channel, as published) restores each colour channel on its own; where all three are
    equal, as in a grey photograph, one of them is computed and serves for all.

    Args:
        depth: convolutions; 17 for one level of noise, 20 for all of them.
        width: channels between them.
        channels: colour channels that the network takes, 1 or 3.
    """

    def __init__(self, depth: int = 17, width: int = 64, channels: int = 1) -> None:
        super().__init__()
        if depth < 2 or width < 1 or channels not in (1, 3):
            raise ValueError(
                f"depth must be 2 at least, width 1, and channels 1 or 3; got {depth}, {width} and {channels}"
            )
        self.contract = Contract(channels=channels)
        self.settings = {"depth": depth, "width": width, "channels": channels}
        self.channels = channels
        layers: list[nn.Module] = [_convolution(channels, width), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [_convolution(width, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, _convolution(width, channels))

    @classmethod
    def tiny(cls) -> "DnCNN":
        """The smallest useful instance, for tests."""
        return cls(depth=3, width=8)

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns degraded - R(degraded)."""
        planes = tile[:, :1] if self.channels == 1 and self._is_grey(tile) else tile
        with without_autocast(tile):  # at 8 bits of mantissa the first layer would see another image
            features = self.layers[0](planes.reshape(-1, self.channels, *planes.shape[2:]))
        noise: Tensor = self.layers[1:](features).reshape(planes.shape)
        return tile - noise

    def _is_grey(self, degraded: Tensor) -> bool:
        """Whether the channels are equal. Not asked in training (batch statistics count every plane), nor while a graph
        is recorded (the answer for the example would hold for every image)."""
        if self.training or torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[no-untyped-call, attr-defined]
            return False
        return all(torch.equal(degraded[:, 0], degraded[:, channel]) for channel in range(1, degraded.shape[1]))


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight)
    return convolution


PUBLISHED = Published(
    task="denoising",
    marks=("dncnn.0.weight",),
    settings=lambda weights: {
        "depth": sum(value.ndim == 4 for value in weights.values()),
        "width": weights["dncnn.0.weight"].shape[0],
        "channels": weights["dncnn.0.weight"].shape[1],
    },
    names=((r"^dncnn", "layers"),),
)
