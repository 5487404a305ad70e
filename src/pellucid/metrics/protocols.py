"""How a number is made: a frozen record for each kind of table; numbers are compared only if made alike.

A record says in full what is done to the restored and the clean picture before they are compared, with which SSIM,
and how the degraded picture was made: its noise drawn (`noise.NoiseStream` draws it), or any degradation applied
(`pellucid.degradations`, each picture by `seeding.drawn_for`). The sources are the papers and,
where these are silent, the scripts that made their tables. Pictures are never resized, unless the name says so.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from pellucid.errors import SettingsError, unknown_name
from pellucid.metrics.colour import luma
from pellucid.metrics.fidelity import psnr, ssim, ssim_pooled, ssim_uniform, ssim_volume

__all__ = ["PROTOCOLS", "Protocol", "Scores", "find_protocol", "require_same"]

Colour = Literal["rgb", "y", "y-rounded", "grey"]
Quantisation = Literal["none", "8-bit", "8-bit-truncated"]
Similarity = Literal["gaussian", "uniform", "volume", "pooled"]
Noise = Literal["none", "float", "8-bit"]

SIMILARITIES: Mapping[Similarity, Callable[[Tensor, Tensor], Tensor]] = {
    "gaussian": ssim,
    "uniform": ssim_uniform,
    "volume": ssim_volume,
    "pooled": ssim_pooled,
}

# What each word of a record means, as `describe` prints it.
_COLOURS: Mapping[Colour, str] = {
    "rgb": "compared in RGB",
    "y": "compared on Y of BT.601 in [16, 235], unrounded",
    "y-rounded": "compared on Y of BT.601 in [16, 235], rounded to 8 bits",
    "grey": "compared in grey",
}
_QUANTISATIONS: Mapping[Quantisation, str] = {
    "none": "pictures as floats clipped to [0, 1], not rounded",
    "8-bit": "pictures rounded to 8 bits",
    "8-bit-truncated": "pictures truncated to 8 bits",
}
_SIMILARITIES: Mapping[Similarity, str] = {
    "gaussian": "SSIM Gaussian 11 x 11",
    "uniform": "SSIM uniform 7 x 7",
    "volume": "SSIM Gaussian 11 x 11 x 11 of the RGB volume",
    "pooled": "SSIM Gaussian 11 x 11 after averaging down to a side of about 256",
}
_NOISES: Mapping[Noise, str] = {
    "none": "degraded pictures given",
    "float": "noise float, unclipped, seeded anew for each picture",
    "8-bit": "noise on 8 bits, clipped and truncated, seeded once for all levels of a set in turn",
}

_SYNTHETIC = (
    "degraded as the column says, by pellucid itself, then clipped and rounded to 8 bits; "
    "all draws of a picture from the seed and its name"
)


@dataclass(frozen=True)
class Scores:
    """One number per picture, float64 (B,) each."""

    psnr: Tensor
    """In dB; infinite where nothing differs."""
    ssim: Tensor


@dataclass(frozen=True)
class Protocol:
    """How a number is made."""

    name: str
    colour: Colour
    """The planes compared: all three, one luma, or the one plane of a grey picture."""
    quantisation: Quantisation
    """What is done to both pictures' values, after clipping them to [0, 1]."""
    similarity: Similarity
    """Which SSIM, a name of `SIMILARITIES`."""
    source: str
    """The tables and scripts that make their numbers so."""
    noise: Noise = "none"
    """How noise is drawn, if any is: see `noise.NoiseStream`."""
    synthetic: bool = False
    """Whether clean pictures are degraded by `pellucid.degradations`, and stored on 8 bits."""
    crop_border: int = 0
    """Pixels left out along each border."""
    crop_multiple: int = 1
    """Pictures are cut at the centre to sides that divide by this, before they are degraded."""
    aligned: bool = False
    """Whether a restored picture is first scaled to the clean one's mean grey: how bright it should have been no longer
    counts."""

    @property
    def resizing(self) -> str:
        """Whether anything is resized."""
        return "for SSIM only" if self.similarity == "pooled" else "never"

    def describe(self, *, drawn: bool = True) -> str:
        """The record in one line; without `drawn`, of pictures that are degraded already."""
        crop = [f"cut at the centre to multiples of {self.crop_multiple}"] if self.crop_multiple > 1 else []
        crop += [f"border of {self.crop_border} pixels left out"] if self.crop_border else []
        parts = [
            _QUANTISATIONS[self.quantisation],
            *(crop or ["whole"]),
            *(["scaled to the clean picture's mean grey and clipped again before"] if self.aligned else []),
            _COLOURS[self.colour],
            _SIMILARITIES[self.similarity],
            _SYNTHETIC if self.synthetic and drawn else _NOISES[self.noise if drawn else "none"],
            "resized for SSIM only" if self.similarity == "pooled" else "never resized",
        ]
        return f"{self.name}: {', '.join(parts)} ({self.source})"

    def crop(self, image: Tensor) -> Tensor:
        """Cut (B, C, H, W) at the centre to sides that divide by `crop_multiple`; what is cut already stays as it is.

        Done to the clean picture before noise is drawn, since the draws follow the picture's size. Raises ValueError
        for a picture smaller than that.
        """
        height, width = image.shape[-2:]
        if min(height, width) < self.crop_multiple:
            raise ValueError(
                f"a picture of {width} x {height} pixels is too small for the protocol {self.name}, "
                f"which cuts sides to multiples of {self.crop_multiple}"
            )
        top, left = height % self.crop_multiple // 2, width % self.crop_multiple // 2
        rows, columns = (side - side % self.crop_multiple for side in (height, width))
        return image[..., top : top + rows, left : left + columns]

    def score(self, restored: Tensor, clean: Tensor) -> Scores:
        """Compare (B, C, H, W) pictures in [0, 1] by this protocol; restored values outside [0, 1] are clipped.

        C is 3; for the colour "grey" it may be 1, and three channels of the clean picture must then be equal (those
        of the restored one are averaged). Raises ValueError where shapes differ or do not suit, or a side is shorter
        than the window of SSIM.
        """
        if restored.shape != clean.shape:
            raise ValueError(f"restored {tuple(restored.shape)} and clean {tuple(clean.shape)} must have one shape")
        first, second = self._prepare(_aligned(restored, clean) if self.aligned else restored), self._prepare(clean)
        if self.colour == "grey" and clean.shape[1] == 3 and (clean != clean[:, :1]).any():
            raise ValueError(f"the protocol {self.name} takes grey pictures, but the clean picture has colours")
        return Scores(psnr=psnr(first, second), ssim=SIMILARITIES[self.similarity](first, second))

    def _prepare(self, image: Tensor) -> Tensor:
        if image.ndim != 4 or image.shape[1] not in ((1, 3) if self.colour == "grey" else (3,)):
            raise ValueError(
                f"the protocol {self.name} expects pictures of shape (B, 3, H, W), got {tuple(image.shape)}"
            )
        if min(image.shape[-2:]) <= 2 * self.crop_border:
            raise ValueError(f"nothing is left of {tuple(image.shape)} without a border of {self.crop_border} pixels")
        image, border = self.crop(image), self.crop_border
        image = image[..., border : image.shape[-2] - border, border : image.shape[-1] - border]
        if self.colour == "grey":
            image = image.mean(1, keepdim=True)
        image = _quantised(image, self.quantisation)
        if self.colour in ("y", "y-rounded"):
            image = luma(image)
        return _quantised(image, "8-bit") if self.colour == "y-rounded" else image


