"""FFDNet: a denoiser that is told how much noise there is."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.guidance import NOTHING, Guidance
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract, Network
from pellucid.networks.noise_level import sigma_of
from pellucid.networks.published import Published

__all__ = ["FFDNet"]


class FFDNet(Network):
    """Noisy image in, clean image out: (B, 3, H, W), any size.

    Source: Zhang et al., "FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image Denoising" (TIP 2018, arXiv
    1710.04026), section III: the image at half its sides, its 2 x 2 squares as channels, beside a map of the noise's
    standard deviation; then 3 x 3 convolutions and ReLUs alone; then back. Published: for grey images 15 convolutions
    of 64 channels, 485,316 parameters; for colour 12 of 96, 852,108. CBSD68 at sigma 15, 25, 50: 33.87, 31.21, 27.96
    dB.

    The noise's sigma is `told["sigma"]`, or that of the settings, or else estimated from the whole picture. A network
    for grey images restores each colour channel on its own.

    Args:
        depth: convolutions.
        width: channels between them.
        channels: colour channels that the network takes, 1 or 3.
        sigma: on the scale 0..255, of a network for one level of noise alone.
    """

    def __init__(self, depth: int = 12, width: int = 96, channels: int = 3, sigma: float | None = None) -> None:
        super().__init__()
        if depth < 2 or width < 1 or channels not in (1, 3) or (sigma is not None and sigma < 0):
            raise ValueError("depth must be 2 at least, width 1, channels 1 or 3, and sigma not negative")
        self.contract = Contract(channels=channels, looks=True, numbers=("sigma",))
        self.settings = {"depth": depth, "width": width, "channels": channels, "sigma": sigma}
        self.channels, self.sigma = channels, sigma
        layers: list[nn.Module] = [nn.Conv2d(4 * channels + 1, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 4 * channels, 3, padding=1))

    @classmethod
    def tiny(cls) -> "FFDNet":
        """The smallest useful instance, for tests."""
        return cls(depth=3, width=16)

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Adds `own["sigma"]`, (B, 1), on the scale 0..255."""
        return known.knowing(own={"sigma": sigma_of(image, known, self.sigma)})

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns the image that the network gives; it adds nothing to the degraded one."""
        sigma = guidance.own["sigma"] if "sigma" in guidance.own else sigma_of(tile, guidance, self.sigma)
        height, width = tile.shape[2:]
        planes = F.pad(tile, (0, width % 2, 0, height % 2), mode="replicate").reshape(
            -1, self.channels, height + height % 2, width + width % 2
        )
        squares = F.pixel_unshuffle(planes, 2)
        levels = sigma.expand(len(tile), 1).repeat_interleave(len(planes) // len(tile), 0)[:, :, None, None] / 255
        asked = torch.cat([squares, levels.to(squares.dtype).expand(-1, 1, *squares.shape[2:])], 1)
        with without_autocast(tile):  # at 8 bits of mantissa the first layer would see another image
            features = self.layers[0](asked)
        features = self.layers[1:-1](features)
        with without_autocast(tile):  # and the last is the image
            restored = F.pixel_shuffle(self.layers[-1](features.to(self.layers[-1].weight.dtype)), 2)
        return restored[:, :, :height, :width].reshape(tile.shape)


PUBLISHED = Published(
    task="denoising",
    marks=("0.weight", "2.weight"),  # `model.` before all of them is taken off like any wrapper's
    settings=lambda weights: {
        "depth": sum(value.ndim == 4 for value in weights.values()),
        "width": weights["0.weight"].shape[0],
        "channels": (weights["0.weight"].shape[1] - 1) // 4,
    },
    names=((r"^(?=\d)", "layers."),),
)
