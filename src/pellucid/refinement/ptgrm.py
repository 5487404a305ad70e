"""PTG-RM: a refinement of under a million parameters, guided by a frozen prior, for any restoration network.

Source: "Boosting Image Restoration via Priors from Pre-trained Models" (CVPR 2024, arXiv 2403.06793), equations (1) to (7).

    f = R_e(restored + degraded)               a latent at a quarter of the size        `LatentEncoder`
    f_hat = M R_s(f) + (1 - M) R_l(f)          near and far context (2, 3)              `RangeMap`, `ShortRange`, `LongRange`
    f_c = f_hat M_c;  f_p = f_hat M_s          channel and spatial attention (4, 5, 6)  `ChannelAttention`, `SpatialAttention`
    f_bar = R_f(f_c + f_p)                     fusion (7)                               `fusion`
    [I_m, I_r] = R_d(f_bar)                                                             `ImageDecoder`
    refined = degraded + (restored - degraded) I_m + I_r                                (1)

where + between maps inside R_e and R_f stands for concatenation.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.refinement.attention import ChannelAttention, SpatialAttention
from pellucid.refinement.guidance import SLOPE, PositionEmbedding, PriorMap, coordinates
from pellucid.refinement.spatial import LongRange, RangeMap, ShortRange
from pellucid.refinement.windows import Windows

__all__ = ["PTGRM"]

# Bytes that the decoder, its most expensive part, holds for one pixel of the image (measured at 430, rounded up).
BYTES_PER_PIXEL = 640


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


class PTGRM(nn.Module):
    """R of PTG-RM. Images have sides divisible by 4.

    In the paper's form the decoder gives a mask I_m and a residual I_r. Its last layer starts at zero and the mask is counted
    from one, so that an untrained refinement returns the restored image: boosting starts from the network's own score.

    Args:
        prior_width: length of the prior's vector.
        width: channels of the latent (c in the paper).
        prior_hidden: hidden width of T_m and T_c; None takes the paper's 256, halved until R has under a million parameters.
        kernel: side of the per-location kernels.
        blocks: transposed-attention blocks of the far branch.
        form: "paper" for equation (1) as printed; "reference" for the choices of the authors' code, which emits the residual
            alone, adds it to the restored image clamped to [0, 1], gives M to the far branch, and starts at random weights.
    """

    multiple = 4

    def __init__(
        self,
        prior_width: int = 512,
        *,
        width: int = 16,
        prior_hidden: int | None = None,
        kernel: int = 3,
        blocks: int = 4,
        form: Literal["paper", "reference"] = "paper",
    ) -> None:
        super().__init__()
        if form not in ("paper", "reference"):
            raise ValueError(f"form must be 'paper' or 'reference', got {form!r}")
        if kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {kernel}")
        if prior_hidden is None:
            prior_hidden = _affordable_hidden(prior_width, width)
        self.settings: dict[str, Any] = {
            "prior_width": prior_width,
            "width": width,
            "prior_hidden": prior_hidden,
            "kernel": kernel,
            "blocks": blocks,
            "form": form,
        }
        self.form = form
        self.encoder = LatentEncoder(width)
        self.range_prior, self.range_position = PriorMap(prior_width, prior_hidden, width), PositionEmbedding(width)
        self.range_map = RangeMap(width)
        self.short_range = ShortRange(width)
        self.long_range = LongRange(width, blocks)
        self.attention_prior = PriorMap(prior_width, prior_hidden, width)
        self.attention_position = PositionEmbedding(width)
        self.channel_attention = ChannelAttention(width)
        self.spatial_attention = SpatialAttention(width, kernel)
        self.fusion = nn.Conv2d(2 * width, width, 1, bias=False)
        self.decoder = ImageDecoder(width, 3 if form == "reference" else 6)
        self._reach = 1 + self.spatial_attention.reach + self.decoder.reach
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
            feature: the prior's vector of the whole degraded image, (B, prior_width).
            grid: where the images lie in the whole one, (B, 4): top, left, bottom, right as fractions; None: they are whole.
            memory: bytes that intermediate maps may take (beside latents of 4 bytes a pixel each); the result does not change.

        Returns:
            (B, 3, H, W), float32, not clamped.

        Raises:
            ValueError: sizes differ, or do not divide by 4.
        """
        height, width = restored.shape[2:]
        if restored.shape != degraded.shape or height % 4 or width % 4:
            raise ValueError(
                f"refinement needs two images of one size divisible by 4, got {tuple(restored.shape)} and "
                f"{tuple(degraded.shape)}"
            )
        windows = Windows(height // 4, width // 4, None if memory is None else self._window(memory))
        latent = self.encoder(restored, degraded, windows)
        place = coordinates(latent.shape, grid, latent.device)
        enhanced = self._enhance(latent, place, feature, windows)
        return self._attend_and_decode(enhanced, place, feature, restored, degraded, windows)

    def range_weights(self, latent: Tensor, place: Tensor, feature: Tensor) -> Tensor:
        """M of equation (2), (B, 1, h, w): the weight of near context at each place."""
        weights: Tensor = self.range_map(latent, self.range_prior(feature), self.range_position(place))
        return weights

    def _window(self, memory: int) -> int:
        """Side of the largest window, in places of the latent, whose maps take at most `memory` bytes, its halo included."""
        side = int((memory / (BYTES_PER_PIXEL * 16)) ** 0.5)
        return max(16, side - 2 * self._reach)

    def _enhance(self, latent: Tensor, place: Tensor, feature: Tensor, windows: Windows) -> Tensor:
        """PTG-SVE: f to f_hat, equations (2) and (3)."""

        def blend(latent: Tensor, far: Tensor, place: Tensor) -> Tensor:
            weight = self.range_weights(latent, place, feature)
            near = self.short_range(latent)
            if self.form == "reference":
                near, far = far, near
            blended: Tensor = weight * near + (1 - weight) * far
            return blended

        return windows.map(blend, latent, self.long_range(latent, windows), place, halo=3)

    def _attend_and_decode(
        self, enhanced: Tensor, place: Tensor, feature: Tensor, restored: Tensor, degraded: Tensor, windows: Windows
    ) -> Tensor:
        """PTG-CSA, the decoder and equation (1): f_hat to the refined image."""
        prior = self.attention_prior(feature)
        pixels = enhanced.shape[2] * enhanced.shape[3]
        pooled = windows.total(lambda part: part, lambda part: part.float().sum((2, 3)), enhanced, halo=0) / pixels
        channel_weights = self.channel_attention(pooled, prior)[:, :, None, None]

        def refine(enhanced: Tensor, place: Tensor, restored: Tensor, degraded: Tensor) -> Tensor:
            by_channel = enhanced * channel_weights
            by_place = enhanced * self.spatial_attention(enhanced, prior, self.attention_position(place))
            fused = self.fusion(torch.cat([by_channel, by_place], 1)) + enhanced
            maps = self.decoder(fused).float()
            if self.form == "reference":
                refined: Tensor = restored.float().clamp(0, 1) + maps
            else:
                mask, residual = maps.chunk(2, dim=1)
                refined = degraded + (restored.float() - degraded) * (1 + mask) + residual
            return refined

        return windows.map(refine, enhanced, place, restored, degraded, halo=self._reach)


def _normalise(features: Tensor, moments: tuple[Tensor, Tensor], norm: nn.InstanceNorm2d) -> Tensor:
    """Instance normalisation with moments that were taken over the whole image."""
    mean, variance = moments
    assert norm.weight is not None
    scale = norm.weight[:, None, None] * torch.rsqrt(variance + norm.eps)
    return (features - mean) * scale + norm.bias[:, None, None]


def _affordable_hidden(prior_width: int, width: int) -> int:
    """256, halved until T_m and T_c together stay under 600,000 parameters (the rest of R has about 377,000)."""
    hidden = 256
    while hidden > 16 and 2 * hidden * (prior_width + 4 * width) > 600_000:
        hidden //= 2
    return hidden
