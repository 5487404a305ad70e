"""PairLIE: Retinex learned without a reference, from pairs of dark images of one scene."""

from typing import NamedTuple

from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.images.padding import pad_to
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published

__all__ = ["PairLIE", "Retinex"]


class Retinex(NamedTuple):
    """What an image is split into."""

    projected: Tensor
    """i, the image without noise, (B, 3, H, W) in [0, 1]."""
    illumination: Tensor
    """L, (B, 1, H, W) in [0, 1]."""
    reflectance: Tensor
    """R, (B, 3, H, W) in [0, 1]."""


class PairLIE(Network):
    """Dark image in, bright image out: (B, 3, H, W) in [0, 1], any size.

    Source: Fu et al., "Learning a Simple Low-Light Image Enhancer From Paired Low-Light Instances" (CVPR 2023), section
    3. P-Net projects the image I to i, which lacks what does not suit Retinex (noise); L-Net and R-Net split it, i = L
    ∘ R, into a grey illumination and a reflectance; the result is L^λ ∘ R. Each network is five 3 x 3 convolutions on
    reflected borders, with ReLU between them and a sigmoid at the end.

    The losses compare the parts of two images of one scene: `split` gives them.

    Args:
        width: channels of every inner convolution.
        exponent: λ, the power of the illumination: 0 leaves none of it. The authors take 0.2, and 0.14 for LOL.
    """

    def __init__(self, width: int = 64, exponent: float = 0.2) -> None:
        super().__init__()
        if width < 1 or exponent < 0:
            raise ValueError(f"width must be positive and exponent not negative; got {width} and {exponent}")
        self.contract = Contract()
        self.settings = {"width": width, "exponent": exponent}
        self.exponent = exponent
        self.projection = _network(width, 3)
        self.illumination = _network(width, 1)
        self.reflectance = _network(width, 3)

    @classmethod
    def tiny(cls) -> "PairLIE":
        """The smallest useful instance, for tests."""
        return cls(width=4)

    def split(self, degraded: Tensor) -> Retinex:
        """The image's parts, float32."""
        height, width = degraded.shape[2:]
        # One pixel has no neighbour to be reflected; its own mirror image beside it changes nothing else.
        projected = self.projection(pad_to(degraded, 2, 2)).float().sigmoid()
        illumination = self.illumination(projected).float().sigmoid()
        reflectance = self.reflectance(projected).float().sigmoid()
        return Retinex(*(part[:, :, :height, :width] for part in (projected, illumination, reflectance)))

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns L^λ ∘ R."""
        parts = self.split(tile)
        return parts.illumination**self.exponent * parts.reflectance


def _network(width: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs in (3, width, width, width):
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(inputs, width, 3), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(1), nn.Conv2d(width, outputs, 3))


PUBLISHED = Published(
    task="low light",
    marks=("N_net.N_net.1.weight",),
    settings=lambda weights: {"width": weights["N_net.N_net.1.weight"].shape[0]},
    names=(
        (r"^N_net\.N_net", "projection"),
        (r"^L_net\.L_net", "illumination"),
        (r"^R_net\.R_net", "reflectance"),
    ),
)
