"""Blind deconvolution, and a network that cleans up after it.

A small network sees too little of a photograph to tell how the camera moved; the whole photograph shows it. So the
kernel is estimated from all of it (`blur_kernels`), the photograph is deconvolved with it by Wiener's filter,
cautiously and boldly, and a U-Net, which sees the photograph and these, learns what to believe: that such a network
removes what deconvolution leaves is the observation of Schuler et al., "A machine learning approach for non-blind image
deconvolution" (CVPR 2013).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.devices import one_thread
from pellucid.guidance import NOTHING, Guidance
from pellucid.images.luma import LUMA
from pellucid.networks.blur_kernels import (
    agreement,
    blur_kernels,
    busiest_part,
    gradient_spectra,
    padded_spectrum,
    transfer_functions,
)
from pellucid.networks.contract import Contract, Network
from pellucid.networks.unet import UNet

__all__ = ["Deconvolution"]

NOISE_LEVELS = (1e-3, 1e-2, 1e-1)
"""Of the Wiener filters: power of the noise over that of the photograph's gradients, from bold to cautious."""

DC_WEIGHT = 1e-2
"""What counts as a gradient's power where there is none, at frequency 0."""

LARGEST = 512
"""Pixels of the side of that part of a photograph from which its kernel is estimated."""


class Deconvolution(Network):
    """Blurred image in, restored image out: (B, 3, H, W), sides divisible by `multiple`.

    One kernel is estimated for each image: `look` finds it in the whole picture, never in a padded one, since mirrored
    pixels are no photograph.

    Args:
        widths: of the U-Net, as `UNet` takes them.
        blocks: of the U-Net.
        size: side of the kernel, odd: wider blur is not found, and left to the U-Net.
    """

    def __init__(
        self, widths: Sequence[int] = (24, 48, 80, 112), blocks: Sequence[int] = (1, 1, 1, 1), size: int = 25
    ) -> None:
        super().__init__()
        if not isinstance(size, int) or size < 5 or size % 2 == 0:
            raise ValueError(f"size must be odd, and 5 at least; got {size!r}")
        self.unet = UNet(widths, blocks, bias=True, beside=3 * len(NOISE_LEVELS))
        self.settings = {"widths": list(widths), "blocks": list(blocks), "size": size}
        self.contract = Contract(multiple=self.unet.contract.multiple, looks=True)
        self.size = size

    @classmethod
    def tiny(cls) -> "Deconvolution":
        """The smallest useful instance, for tests."""
        return cls((8, 16), (1, 1), size=9)

    def look(self, image: Tensor, known: Guidance = NOTHING, *, cut: bool = True) -> Guidance:
        """Adds `own["kernels"]`; see `kernels`."""
        return known.knowing(own={"kernels": self.kernels(image)})

    def kernels(self, image: Tensor) -> Tensor:
        """The kernels (B, size, size) of whole photographs (B, 3, H, W), each from its busiest part.

        Which kernel is found can hang on the last bit of a pixel, where a photograph hardly shows one. So each is found
        alone: in a batch it is the same as by itself.
        """
        weights = torch.tensor(LUMA, device=image.device)[:, None, None]
        # Thousands of steps of a millisecond: on a busy machine threads would spend most of their time awaiting each
        # other.
        with torch.autocast(image.device.type, enabled=False), one_thread():
            parts = [busiest_part(one[None], LARGEST).float() for one in image.detach()]
            return torch.cat([blur_kernels((part * weights).sum(1), self.size) for part in parts])

    def certainty(self, image: Tensor) -> float:
        """How sure it is, 0 to 1, that a whole photograph (1, 3, H, W) is blurred: how well its halves agree on how."""
        weights = torch.tensor(LUMA, device=image.device)[:, None, None]
        with torch.autocast(image.device.type, enabled=False), one_thread():
            return agreement((busiest_part(image.detach(), LARGEST).float() * weights)[0].sum(0), self.size)

    def restore(self, tile: Tensor, guidance: Guidance) -> Tensor:
        """Returns the tile + a correction, by the kernels of the whole pictures."""
        kernels = guidance.own["kernels"] if guidance.own else self.kernels(tile)
        restored: Tensor = self.unet(torch.cat([tile, deconvolved(tile, kernels).to(tile.dtype)], 1))
        return restored


@torch.no_grad()
def deconvolved(blurred: Tensor, kernels: Tensor) -> Tensor:
    """Images (B, 3, H, W) deconvolved at each of NOISE_LEVELS, (B, 3 * levels, H, W), float32, the boldest first.

    Wiener's filter conj(K) / (|K|² + ε |∇|²), for photographs whose gradients have a flat spectrum. The kernel's centre
    of mass becomes the origin, to parts of a pixel, so that nothing moves.

    Args:
        blurred: (B, 3, H, W).
        kernels: (B, K, K), or one (1, K, K) for all.
    """
    with torch.autocast(blurred.device.type, enabled=False):
        margin = 2 * kernels.shape[-1]
        height, width = blurred.shape[2:]
        spectrum, shape = padded_spectrum(blurred.float(), margin)
        transfer = transfer_functions(kernels.float(), shape, centred=True)[:, None]
        power = transfer.real.square() + transfer.imag.square()
        noise = gradient_spectra(shape, blurred.device) + DC_WEIGHT
        sharp = [
            torch.fft.irfft2(spectrum * transfer.conj() / (power + level * noise), s=shape) for level in NOISE_LEVELS
        ]
        inside = (..., slice(margin, margin + height), slice(margin, margin + width))
        return torch.cat([one[inside] for one in sharp], 1).clamp(-0.5, 1.5)