def _aligned(restored: Tensor, clean: Tensor) -> Tensor:
    """Pictures (B, 3, H, W), clipped to [0, 1] and then scaled to the mean grey (BT.601) of the clean ones."""
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=restored.dtype, device=restored.device)[:, None, None]
    restored = restored.clamp(0, 1)
    wanted, found = ((image * weights).sum(1).mean((1, 2)) for image in (clean.clamp(0, 1), restored))
    return restored * (wanted / found.clamp_min(1e-6))[:, None, None, None]


def _quantised(image: Tensor, how: Quantisation) -> Tensor:
    image = image.clamp(0, 1)
    if how == "none":
        return image
    # A level of 8 bits held as a float32 may lie a hair below it; a ten-thousandth of a level makes up for it.
    levels = (image * 255).round() if how == "8-bit" else torch.floor(image * 255 + 1e-4)
    return levels / 255


_GAUSSIAN_COLOUR = Protocol(
    name="gaussian-colour",
    colour="rgb",
    quantisation="none",
    similarity="gaussian",
    noise="float",
    source="Gaussian denoising in colour, PTG-RM table 9, with the noise of DRUNet's and Restormer's test scripts",
)
_GAUSSIAN_GREY = replace(
    _GAUSSIAN_COLOUR,
    name="gaussian-grey",
    colour="grey",
    source="Gaussian denoising in grey, PTG-RM table 8, with the noise of DnCNN's and DRUNet's test scripts",
)
_DERAIN = Protocol(
    name="derain-y",
    colour="y",
    quantisation="8-bit",
    similarity="gaussian",
    source="deraining on Y as PReNet's script computes it: rgb2ycbcr of floating-point pictures",
)
_DEHAZE = Protocol(
    name="dehaze-rgb",
    colour="rgb",
    quantisation="none",
    similarity="gaussian",
    source="dehazing, the PSNR of SFNet and DehazeFormer; their SSIM is that of dehaze-rgb-pooled-ssim",
)
_PAIRS = Protocol(
    name="pairs-rgb",
    colour="rgb",
    quantisation="8-bit",
    similarity="gaussian",
    source="any pairs of degraded and clean photographs, compared as files of 8 bits",
)
_SYNTHETIC_RGB = replace(
    _PAIRS,
    name="synthetic-rgb",
    synthetic=True,
    source="any degradation of clean photographs, in colour; no paper's tables are made so",
)

