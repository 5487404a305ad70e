"""The pictures of an explanation: photographs chosen by rule, and what R does to them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from pellucid.evaluation.candidates import DEGRADED
from pellucid.evaluation.cases import ahead
from pellucid.evaluation.reports.choice import ChosenPhotograph
from pellucid.evaluation.reports.figures import coloured, zoom
from pellucid.evaluation.reports.page import as_uri
from pellucid.images import Photograph
from pellucid.images.encode import encode
from pellucid.studies.explanation.feeding import BOOSTED, NETWORK, Subject
from pellucid.studies.explanation.internals import Inside, central_region, look_inside
from pellucid.studies.explanation.measurement import ExplainedPhotograph, Measurement

__all__ = ["Panel", "PhotographPanels", "chosen", "shown_photographs"]

LONGEST = 384
"""The longest side of a picture in the report, in pixels."""
FACTORS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)
"""By how much differences may be magnified: what is too small for the last stays grey, for it is less than a level."""
LEVELS = 255
"""In which differences of pictures are told."""
NEARLY_ALL = 0.995
"""The part of a difference's values that its magnification keeps within what a picture can show."""


@dataclass(frozen=True)
class Panel:
    """One picture of a photograph."""

    title: str
    note: str
    uri: str
    scale: tuple[str, str] | None = None
    """What stands at the ends of its scale, if it has one."""
    map: bool = False
    """Whether the scale is that of the coloured maps; else it goes from black to white."""


@dataclass(frozen=True)
class PhotographPanels:
    """One photograph of a column."""

    photograph: str
    reasons: tuple[str, ...]
    panels: tuple[Panel, ...]
    channel_weights: tuple[float, ...]
    notes: tuple[str, ...]


def chosen(results: Sequence[ExplainedPhotograph]) -> list[ChosenPhotograph]:
    """The photographs of one column on which R gains least, the median one, and most, over the network alone.

    Of equals the first is taken; of an even number the lower median. One that is chosen twice is shown once.
    """
    gains = {
        result.photograph: gain
        for result in results
        if math.isfinite(gain := result.psnr[BOOSTED] - result.psnr[NETWORK])
    }
    ordered = sorted(gains, key=gains.__getitem__)
    reasons: dict[str, list[str]] = {}
    for word, rank in {"least": 0, "median": (len(ordered) - 1) // 2, "most": -1}.items():
        if ordered:
            reasons.setdefault(ordered[rank], []).append(f"{word} gain, {gains[ordered[rank]]:+.3f} dB")
    return [ChosenPhotograph(photograph, tuple(why)) for photograph, why in reasons.items()]


def shown_photographs(
    measurement: Measurement,
    choices: Mapping[tuple[str, str], ChosenPhotograph],
    psnr: Mapping[tuple[str, str], Mapping[str, float]],
) -> Iterator[tuple[tuple[str, str], PhotographPanels]]:
    """The chosen photographs of a set, with their pictures, each under its condition and name.

    Args:
        measurement: of the set.
        choices: by condition and photograph.
        psnr: likewise, as in `ExplainedPhotograph`.
    """
    for case, loaded in ahead(measurement.cases()):
        key = (case.condition, case.photograph)
        if key in choices:
            yield key, _shown(measurement.subject, choices[key], psnr[key], *loaded.result())


def _shown(
    subject: Subject, choice: ChosenPhotograph, psnr: Mapping[str, float], degraded: Tensor, clean: Tensor
) -> PhotographPanels:
    region = central_region(*degraded.shape[2:])
    inside = look_inside(subject, degraded, subject.feature(degraded), region)
    factor = math.ceil(max(region.height, region.width) / LONGEST)
    photographs = {
        "degraded": zoom(degraded, region),
        "restored": inside.restored.clamp(0, 1),
        "refined": inside.refined.clamp(0, 1),
        "clean": zoom(clean, region),
    }
    notes = {
        "degraded": f"{psnr[DEGRADED]:.2f} dB",
        "restored": f"by the network alone, {psnr[NETWORK]:.2f} dB",
        "refined": f"by R, {psnr[BOOSTED]:.2f} dB",
    }
    panels = [Panel(name, notes.get(name, ""), _uri(_shrunk(image, factor))) for name, image in photographs.items()]
    panels += _maps(inside, factor)
    said = list(inside.missing)
    if (region.height, region.width) != degraded.shape[2:]:
        said.append(f"Shown are {region.width} x {region.height} pixels in the middle of a larger photograph.")
    if factor > 1:
        said.append(f"Pictures are shown at 1/{factor} of their size, averaged.")
    weights = [] if inside.channel_weights is None else inside.channel_weights.tolist()
    return PhotographPanels(choice.photograph, choice.reasons, tuple(panels), tuple(weights), tuple(said))


def _maps(inside: Inside, factor: int) -> Iterator[Panel]:
    yield _signed(
        "refined - restored", "what R changes", inside.refined.clamp(0, 1) - inside.restored.clamp(0, 1), factor, LEVELS
    )
    if inside.range_map is not None:
        yield _unit("range map M", f"light: {inside.weighted}", inside.range_map, factor)
    if inside.spatial_mask is not None:
        yield _unit("spatial mask M_s", "light: more attention", inside.spatial_mask, factor)
    if inside.image_mask is not None:
        about = "light: more of the network's change, dark: less"
        yield _signed("mask I_m - 1", about, inside.image_mask - 1, factor)
    if inside.residual is not None:
        yield _signed("residual I_r", "what R adds", inside.residual, factor, LEVELS)


def _signed(title: str, about: str, difference: Tensor, factor: int, levels: int | None = None) -> Panel:
    """A difference around grey, magnified as far as nearly all of it can be shown; told in so many levels, if any."""
    size = _shrunk(difference, factor)
    reach = float(torch.quantile(size.abs().flatten()[:: -(-size.numel() // 2**20)], NEARLY_ALL))
    fitting = [most for most in FACTORS if most * reach <= 0.5]
    times = max(fitting, default=FACTORS[0])
    unit, end = levels or 1, 0.5 / times * (levels or 1)
    spread = float(difference.square().mean().sqrt()) * unit
    of = f" levels of {levels}" if levels else ""
    note = f"{about}; grey: nothing; x {times:g}; root mean square {spread:.2g}{of}"
    return Panel(title, note, _uri(0.5 + times * size), (f"-{end:.3g}", f"+{end:.3g}"))


def _unit(title: str, about: str, values: Tensor, factor: int) -> Panel:
    """Values from 0 to 1 in colours."""
    low, mean, high = (float(value) for value in (values.min(), values.mean(), values.max()))
    note = f"{about}; from {low:.2f} to {high:.2f}, mean {mean:.2f}"
    return Panel(title, note, _uri(coloured(_shrunk(values, factor))), ("0", "1"), map=True)


def _shrunk(image: Tensor, factor: int) -> Tensor:
    return avg_pool2d(image, factor, ceil_mode=True) if factor > 1 else image


def _uri(pixels: Tensor) -> str:
    png, _ = encode(Photograph(pixels.float().clamp(0, 1)), "png", quality=None)
    assert isinstance(png, bytes)
    return as_uri(png)
