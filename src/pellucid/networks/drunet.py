"""DRUNet: one U-Net for every level of Gaussian noise, which it is told."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.guidance import NOTHING, Guidance
from pellucid.networks.autocast import without_autocast
from pellucid.networks.contract import Contract
from pellucid.networks.noise_level import sigma_of
from pellucid.networks.published import Published, Weights, count, numbered
from pellucid.networks.unet import UNet

__all__ = ["DRUNet"]


class DRUNet(UNet):
    """Noisy image in, clean image out: (B, 3, H, W); H and W divisible by `multiple`.

    Source: Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior" (TPAMI 2021, arXiv 2008.13751),
    section 3. The U-Net of residual blocks as published: a map of the noise's standard deviation beside the image, no
    biases, and the image itself as the result. Published: 32,640,960 parameters for colour, 32,638,656 for grey.

    The noise's sigma is `told["sigma"]`, or that of the settings, or else estimated from the whole picture. A network
    for grey images restores each colour channel on its own.

    Args:
        widths: channels at each scale, finest first.
        blocks: residual blocks at each scale, on the way down and again on the way up.
        channels: colour channels that the network takes, 1 or 3.
        sigma: on the scale 0..255, of a network for one level of noise alone.
    """

    def __init__(
        self,
        widths: Sequence[int] = (64, 128, 256, 512),
        blocks: Sequence[int] = (4, 4, 4, 4),
        channels: int = 3,
        sigma: float | None = None,
    ) -> None:
        super().__init__(widths, blocks, channels, beside=1)
        if channels not in (1, 3) or (sigma is not None and sigma < 0):
            raise ValueError(f"channels must be 1 or 3, and sigma not negative; got {channels} and {sigma}")
        self.sigma = sigma
        self.settings = {"widths": list(widths), "blocks": list(blocks), "channels": channels, "sigma": sigma}
        self.contract = Contract(multiple=2 ** (len(widths) - 1), channels=channels, looks=True, numbers=("sigma",))

    @classmethod
    def tiny(cls) -> "DRUNet":
        """The smallest useful instance, for tests."""
        return cls(widths=(8, 16), blocks=(1, 1))

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Adds `own["sigma"]`, (B, 1), on the scale 0..255."""
        return known.knowing(own={"sigma": sigma_of(image, known, self.sigma)})

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns the image that the network gives; it adds nothing to the degraded one."""
        sigma = guidance.own["sigma"] if "sigma" in guidance.own else sigma_of(tile, guidance, self.sigma)
        planes = tile.reshape(-1, self.channels, *tile.shape[2:])
        levels = sigma.expand(len(tile), 1).repeat_interleave(len(planes) // len(tile), 0)[:, :, None, None] / 255
        asked = torch.cat([planes, levels.to(planes.dtype).expand(-1, 1, *planes.shape[2:])], 1)
        with without_autocast(tile):  # all of the image passes through: 8 bits of mantissa would show
            restored: Tensor = self._predicted(asked).reshape(tile.shape)
        return restored


def _settings(weights: Weights) -> dict[str, object]:
    widths = [weights[f"m_down{scale}.0.res.0.weight"].shape[0] for scale in (1, 2, 3)]
    blocks = [count(weights, rf"m_down{scale}\.\d+\.res\.0\.weight") for scale in (1, 2, 3)]
    return {
        "widths": [*widths, weights["m_body.0.res.0.weight"].shape[0]],
        "blocks": [*blocks, count(weights, r"m_body\.\d+\.res\.0\.weight")],
        "channels": weights["m_tail.weight"].shape[0],
    }


PUBLISHED = Published(
    task="denoising",
    marks=("m_head.weight", "m_body.0.res.0.weight", "m_tail.weight"),
    settings=_settings,
    names=(
        (r"^m_head", "head"),
        (r"^m_tail", "tail"),
        (r"^m_body", "encoders.3"),
        (r"^m_down(\d)\.\d+\.weight", numbered("downsamples.{}.weight", 1)),
        (r"^m_down(\d)", numbered("encoders.{}", 1)),
        (r"^m_up(\d)\.0\.weight", numbered("upsamples.{}.weight", 1)),
        (r"^m_up(\d)\.(\d+)", lambda found: f"decoders.{int(found[1]) - 1}.{int(found[2]) - 1}"),
        (r"res\.0", "first"),
        (r"res\.2", "second"),
    ),
)
