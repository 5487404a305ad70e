"""PTG-RM: a refinement of under a million parameters, guided by a frozen prior, for any restoration network.

Source: "Boosting Image Restoration via Priors from Pre-trained Models" (CVPR 2024, arXiv 2403.06793), equations (1) to
    (7).

    f = R_e(restored + degraded)               a latent at a quarter of the size        `LatentEncoder`
    f_bar = C(A(f, g), g)                      equations (2) to (7)                     `latent.LatentRefinement`
    [I_m, I_r] = R_d(f_bar)                                                             `ImageDecoder`
    refined = degraded + (restored - degraded) I_m + I_r                                (1)

where + between images inside R_e stands for concatenation. `ABLATIONS` names the variants of its table 3.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.refinement.guidance import SLOPE, coordinates
from pellucid.refinement.latent import LatentRefinement, LatentSettings
from pellucid.refinement.snr import snr_mask
from pellucid.refinement.windows import Windows

__all__ = ["FORMS", "PTGRM", "Form"]

Form = Literal["paper", "reference", "pellucid"]

PELLUCID: Mapping[str, Any] = {"bounded": True, "levels": True, "film": True, "added": True}
FORMS: Mapping[Form, Mapping[str, Any]] = {
    "paper": {},
    "reference": {"prior_norm": "length"},
    "pellucid": PELLUCID,
}
"""What each form settles where the caller does not say otherwise."""

# Bytes that the decoder, its most expensive part, holds for one pixel of the image and channel of the latent (measured
# at 27, rounded up).
BYTES_PER_CHANNEL = 40


class LatentEncoder(nn.Module):
    """R_e: the restored and the degraded image to a latent at a quarter of their size.

    The instance normalisations take away what is the same all over the image: its brightness, its colour, its contrast.
    With `levels`, what they take away, their means and deviations, comes back through a linear map.
    """

    def __init__(self, width: int, *, levels: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(6, width, 3, padding=1, bias=False)
        self.first_norm = nn.InstanceNorm2d(width, affine=True)
        self.second = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
        self.second_norm = nn.InstanceNorm2d(width, affine=True)
        self.third = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
        self.first_levels = nn.Linear(2 * width, width, bias=False) if levels else None
        self.second_levels = nn.Linear(2 * width, width, bias=False) if levels else None

    def forward(self, restored: Tensor, degraded: Tensor, windows: Windows) -> Tensor:
        """Two images (B, 3, H, W) to (B, width, H / 4, W / 4)."""
        if windows.whole and self.first_levels is None:
            full = self.first_norm(self.first(torch.cat([restored, degraded], 1)))
            half = self.second_norm(self.second(F.leaky_relu(full, SLOPE)))
            latent: Tensor = self.third(half)
            return latent

        def full_size(restored: Tensor, degraded: Tensor) -> Tensor:
            features: Tensor = self.first(torch.cat([restored, degraded], 1))
            return features

        first = windows.moments(full_size, restored, degraded, halo=1)

        def half_size(restored: Tensor, degraded: Tensor) -> Tensor:
            full = _normalise(full_size(restored, degraded), first, self.first_norm, self.first_levels)
            features: Tensor = self.second(F.leaky_relu(full, SLOPE))
            return features

        second = windows.moments(half_size, restored, degraded, halo=1)
        return windows.map(
            lambda *images: self.third(_normalise(half_size(*images), second, self.second_norm, self.second_levels)),
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
    counted from one, so that an untrained refinement returns the restored image: boosting starts from the network's own
    score.

    Args:
        prior_width: length of the prior's vector, or channels of its maps where those are concatenated.
        form: "paper" for equation (1) as printed; "reference" for the choices of the authors' code, which emits the
            residual alone, adds it to the restored image clamped to [0, 1], gives the learned M to the far branch,
            brings the prior's vector to unit length, and starts at random weights; "pellucid" for the paper's with
            what helped here (`PELLUCID`).
        levels: whether brightness, colour and contrast of the whole image, which R_e's normalisations take away, are
            told to the latent.
        film: whether T_c(g) also scales and shifts I_m and I_r, channel by channel (feature-wise linear modulation,
            arXiv 1709.07871): the shortest way from the prior to colour and exposure.
        settings: of `LatentSettings`, such as `width`; `ABLATIONS` names those of the paper's table 3.

    Raises:
        ValueError: an unknown form or setting, or settings that do not go together.
    """

    multiple = 4

    def __init__(
        self,
        prior_width: int = 512,
        *,
        form: Form = "paper",
        levels: bool | None = None,
        film: bool | None = None,
        **settings: Any,
    ) -> None:
        if form not in get_args(Form):
            raise ValueError(f"form must be 'paper', 'reference' or 'pellucid', got {form!r}")
        given = {name: value for name, value in (("levels", levels), ("film", film)) if value is not None}
        chosen = _suited(FORMS[form], settings) | settings | given
        own = {name: chosen.pop(name, False) for name in ("levels", "film")}
        for name, value in own.items():
            if not isinstance(value, bool):
                raise ValueError(f"{name} must be true or false, got {value!r}")
        latent = LatentSettings.of(prior_width, chosen)
        super().__init__(LatentEncoder(latent.width, levels=own["levels"]), latent)
        self.settings: dict[str, Any] = {**latent.as_dict(), **own, "form": form}
        self.form = form
        self.far_weighted = form == "reference"
        self.decoder = ImageDecoder(latent.width, 3 if form == "reference" else 6)
        self._reach = self.reach + self.decoder.reach
        self._bytes_per_pixel = BYTES_PER_CHANNEL * latent.width
        if own["film"] and (self.attention_prior is None or form == "reference"):
            raise ValueError("film: needs T_c(g), which is there with guidance 'attention', and a mask I_m")
        self.film = nn.Linear(4 * latent.width, 12) if own["film"] else None
        # Last, so that what is drawn before them does not depend on them.
        for last in (self.decoder.out, self.film) if form != "reference" else ():
            if last is not None:
                nn.init.zeros_(last.weight)
                assert last.bias is not None
                nn.init.zeros_(last.bias)

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
        modulation = self.modulation(feature)

        def refine(enhanced: Tensor, place: Tensor, restored: Tensor, degraded: Tensor) -> Tensor:
            mask, residual = self.masks(self.decoder(attend(enhanced, place)).float(), modulation)
            if mask is None:
                return restored.float().clamp(0, 1) + residual
            return degraded + (restored.float() - degraded) * mask + residual

        return windows.map(refine, enhanced, place, restored, degraded, halo=self._reach)

    def masks(self, maps: Tensor, modulation: tuple[Tensor, Tensor] | None) -> tuple[Tensor | None, Tensor]:
        """I_m, None in the reference form, and I_r, from what the decoder gives (B, out, H, W) and `modulation`."""
        if self.form == "reference":
            return None, maps
        mask, residual = maps.chunk(2, dim=1)
        mask = 1 + mask
        if modulation is None:
            return mask, residual
        scale, shift = modulation
        return mask * scale[0] + shift[0], residual * scale[1] + shift[1]

    def modulation(self, feature: Tensor) -> tuple[Tensor, Tensor] | None:
        """What the prior (B, prior_width) multiplies I_m and I_r by, and adds to them: two of (2, B, 3, 1, 1),
        float32; None without `film`."""
        if self.film is None:
            return None
        assert self.attention_prior is not None
        numbers: Tensor = self.film(self.attention_prior(feature)).float()
        # Scale and shift of I_m, scale and shift of I_r; each of three colours.
        factors = numbers.reshape(-1, 2, 2, 3, 1, 1).permute(2, 1, 0, 3, 4, 5)
        return 1 + factors[0], factors[1]

    def _window(self, memory: int) -> int:
        """Side of the largest window, in places of the latent, whose maps take at most `memory` bytes, its halo
        included."""
        side = int((memory / (self._bytes_per_pixel * 16)) ** 0.5)
        return max(16, side - 2 * self._reach)


def _suited(form: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a form settles, less what needs a part of R that these settings leave out."""
    guided = settings.get("guidance", "attention") == "attention"
    attended = settings.get("channel_attention", True) or settings.get("spatial_attention", True)
    learned = settings.get("range_map", "learned") == "learned"
    possible = {"film": guided and attended, "added": guided and learned}
    return {name: value for name, value in form.items() if possible.get(name, True)}


def _normalise(
    features: Tensor, moments: tuple[Tensor, Tensor], norm: nn.InstanceNorm2d, levels: nn.Linear | None
) -> Tensor:
    """Instance normalisation with moments that were taken over the whole image, which come back through `levels`."""
    mean, variance = moments
    assert norm.weight is not None
    deviation = (variance + norm.eps).sqrt()
    result = (features - mean) * (norm.weight[:, None, None] / deviation) + norm.bias[:, None, None]
    if levels is not None:
        taken = torch.cat([mean, deviation], 1).flatten(1)
        result = result + levels(taken.to(levels.weight.dtype))[:, :, None, None]
    return result.to(features.dtype)
