"""What is missing in photographs, filled: tile by tile, wide holes from coarse to fine."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid import images
from pellucid.editing.colour import Colouring, ColourOptions
from pellucid.errors import ModelError, SettingsError
from pellucid.images.lab import lab_of, paler_until_real, rgb_of
from pellucid.images.padding import pad_to_multiple
from pellucid.models.hub import find_model
from pellucid.models.load import load_model
from pellucid.networks import Inpainter
from pellucid.restoration.control import feathered
from pellucid.restoration.once import mask_of

__all__ = ["Filling", "filled", "missing_of"]

DEEP = 28
"""Pixels from the border of a hole that the network fills by itself: it has learnt holes not much wider than twice so
many. What is deeper is filled at half the size first."""
TILE, AROUND = 320, 64
"""Side of a tile, and how much of what is around a hole it shows at least, in pixels."""
SMALLEST = 32
"""A picture is not made smaller than so many pixels."""
FEATHER = 6


def missing_of(mask: object, image: Tensor) -> tuple[Tensor, list[str]]:
    """Where a mask says that a picture is to be filled, (1, 1, H, W) bool, and what must be said of it.

    Args:
        mask: a picture or its file, of the same size; white is filled, and greys from the middle on.
        image: the picture, (1, 3, H, W).

    Raises:
        ImageError: the mask cannot be read, or is of another size.
        SettingsError: it is empty, or leaves nothing to go by.
    """
    name = str(mask) if isinstance(mask, str | Path) else "the mask"
    weight = mask_of(mask, image)
    missing = weight >= 0.5
    share = float(missing.float().mean())
    if share == 0:
        why = "is empty" if weight.max() == 0 else f"is {100 * float(weight.max()):.3g}% white at most"
        raise SettingsError(f"{name}: {why}; what is at least half white is filled, and nothing is")
    if share > 0.95:
        raise SettingsError(f"{name}: covers {share:.0%} of the picture, and leaves nothing to go by")
    between = float(((weight > 0.1) & (weight < 0.9)).float().mean())
    notes = [f"{name}: {between:.0%} of it is grey; from half white on it is filled"] if between > 0.02 else []
    return missing, notes


@torch.no_grad()
def filled(network: Inpainter, image: Tensor, missing: Tensor) -> Tensor:
    """A picture with its missing places filled; the others stay, to the bit.

    Args:
        network: that fills.
        image: (1, 3, H, W) in [0, 1].
        missing: (1, 1, H, W) bool.
    """
    deep = _eroded(missing, DEEP)
    if bool(deep.any()) and min(image.shape[2:]) >= 2 * SMALLEST:
        small, gone = _halved(image, missing)
        coarse = filled(network, small, gone)
        large = F.interpolate(coarse, scale_factor=2, mode="bicubic").clamp(0, 1)
        image = torch.where(deep, large[:, :, : image.shape[2], : image.shape[3]], image)
        missing = missing & ~deep
    return _by_tiles(network, image, missing)


def _by_tiles(network: Inpainter, image: Tensor, missing: Tensor) -> Tensor:
    """Each tile fills what is missing in its middle, with what is known around it."""
    result = image.clone()
    height, width = image.shape[2:]
    step = TILE - 2 * AROUND
    holed = torch.where(missing, torch.nan, image)
    total, weights = torch.zeros_like(image), torch.zeros_like(image[:, :1])
    for top in range(0, max(height - 2 * AROUND, 1), step):
        for left in range(0, max(width - 2 * AROUND, 1), step):
            bottom, right = min(top + TILE, height), min(left + TILE, width)
            above, before = max(0, bottom - TILE), max(0, right - TILE)
            part = holed[:, :, above:bottom, before:right]
            if not bool(part.isnan().any()):
                continue
            found = network(pad_to_multiple(part, network.contract.multiple))[:, :, : part.shape[2], : part.shape[3]]
            rows = _ramp(part.shape[2], above > 0, bottom < height)
            columns = _ramp(part.shape[3], before > 0, right < width)
            weight = (rows[:, None] * columns)[None, None]
            total[:, :, above:bottom, before:right] += found.clamp(0, 1) * weight
            weights[:, :, above:bottom, before:right] += weight
    return torch.where(missing, total / weights.clamp_min(1e-6), result)


def _ramp(length: int, before: bool, after: bool) -> Tensor:
    """How much the pixels of a side count: less towards a neighbouring tile."""
    ramp = torch.ones(length)
    rise = torch.linspace(0, 1, min(AROUND, length // 2) + 1)[1:]
    if before:
        ramp[: len(rise)] *= rise
    if after:
        ramp[length - len(rise) :] *= rise.flip(0)
    return ramp.clamp_min(1e-3)


def _halved(image: Tensor, missing: Tensor) -> tuple[Tensor, Tensor]:
    """Picture and hole at half the size; of what is known in a square of four, the mean."""
    known = (~missing).float()
    padded = (0, image.shape[3] % 2, 0, image.shape[2] % 2)
    weight = F.avg_pool2d(F.pad(known, padded), 2)
    mean = F.avg_pool2d(F.pad(image * known, padded), 2) / weight.clamp_min(1e-6)
    return mean, weight == 0


def _eroded(mask: Tensor, pixels: int) -> Tensor:
    """What lies more than so many pixels inside a mask, by squares; the border of the picture is no border of it."""
    left = mask.float()
    for _ in range(pixels):
        left = -F.max_pool2d(-left, 3, 1, 1)
        if not bool(left.any()):
            break
    return left > 0


@dataclass
class Filling:
    """A model that fills, and what it is asked for.

    Args:
        mask: a picture or its file: white is filled.
        model: a name, or a model file with an inpainter.
        text: of the colours of what is filled; None leaves them as they come.
        saturation: of these colours.

    Attributes:
        understood: what was understood of the text.
        notes: what people should know.

    Raises:
        ModelError: the model fills nothing.
        SettingsError: see `Colouring`.
    """

    mask: object
    model: str | Path = "inpaint"
    text: str | None = None
    saturation: float = 1.0
    understood: str = ""
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        module = load_model(find_model(str(self.model))).module
        if not isinstance(module, Inpainter):
            raise ModelError(f"{self.model}: this model does not fill what is missing")
        self.network: Inpainter = module.eval()
        self.colouring: Colouring | None = None
        if self.text is not None:
            self.colouring = Colouring(options=ColourOptions(text=self.text, saturation=self.saturation))
            self.understood, self.notes = self.colouring.understood, list(self.colouring.notes)

    def fill(self, image: Tensor) -> Tensor:
        """A picture (1, 3, H, W) in [0, 1] with what the mask says filled; elsewhere it stays, to the bit.

        Raises what `missing_of` raises.
        """
        missing, notes = missing_of(self.mask, image)
        self.notes += [note for note in notes if note not in self.notes]
        image = image.float()
        result = filled(self.network, image, missing)
        if self.colouring is not None:
            # The words say colours: the lightness of the filling stays, and towards its edge its own colours return.
            light, wanted = lab_of(result), lab_of(self.colouring.colour(result))
            weight = feathered(missing.float(), FEATHER)
            chroma = torch.lerp(light[:, 1:], wanted[:, 1:], weight)
            painted = rgb_of(paler_until_real(torch.cat([light[:, :1], chroma], 1))).clamp(0, 1)
            result = torch.where(missing, painted, image)
        return result

    def change(self, photograph: images.Photograph) -> tuple[images.Photograph, None]:
        """The photograph, its first page filled.

        Raises:
            SettingsError: it is grey, and colours are asked for.
        """
        if photograph.grey and self.colouring is not None:
            raise SettingsError("text: says colours, and the photograph is grey; colorize it first")
        changed = photograph.with_pixels(self.fill(photograph.pixels))
        if photograph.grey:
            # One channel is written: the network's three may differ in the last bits.
            mean = changed.pixels.mean(1, keepdim=True).expand(-1, 3, -1, -1)
            missing, _ = missing_of(self.mask, photograph.pixels)
            changed = replace(changed, pixels=torch.where(missing, mean, photograph.pixels))
        return changed, None


def coded_anew(suffixes: Sequence[str]) -> list[str]:
    """What must be said of formats that code the whole picture anew."""
    lossy = sorted({suffix.lower() for suffix in suffixes} & {".jpg", ".jpeg", ".webp", ".avif"})
    return [
        f"{suffix}: codes the whole picture anew, so what is outside the mask changes in the last bits; "
        "PNG and TIFF keep it to the bit"
        for suffix in lossy
    ]
