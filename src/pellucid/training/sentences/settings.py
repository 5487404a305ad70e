"""The section of a recipe that trains an encoder of sentences."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from pellucid.training.section import Section

__all__ = ["SentencesSettings"]


class SentencesSettings(Section):
    """First the tower of text learns what sentences state, then it is frozen, and the tower of pictures learns to see
    what is stated: locked-image tuning (Zhai et al., CVPR 2022, arXiv 2111.07991) with the towers exchanged."""

    tower: dict[str, Any] = Field(default_factory=dict)
    """Of the image tower, by transformers' names."""
    text_width: Annotated[int, Field(ge=1)] = 96
    text_layers: Annotated[int, Field(ge=1)] = 2
    text_heads: Annotated[int, Field(ge=1)] = 4
    width: Annotated[int, Field(ge=1)] = 64
    """Of the vectors that sentences and pictures become."""
    text_steps: Annotated[int, Field(ge=1)] = 1500
    """Steps that the tower of text learns, before the tower of pictures does."""
    texts: Annotated[int, Field(ge=2)] = 192
    """Sentences of a batch, while text is learnt."""
    most: Annotated[int, Field(ge=1)] = 4
    """Statements of a sentence."""
    recoloured: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Part of the photographs whose colours are changed first."""
    first: Annotated[int, Field(ge=1)] = 256
    """Photographs that the first step draws from; while pictures are learnt, `fresh` come with each step."""
    fresh: Annotated[int, Field(ge=1)] = 6
    pool: Annotated[int, Field(ge=1)] = 6144
    """The oldest are given up beyond so many."""
    scored: Annotated[int, Field(ge=64)] = 256
    """Pictures of held-out photographs that retrieval is scored on, in groups of 64."""
    begins_as: str | None = "degradations"
    """The image tower begins as that of the embedded encoder of degradations; or not, with null."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.text_width % self.text_heads:
            raise ValueError(
                f"text_width must be a multiple of text_heads, got {self.text_width} and {self.text_heads}"
            )
        if self.first > self.pool:
            raise ValueError(f"the pool must hold the first examples, got first {self.first} and pool {self.pool}")
        if self.begins_as not in (None, "degradations"):
            raise ValueError(f"begins_as: 'degradations' or null, got {self.begins_as!r}")
        return self
