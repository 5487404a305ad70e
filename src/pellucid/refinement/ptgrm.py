"""PTG-RM: a refinement of under a million parameters, guided by a frozen prior, for any restoration network.

Source: "Boosting Image Restoration via Priors from Pre-trained Models" (CVPR 2024, arXiv 2403.06793), equations (1) to
    (7).

    f = R_e(restored + degraded)               a latent at a quarter of the size        `LatentEncoder`
    f_bar = C(A(f, g), g)                      equations (2) to (7)                     `latent.LatentRefinement`
    [I_m, I_r] = R_d(f_bar)                                                             `ImageDecoder`
    refined = degraded + (restored - degraded) I_m + I_r                                (1)

where + between images inside R_e stands for concatenation. `ABLATIONS` names the variants of its table 3.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.refinement.guidance import SLOPE, coordinates
from pellucid.refinement.latent import LatentRefinement, LatentSettings
from pellucid.refinement.snr import snr_mask
from pellucid.refinement.windows import Windows

__all__ = ["PTGRM"]

# Bytes that the decoder, its most expensive part, holds for one pixel of the image and channel of the latent (measured
# at 27, rounded up).
BYTES_PER_CHANNEL = 40


class LatentEncoder(nn.Module):
    """R_e: the restored and the degraded image to a latent at a quarter of their size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(6, width, 3, padding=1, bias=False)
        self.first_norm = nn.InstanceNorm2d(width, affine=True)
        self.second = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
        self.second_norm = nn.InstanceNorm2d(width, affine=True)
        self.third = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)

    def forward(self, restored: Tensor, degraded: Tensor, windows: Windows) -> Tensor:
        """Two images (B, 3, H, W) to (B, width, H / 4, W / 4)."""
        if windows.whole:
            full = self.first_norm(self.first(torch.cat([restored, degraded], 1)))
            half = self.second_norm(self.second(F.leaky_relu(full, SLOPE)))
            latent: Tensor = self.third(half)
            return latent

        def full_size(restored: Tensor, degraded: Tensor) -> Tensor:
            features: Tensor = self.first(torch.cat([restored, degraded], 1))
            return features

        first = windows.moments(full_size, restored, degraded, halo=1)

        def half_size(restored: Tensor, degraded: Tensor) -> Tensor:
            full = _normalise(full_size(restored, degraded), first, self.first_norm)
            features: Tensor = self.second(F.leaky_relu(full, SLOPE))
            return features

        second = windows.moments(half_size, restored, degraded, halo=1)
        return windows.map(
            lambda *images: self.third(_normalise(half_size(*images), second, self.second_norm)),
            restored,
            degraded,
            halo=2,
        )


