"""The encoder section of a recipe."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from pellucid.training.encoder.heads import HeadsSettings
from pellucid.training.encoder.spectrum import SpectrumSettings
from pellucid.training.section import Section

__all__ = ["CalibrationSettings", "EncoderSettings"]


class CalibrationSettings(Section):
    """How the heads' probabilities and intervals are made to hold, on half of the photographs that are held out."""

    draws: Annotated[int, Field(ge=1)] = 40
    """Degradations that are drawn for each of these photographs."""


class EncoderSettings(Section):
    """The degradation encoder: what is trained then is no restorer, but what tells degradations apart."""

    tower: dict[str, Any] = Field(default_factory=dict)
    """Of the image tower, by transformers' names: image_size, patch_size, hidden_size, num_hidden_layers, ..."""
    text_width: Annotated[int, Field(ge=1)] = 64
    text_layers: Annotated[int, Field(ge=1)] = 2
    text_heads: Annotated[int, Field(ge=1)] = 4
    first: Annotated[int, Field(ge=1)] = 512
    """Degraded photographs that the first step draws from."""
    fresh: Annotated[int, Field(ge=1)] = 8
    """New ones with each step."""
    pool: Annotated[int, Field(ge=1)] = 4096
    """The oldest are given up beyond so many."""
    contrastive: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the contrastive loss between pictures and captions."""
    presence: Annotated[float, Field(ge=0)] = 5.0
    """Weight of the cross-entropy of which kinds are there."""
    severity: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the pinball loss of severities, in units of 100."""
    spectrum: SpectrumSettings = SpectrumSettings()
    heads: HeadsSettings = HeadsSettings()
    calibration: CalibrationSettings = CalibrationSettings()

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.text_width % self.text_heads:
            raise ValueError(
                f"text_width must be a multiple of text_heads, got {self.text_width} and {self.text_heads}"
            )
        if self.first > self.pool:
            raise ValueError(f"the pool must hold the first examples, got first {self.first} and pool {self.pool}")
        return self
