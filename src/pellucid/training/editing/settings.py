"""The sections of recipes that train editing."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pellucid.data.holes import Holes
from pellucid.training.places import Place
from pellucid.training.section import Section

__all__ = ["ColouringSettings", "InpaintingSettings"]

Share = Annotated[float, Field(ge=0, le=1)]


class InpaintingSettings(Section):
    """What is cut out of the photographs, and what counts. The degradations of the data are not looked at."""

    holes: Holes = "mixed"
    share: tuple[Share, Share] = (0.01, 0.4)
    """The least and the largest part of a crop that is missing."""
    gradient: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the differences of neighbours, beside that of the values themselves."""
    resized: Share = 0.5
    """Part of the crops that are of the photograph made smaller, down to a half."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not 0 < self.share[0] <= self.share[1] < 1:
            raise ValueError(f"inpainting.share: from above 0 to below 1, the least first; got {list(self.share)}")
        return self


class ColouringSettings(Section):
    """What is said of the photographs that are to be coloured, and how. The degradations of the data are not looked
    at."""

    encoder: Place | None = None
    """The folder of the encoder of sentences whose vectors the network learns to read; None for the embedded one."""
    said: Share = 0.65
    """Part of the photographs in their own colours of which something is said; of the others the network must choose.
    """
    recoloured: Share = 0.45
    """Part of the photographs that are given other colours; of these something is said always."""
    most: Annotated[int, Field(ge=1)] = 5
    """Statements of a sentence."""
    old: Share = 0.4
    """Part of the photographs whose lightness is made that of an old print: paler, grainy, softer."""
    vivid: Annotated[float, Field(ge=0)] = 0.04
    """How much more a pixel counts for each unit of its chroma: most of a photograph is nearly grey."""
