"""The section of a recipe that trains TextIR; which task, the network's settings say."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pellucid.training.places import Place
from pellucid.training.section import Section, Weight

__all__ = ["TextIRSettings"]

Part = Annotated[float, Field(ge=0)]


class TextIRSettings(Section):
    """Equations (6) to (8) of the paper, with its weights."""

    encoder: Place | None = None
    """The folder of an encoder of sentences and pictures, such as CLIP ViT-B/32; None for the embedded one. In training
    the network is told the vector of the clean picture, in use that of a sentence."""
    fidelity: Part = 1.0
    """Weight of the absolute difference; of a and b for colours, there smooth near 0."""
    adversarial: Part = 0.01
    """Weight of what the discriminator says, for the generator."""
    perceptual: Part = 0.01
    """Weight of the perceptual difference, where `train.perceptual_weights` are given."""
    words: Part = 0.5
    """Weight of one less the cosine of what the encoder sees of the result and of the clean picture: in the paper 0.5
    for inpainting and 0.1 for super-resolution; the published run for colour has none."""
    penalty: Part = 10.0
    """Weight of the squared gradient of the discriminator at real pictures, R1 (Mescheder et al., ICML 2018)."""
    penalty_steps: Annotated[int, Field(ge=1)] = 16
    """Steps between two of these, each counted so many times."""
    narrow: Weight = 1.0
    """Channels of the discriminator over those of the paper."""
    squares: Annotated[float, Field(ge=0, le=1)] = 0.2
    """For inpainting: part of the holes that are squares of half the side; the others are strokes."""
    factors: dict[int, Weight] = Field(default_factory=lambda: {64: 0.4, 32: 0.2, 16: 0.2, 8: 0.1, 4: 0.1})
    """For super-resolution: by how much the pictures are made smaller, and how often."""

    @model_validator(mode="after")
    def _factors_are_factors(self) -> Self:
        if not self.factors or min(self.factors) < 2:
            raise ValueError(f"factors: whole numbers from 2 on, each with its weight; got {self.factors}")
        return self
