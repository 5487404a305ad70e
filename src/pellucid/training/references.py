"""What a guided network is shown beside each crop in training: pictures that were made before, or what shows what
guidance is worth.

    pairs       the picture that lies beside each pair (`data.pairs.guidance`), of which the window most like the crop
    clean       the clean crop itself, shifted and with other colours: more than any guidance will ever know
    degraded    the crop that is to be restored: nothing that the network would not know
    other       a clean crop of another photograph: detail of something else

The last three are controls: no model that was trained with them says anything of guidance made from words.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from pellucid.data.folders import Photographs
from pellucid.data.sources import Sample, random_below
from pellucid.diffusion.guidance_files import check_guidance, read_guidance
from pellucid.errors import DataError, ImageError
from pellucid.priors.windows import WindowPicker
from pellucid.training.section import Section

__all__ = ["GuidancePictures", "ReferenceSettings", "References"]


class GuidancePictures:
    """Guidance images beside degraded photographs, each of which must be made of that very one where its file says so:
    one made of a clean partner would tell what no guidance can know.

    Args:
        paths: of the guidance images.
        degraded: the photographs that they are of, in the same order.
    """

    def __init__(self, paths: Sequence[Path], degraded: Photographs) -> None:
        self.pictures, self.degraded = Photographs(paths), degraded
        self._checked: set[int] = set()

    def __getitem__(self, index: int) -> Tensor:
        """Guidance image `index`, float32 (3, h, w).

        Raises:
            DataError: it is that of another picture.
        """
        if index not in self._checked:
            path = self.pictures.paths[index]
            try:
                check_guidance(path, read_guidance(path)[1], self.degraded[index])
            except ImageError as error:
                raise DataError(f"data.pairs.guidance: {error}") from error
            self._checked.add(index)
        return self.pictures[index]


class ReferenceSettings(Section):
    """What a guided network is shown."""

    source: Literal["pairs", "clean", "degraded", "other"] = "pairs"
    shift: Annotated[int, Field(ge=0)] = 0
    """Of `clean`: pixels by which it is rolled at most, along both sides."""
    step: Annotated[int, Field(ge=1)] = 1
    """Of `clean`: it is rolled by multiples of so much. Features are brought by places of the deepest scale: what
    lies between two of them is not brought to the pixel."""
    colour: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of `clean`: by which part each channel is brighter or darker at most."""
    picker: str | None = None
    """Of `pairs`: the folder or name of a DINOv2, which picks the window that is most like the crop; without one the
    whole picture is shown, as when photographs are restored."""
    stride: Annotated[int, Field(ge=1)] = 96
    """Pixels between the windows that the picker compares."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.source != "clean" and (self.shift or self.colour):
            raise ValueError("shift and colour are for source: clean")
        if self.step > max(self.shift, 1):
            raise ValueError(f"step: must be at most shift, {self.shift}, got {self.step}")
        if self.source != "pairs" and self.picker is not None:
            raise ValueError("picker is for source: pairs; the others are as large as the crop")
        return self


class References:
    """References as the settings say.

    Args:
        settings: what they are.
    """

    def __init__(self, settings: ReferenceSettings) -> None:
        self.settings = settings

    def __call__(self, sample: Sample, other: Sample, generator: torch.Generator) -> Tensor:
        """What is shown beside a sample, (3, h, w), where another one is there, too.

        Raises:
            DataError: there is no such picture.
        """
        settings = self.settings
        if settings.source == "degraded":
            return sample.degraded
        if settings.source == "pairs":
            if sample.reference is None:
                raise DataError("data.pairs.guidance: there is no picture to show beside a photograph")
            if self._picker is None:
                return sample.reference
            return self._picker.window(sample.degraded[None], sample.reference[None])[0]
        shown = other.clean if settings.source == "other" else sample.clean
        if shown is None:
            raise DataError("a reference that is a clean photograph needs clean photographs")
        if settings.shift:
            most = settings.shift // settings.step
            down, right = (random_below(2 * most + 1, generator) - most for _ in range(2))
            shown = shown.roll((down * settings.step, right * settings.step), (1, 2))
        if settings.colour:
            gains = 1 + settings.colour * (2 * torch.rand(3, 1, 1, generator=generator) - 1)
            shown = (shown * gains).clamp(0, 1)
        return shown

    @cached_property
    def _picker(self) -> WindowPicker | None:
        return None if self.settings.picker is None else WindowPicker(self.settings.picker, self.settings.stride)