class ImageDecoder(nn.Module):
    """R_d: the latent to `out` maps of the image's size."""

    reach = 4
    """Rows of the latent, above and below, on which a row of the result depends."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.grow_first = nn.Conv2d(width, 4 * width, 3, padding=1, bias=False)
        self.grow_second = nn.Conv2d(width, 4 * width, 3, padding=1, bias=False)
        self.full = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, out, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        """(B, width, h, w) to (B, out, 4 h, 4 w)."""
        for grow in (self.grow_first, self.grow_second):
            latent = F.leaky_relu(F.pixel_shuffle(grow(latent), 2), SLOPE)
        maps: Tensor = self.out(F.leaky_relu(self.full(latent), SLOPE))
        return maps


class PTGRM(LatentRefinement):
    """R of PTG-RM. Images have sides divisible by 4.

    In the paper's form the decoder gives a mask I_m and a residual I_r. Its last layer starts at zero and the mask is
    counted
    from one, so that an untrained refinement returns the restored image: boosting starts from the network's own score.

    Args:
        prior_width: length of the prior's vector, or channels of its maps where those are concatenated.
        form: "paper" for equation (1) as printed; "reference" for the choices of the authors' code, which emits the
            residual alone, adds it to the restored image clamped to [0, 1], gives the learned M to the far branch, and
            starts at random weights.
        settings: of `LatentSettings`, such as `width`; `ABLATIONS` names those of the paper's table 3.
    """

    multiple = 4

    def __init__(
        self, prior_width: int = 512, *, form: Literal["paper", "reference"] = "paper", **settings: Any
    ) -> None:
        if form not in ("paper", "reference"):
            raise ValueError(f"form must be 'paper' or 'reference', got {form!r}")
        latent = LatentSettings.of(prior_width, settings)
        super().__init__(LatentEncoder(latent.width), latent)
        self.settings: dict[str, Any] = {**latent.as_dict(), "form": form}
        self.form = form
        self.far_weighted = form == "reference"
        self.decoder = ImageDecoder(latent.width, 3 if form == "reference" else 6)
        self._reach = self.reach + self.decoder.reach
        self._bytes_per_pixel = BYTES_PER_CHANNEL * latent.width
        if form == "paper":
            nn.init.zeros_(self.decoder.out.weight)
            assert self.decoder.out.bias is not None
            nn.init.zeros_(self.decoder.out.bias)

    @classmethod
    def reference(cls, prior_width: int = 512) -> "PTGRM":
        """The authors' code, choice by choice; 671,735 parameters for CLIP's 512 numbers."""
        return cls(prior_width, form="reference")

    def forward(
        self,
        restored: Tensor,
        degraded: Tensor,
        feature: Tensor,
        *,
        grid: Tensor | None = None,
        memory: int | None = None,
    ) -> Tensor:
        """Refines a restored image.

        Args:
            restored: (B, 3, H, W), sides divisible by 4.
            degraded: the same size.
            feature: the prior's vector of the whole degraded image, (B, prior_width); its maps (B, prior_width, h, w)
                where `takes_maps`.
            grid: where the images lie in the whole one, (B, 4): top, left, bottom, right as fractions; None: they are
                whole.
            memory: bytes that intermediate maps may take (beside latents of 4 bytes a pixel each); the result does not
                change.

        Returns:
            (B, 3, H, W), float32, not clamped.

        Raises:
            ValueError: sizes differ, or do not divide by 4, or the feature is of another kind or width.
        """
        height, width = restored.shape[2:]
        if restored.shape != degraded.shape or height % 4 or width % 4:
            raise ValueError(
                f"refinement needs two images of one size divisible by 4, got {tuple(restored.shape)} and "
                f"{tuple(degraded.shape)}"
            )
        weight = self.decoder.out.weight
        windows = Windows(height // 4, width // 4, None if memory is None else self._window(memory), weight.device)
        latent = self.encoder(restored, degraded, windows)
        place = coordinates(latent.shape, grid, latent.device).to(weight.dtype)
        latent = self._join(latent, feature, grid, windows)
        near_weight = snr_mask(degraded, windows) if self.range_kind == "snr" else None
        enhanced = self._enhance(latent, place, feature, windows, near_weight)
        attend = self._attention(enhanced, feature, windows)

        def refine(enhanced: Tensor, place: Tensor, restored: Tensor, degraded: Tensor) -> Tensor:
            maps = self.decoder(attend(enhanced, place)).float()
            if self.form == "reference":
                refined: Tensor = restored.float().clamp(0, 1) + maps
            else:
                mask, residual = maps.chunk(2, dim=1)
                refined = degraded + (restored.float() - degraded) * (1 + mask) + residual
            return refined

        return windows.map(refine, enhanced, place, restored, degraded, halo=self._reach)

    def _window(self, memory: int) -> int:
        """Side of the largest window, in places of the latent, whose maps take at most `memory` bytes, its halo
        included."""
        side = int((memory / (self._bytes_per_pixel * 16)) ** 0.5)
        return max(16, side - 2 * self._reach)


def _normalise(features: Tensor, moments: tuple[Tensor, Tensor], norm: nn.InstanceNorm2d) -> Tensor:
    """Instance normalisation with moments that were taken over the whole image."""
    mean, variance = moments
    assert norm.weight is not None
    scale = norm.weight[:, None, None] * torch.rsqrt(variance + norm.eps)
    return (features - mean) * scale + norm.bias[:, None, None]