_ALL = (
    _GAUSSIAN_COLOUR,
    replace(
        _GAUSSIAN_COLOUR,
        name="gaussian-colour-8bit",
        quantisation="8-bit",
        source="DRUNet's and Restormer's test scripts",
    ),
    _GAUSSIAN_GREY,
    replace(
        _GAUSSIAN_GREY, name="gaussian-grey-8bit", quantisation="8-bit", source="DnCNN's and DRUNet's test scripts"
    ),
    Protocol(
        name="all-in-one",
        colour="rgb",
        quantisation="none",
        similarity="uniform",
        noise="8-bit",
        crop_multiple=16,
        source="all-in-one denoising, deraining and dehazing: AirNet, PromptIR, TextualDegRemoval",
    ),
    _DERAIN,
    replace(
        _DERAIN,
        name="derain-y-rounded",
        colour="y-rounded",
        source="deraining, PTG-RM table 5, as Restormer's script computes it: rgb2ycbcr of 8-bit pictures",
    ),
    replace(_PAIRS, name="lowlight-rgb", source="low light, LOL and SID, PTG-RM tables 1 to 4, at the native size"),
    replace(
        _PAIRS,
        name="lowlight-rgb-aligned",
        aligned=True,
        source="low light with the brightness of the clean picture, as LLFlow and Retinexformer report it (GT mean)",
    ),
    _DEHAZE,
    replace(_DEHAZE, name="dehaze-rgb-pooled-ssim", similarity="pooled", source="dehazing, SFNet and DehazeFormer"),
    replace(
        _PAIRS,
        name="motion-deblur-rgb",
        similarity="volume",
        source="motion deblurring, GoPro, HIDE, RealBlur, PTG-RM table 6, as Restormer's script computes it",
    ),
    Protocol(
        name="defocus-rgb",
        colour="rgb",
        quantisation="none",
        similarity="uniform",
        source="defocus deblurring, DPDD, PTG-RM table 7, as Restormer's script computes it",
    ),
    Protocol(
        name="real-denoise-rgb",
        colour="rgb",
        quantisation="none",
        similarity="volume",
        source="real denoising, SIDD validation blocks, PTG-RM table 10, as MPRNet's script computes it",
    ),
    replace(
        _PAIRS,
        name="jpeg-grey",
        colour="grey",
        source="JPEG artefacts in grey, classic5, as DnCNN and DRUNet report it",
    ),
    replace(_PAIRS, name="jpeg-rgb", source="JPEG artefacts in colour, as SwinIR and FBCNN report it"),
    *(
        replace(
            _DERAIN,
            name=f"super-resolution-y-x{scale}",
            crop_border=scale,
            source="super-resolution, on Y of 8-bit pictures, as many pixels left out along the border as the scale",
        )
        for scale in (2, 3, 4)
    ),
    replace(
        _DERAIN,
        name="generative-y",
        source="generative restoration, PSNR and SSIM on Y of 8-bit pictures, no border left out",
    ),
    _PAIRS,
    _SYNTHETIC_RGB,
    replace(
        _SYNTHETIC_RGB,
        name="synthetic-grey",
        colour="grey",
        source="any degradation of clean photographs, in grey; its JPEG is libjpeg's, by Pillow, that of the tables of "
        "classic5 MATLAB's, which may differ slightly",
    ),
)

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({protocol.name: protocol for protocol in _ALL})
"""The protocols by name. The splits of a table (indoor, outdoor; one sigma each) share one."""


def find_protocol(name: str) -> Protocol:
    """The protocol of that name. Raises SettingsError, with the known names, for another."""
    try:
        return PROTOCOLS[name]
    except KeyError:
        raise SettingsError(unknown_name("protocol", name, PROTOCOLS)) from None


def require_same(protocols: Iterable[Protocol | str]) -> Protocol:
    """The one protocol that all of these are: to be asked before numbers share a column.

    Raises SettingsError where they are not the same or there is none, and for an unknown name.
    """
    given = [find_protocol(protocol) if isinstance(protocol, str) else protocol for protocol in protocols]
    if not given:
        raise SettingsError("no protocol was given, so no numbers can be compared")
    different = next((protocol for protocol in given if protocol != given[0]), None)
    if different:
        names = f"{given[0].name} and {different.name}"
        raise SettingsError(
            f"numbers of different protocols cannot share a column: {names}; evaluate both by one of them"
        )
    return given[0]
