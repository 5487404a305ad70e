"""A U-Net of plain residual 3x3 convolutions: the DRUNet family.

Source: Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior" (TPAMI 2021, arXiv 2008.13751), section
3: four scales, residual blocks of two convolutions with one ReLU, strided 2x2 convolutions down, transposed 2x2
convolutions up, additive skips, no biases and no normalisation. Without biases f(a x) = a f(x), so a denoiser keeps
working at noise levels beyond those it was trained on (Mohan et al., ICLR 2020, arXiv 1906.05478).

Two choices are ours: there is no noise map (one network is blind to the level), and the network predicts what to add to
the degraded image rather than the image, which keeps 8 bits of mantissa enough in bfloat16.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.images.padding import pad_around
from pellucid.networks.contract import Contract, Network

__all__ = ["UNet"]


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), both 3x3, at constant width."""

    def __init__(self, width: int, *, bias: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features in, features out, (B, width, h, w)."""
        refined: Tensor = features + self.second(self.first(features).relu_())
        return refined


class UNet(Network):
    """Degraded image in, restored image out: (B, 3, H, W), any range; H and W divisible by `multiple`.

    Args:
        widths: channels at each scale, finest first; each scale halves the sides.
        blocks: residual blocks per scale, on the way down and again on the way up (once at the coarsest).
        channels: colour channels of the image.
        bias: give the convolutions biases. Without, f(a x) = a f(x): a network that cannot tell a dark photograph from
            a bright one. Weights of a network without biases are taken by one with: its biases are then zero.
        beside: planes that are given beside the image, after its channels: (B, channels + beside, H, W). Weights of a
            network that is given none are taken by one that is: it then does not look at them, until it learns to.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 128, 256),
        blocks: Sequence[int] = (2, 2, 2, 2),
        channels: int = 3,
        bias: bool = False,
        beside: int = 0,
        smooth: bool = False,
        margin: int = 0,
    ) -> None:
        super().__init__()
        if not widths or len(widths) != len(blocks):
            raise ValueError(f"widths and blocks need one entry per scale; got {list(widths)} and {list(blocks)}")
        if min(*widths, *blocks, channels) < 1 or beside < 0:
            raise ValueError(
                f"widths, blocks and channels must be positive; got {list(widths)}, {list(blocks)}, {channels}"
            )
        self.settings = {"widths": list(widths), "blocks": list(blocks), "channels": channels}
        if bias:
            self.settings["bias"] = True
            self.register_load_state_dict_pre_hook(_without_biases)  # type: ignore[no-untyped-call]
        if beside:
            self.settings["beside"] = beside
            self.register_load_state_dict_pre_hook(_without_planes_beside)  # type: ignore[no-untyped-call]
        if smooth:
            self.settings["smooth"] = True
            self.register_load_state_dict_pre_hook(_with_mean_taps)  # type: ignore[no-untyped-call]
        self.contract = Contract(multiple=2 ** (len(widths) - 1), channels=channels)
        self.channels, self.margin = channels, margin
        if margin < 0 or margin % self.contract.multiple:
            raise ValueError(f"margin must be divisible by {self.contract.multiple} and not negative, got {margin}")
        if margin:
            self.settings["margin"] = margin
        self.head = nn.Conv2d(channels + beside, widths[0], 3, padding=1, bias=bias)
        self.encoders = nn.ModuleList(_stage(width, count, bias) for width, count in zip(widths, blocks, strict=True))
        self.downsamples = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2, bias=bias) for a, b in pairwise(widths))
        upsample = _smooth_upsampling if smooth else _upsampling
        self.upsamples = nn.ModuleList(upsample(coarse, fine, bias) for fine, coarse in pairwise(widths))
        self.decoders = nn.ModuleList(
            _stage(width, count, bias) for width, count in zip(widths[:-1], blocks[:-1], strict=True)
        )
        self.tail = nn.Conv2d(widths[0], channels, 3, padding=1, bias=bias)
        self._initialise()

    def _initialise(self) -> None:
        """He initialisation, with every residual branch damped so that the depth does not blow the signal up."""
        if self.head.weight.is_meta:
            return  # a file fills it; drawing numbers that are nowhere makes torch load its compiler, for seconds
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                _clear(module.bias)
            elif isinstance(module, nn.ConvTranspose2d):
                # Stride equals kernel size: each output pixel sees one tap, so the fan-in is the input width alone.
                nn.init.normal_(module.weight, std=module.in_channels**-0.5)
                _clear(module.bias)
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, ResidualBlock):
                    module.second.weight.mul_(0.1)
            self.tail.weight.mul_(0.1)

    @classmethod
    def tiny(cls) -> "UNet":
        """The smallest useful instance, for tests."""
        return cls(widths=(8, 16), blocks=(1, 1))

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns degraded + the predicted correction."""
        if not self.margin:
            return self._restored(tile)
        rows, columns = (slice(self.margin, self.margin + side) for side in tile.shape[2:])
        return self._restored(pad_around(tile, self.margin))[:, :, rows, columns]

    def _restored(self, degraded: Tensor) -> Tensor:
        return degraded[:, : self.channels] + self._predicted(degraded)

    def _predicted(self, degraded: Tensor) -> Tensor:
        """What the last convolution gives, (B, channels, H, W)."""
        features = self.head(degraded)
        skips: list[Tensor] = []
        for encode, downsample in zip(self.encoders, self.downsamples, strict=False):
            features = encode(features)
            skips.append(features)
            features = downsample(features)
        features = self.encoders[-1](features)
        for upsample, decode in zip(reversed(self.upsamples), reversed(self.decoders), strict=True):
            features = decode(upsample(features) + skips.pop())
        predicted: Tensor = self.tail(features)
        return predicted


def _stage(width: int, count: int, bias: bool) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width, bias=bias) for _ in range(count)))


def _upsampling(coarse: int, fine: int, bias: bool) -> nn.Module:
    return nn.ConvTranspose2d(coarse, fine, 2, stride=2, bias=bias)


def _smooth_upsampling(coarse: int, fine: int, bias: bool) -> nn.Module:
    return nn.Sequential(nn.Conv2d(coarse, fine, 1, bias=bias), nn.Upsample(scale_factor=2, mode="bilinear"))


def _clear(bias: Tensor | None) -> None:
    if bias is not None:
        nn.init.zeros_(bias)


def _without_biases(network: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Zeros for the biases of a state that has none at all."""
    biases = {prefix + name: value for name, value in network.named_parameters() if name.endswith(".bias")}
    if not biases.keys() & state.keys():
        state.update({name: torch.zeros(value.shape) for name, value in biases.items()})


def _without_planes_beside(network: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Zeros for the planes beside the image, where a state is of a network that has none."""
    assert isinstance(network, UNet)
    weight, wanted = state.get(prefix + "head.weight"), network.head.weight
    if weight is not None and weight.shape[1] == network.channels and weight.shape[2:] == wanted.shape[2:]:
        grown = weight.new_zeros(len(weight), *wanted.shape[1:])
        grown[:, : network.channels] = weight
        state[prefix + "head.weight"] = grown


def _with_mean_taps(network: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """1x1 convolutions for the transposed ones of a state that has those: the means of their four taps."""
    assert isinstance(network, UNet)
    for number in range(len(network.upsamples)):
        for kind in ("weight", "bias"):
            taps = state.pop(f"{prefix}upsamples.{number}.{kind}", None)
            if taps is not None:
                mean = taps.mean((2, 3), keepdim=True).transpose(0, 1) if kind == "weight" else taps
                state[f"{prefix}upsamples.{number}.0.{kind}"] = mean
