"""What is wrong with a photograph and can be measured, without a network that was taught it."""

from collections.abc import Collection, Iterator

from torch import Tensor

from pellucid.diagnosis.aberration import find_fringes
from pellucid.diagnosis.banding import find_bands
from pellucid.diagnosis.colour_cast import find_colour_cast
from pellucid.diagnosis.findings import Measured
from pellucid.diagnosis.impulses import Impulses, find_impulses
from pellucid.diagnosis.tonal_range import clipped_part, find_fading

__all__ = ["measure", "measure_with"]

CLIPPED = 0.02
"""Part of a photograph that may be clipped before anybody minds."""


def measure(image: Tensor, *, asked: Collection[str] = ()) -> tuple[Measured, ...]:
    """What is found in an image (1, 3, H, W) or (3, H, W) in [0, 1], any size; nothing where nothing is.

    Args:
        image: the image.
        asked: kinds that somebody asks for, of which traces count that are not worth telling anybody else: a cast or
            faded tones may be what was photographed.
    """
    return measure_with(find_impulses(image), image, asked=asked)


def measure_with(impulses: Impulses | None, image: Tensor, *, asked: Collection[str] = ()) -> tuple[Measured, ...]:
    """`measure` of an image whose lost values have been looked for already."""
    return tuple(_measured(impulses, image, asked))


def _measured(impulses: Impulses | None, image: Tensor, asked: Collection[str]) -> Iterator[Measured]:
    if impulses is not None:
        form = impulses.form.replace("-", " ")
        yield Measured("impulses", impulses.severity, f"{100 * impulses.part:.2g} % of the pixels, {form}")
    cast = find_colour_cast(image)
    if cast is not None and (cast.sure or "colour-cast" in asked):
        yield Measured("colour-cast", cast.severity, f"{cast.hue}, {cast.severity / 5:.0f} degrees")
    faded = find_fading(image)
    if faded is not None and (faded.sure or "fading" in asked):
        yield Measured("fading", faded.severity, f"black at {255 * faded.black:.0f}, white at {255 * faded.white:.0f}")
    part = clipped_part(image, CLIPPED)
    if part > CLIPPED:
        yield Measured("clipping", min(100.0, 400 * part), f"{part:.0%} of the picture was too bright")
    fringes = find_fringes(image)
    if fringes is not None:
        yield Measured("aberration", fringes.severity, f"up to {fringes.pixels:.1f} pixels")
    bands = find_bands(image)
    if bands is not None:
        yield Measured("banding", bands.severity, f"{bands.levels} levels")
