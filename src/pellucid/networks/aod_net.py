"""AOD-Net: dehazing by one formula, in which a small network estimates the only unknown."""

import torch
from torch import Tensor, nn

from pellucid.guidance import Guidance
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.published import Published, numbered

__all__ = ["AODNet"]

# The inputs of each convolution: which maps it sees (0 is the image), and the side of its kernel.
LAYERS = (((0,), 1), ((1,), 3), ((1, 2), 5), ((2, 3), 7), ((1, 2, 3, 4), 3))


class AODNet(Network):
    """Hazy image in, clear image out: (B, 3, H, W) in [0, 1], any size; results are not negative, but may exceed 1.

    Source: Li et al., "AOD-Net: All-in-One Dehazing Network" (ICCV 2017, arXiv 1707.06543). The scattering model
    I = J t + A (1 - t) is rewritten as J = K I - K + b (equation 4) with b = 1, so that transmission t and airlight A
    are one map K. Section 3.3: five convolutions of 1, 3, 5, 7 and 3 pixels give three channels each and see
    concatenations of earlier ones; ReLU follows each of them, and the formula.
    """

    def __init__(self) -> None:
        super().__init__()
        self.contract = Contract()
        self.settings = {}
        self.convolutions = nn.ModuleList(
            nn.Conv2d(3 * len(inputs), 3, side, padding=side // 2) for inputs, side in LAYERS
        )

    @classmethod
    def tiny(cls) -> "AODNet":
        """The only instance there is."""
        return cls()

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns J = K I - K + 1, where it is positive."""
        maps = [tile]
        with without_autocast(tile):
            for (inputs, _), convolution in zip(LAYERS, self.convolutions, strict=True):
                maps.append(convolution(torch.cat([maps[index] for index in inputs], 1)).relu_())
        k = maps[-1]
        return (k * tile - k + 1).relu_()


PUBLISHED = Published(
    task="dehazing",
    marks=("e_conv1.weight", "e_conv5.weight"),
    settings=lambda weights: {},
    names=((r"^e_conv(\d)", numbered("convolutions.{}", 1)),),
)
