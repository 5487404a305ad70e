"""Zero-DCE: brightening curves for every pixel, learned without any reference."""

import torch
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, numbered

__all__ = ["ZeroDCE"]


class ZeroDCE(Network):
    """Dark image in, bright image out: (B, 3, H, W) in [0, 1], any size.

    Source: Guo et al., "Zero-Reference Deep Curve Estimation for Low-Light Image Enhancement" (CVPR 2020, arXiv
        2001.06826).
    Equation 3: LE_n(x) = LE_{n-1}(x) + A_n(x) LE_{n-1}(x) (1 - LE_{n-1}(x)), where LE_0 is the degraded image, n goes
    from 1 to 8, and each colour channel has its own map A_n in [-1, 1]. The maps come from DCE-Net (section 3.2): seven
    3 x 3 convolutions with symmetrical, concatenating skips, ReLU between them and tanh at the end.

    The losses (section 3.3) look at the maps too: `curves` gives them, and `brighten` applies them.

    Args:
        width: channels of every inner convolution.
        iterations: how often a curve is applied.
    """

    def __init__(self, width: int = 32, iterations: int = 8) -> None:
        super().__init__()
        if width < 1 or iterations < 1:
            raise ValueError(f"width and iterations must be positive; got {width} and {iterations}")
        self.contract = Contract()
        self.settings = {"width": width, "iterations": iterations}
        self.iterations = iterations
        self.encoder = nn.ModuleList(nn.Conv2d(inputs, width, 3, padding=1) for inputs in (3, width, width, width))
        self.decoder = nn.ModuleList(
            nn.Conv2d(2 * width, outputs, 3, padding=1) for outputs in (width, width, 3 * iterations)
        )
        for layer in (*self.encoder, *self.decoder):  # section 4: Gaussian weights of standard deviation 0.02
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    @classmethod
    def tiny(cls) -> "ZeroDCE":
        """The smallest useful instance, for tests."""
        return cls(width=4, iterations=2)

    def curves(self, degraded: Tensor) -> Tensor:
        """The maps A_1, ..., A_n in [-1, 1], float32 (B, 3 n, H, W): red, green and blue of the first, then the
        next."""
        features, skips = degraded, []
        for layer in self.encoder:
            features = layer(features).relu_()
            skips.append(features)
        features = skips.pop()
        for layer in self.decoder[:-1]:
            features = layer(torch.cat([skips.pop(), features], 1)).relu_()
        # The published weights give -A: their curve is written LE + r (LE² - LE).
        curves: Tensor = -self.decoder[-1](torch.cat([skips.pop(), features], 1)).float().tanh()
        return curves

    def brighten(self, degraded: Tensor, curves: Tensor) -> Tensor:
        """LE_n of equation 3, for maps as `curves` gives them."""
        image = degraded
        for curve in curves.chunk(self.iterations, 1):
            image = image + curve * image * (1 - image)
        return image

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns the image after the last curve."""
        return self.brighten(tile, self.curves(tile))

    def traced(self, tile: Tensor, guidance: Guidance) -> tuple[Tensor, Tensor]:
        """The image after the last curve, and the curves."""
        curves = self.curves(tile)
        return self.brighten(tile, curves), curves


PUBLISHED = Published(
    task="low light",
    marks=("e_conv1.weight", "e_conv7.weight"),
    settings=lambda weights: {
        "width": weights["e_conv1.weight"].shape[0],
        "iterations": weights["e_conv7.weight"].shape[0] // 3,
    },
    names=(
        (r"^e_conv([1-4])", numbered("encoder.{}", 1)),
        (r"^e_conv([5-7])", numbered("decoder.{}", 5)),
    ),
)
