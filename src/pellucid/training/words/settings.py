"""The words section of a recipe: which stage, on which pipeline and vision tower."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pellucid.diffusion.image_words import HIDDEN
from pellucid.training.places import Place
from pellucid.training.section import Section

__all__ = ["WordsSettings"]


class WordsSettings(Section):
    """A stage of training words."""

    stage: Literal["image-to-words", "clean"]
    """`image-to-words` says a picture, degraded or clean, so that the pipeline makes it again; `clean` says a degraded
    one so that the pipeline makes its clean partner."""
    pipeline: str
    """The folder or name of a Stable Diffusion that predicts the noise."""
    vision: str
    """The folder or name of a CLIP whose image tower sees the pictures."""
    count: Annotated[int, Field(ge=1)] = 20
    """Words of a picture."""
    hidden: Annotated[int, Field(ge=1)] = HIDDEN
    """Units of the networks between."""
    weights: Place | None = None
    """What stage 1 has learnt, for stage 2."""
    degraded: Annotated[float, Field(ge=0, le=1)] = 0.5
    """In stage 1, part of the pictures that are degraded ones; all are to be made again as they are."""
    keep: Annotated[float, Field(ge=0)] = 0.0
    """In stage 2, weight of how far words of clean pictures are moved, as a part of their variance. The U-Net does not
    hear all of a word; by the published loss alone (0) nothing ties the rest of a cleaned word to what stage 1 says."""
    still: Annotated[float, Field(ge=0)] = 0.0
    """In stage 2, weight of how far words of degraded pictures are moved, likewise: so a word is moved only as far as
    the U-Net hears, and stays where it hears nothing, instead of going too far."""
    same: bool = False
    """In stage 2, begin with networks that leave words as they are, degraded ones as well, so that the diffusion loss
    begins where nothing is cleaned yet. As published they begin at random, far from any word. Needs `hidden`
    of twice a word's numbers and two, more than the published 1280 for 1024."""

    pairs: Annotated[int, Field(ge=0)] = 0
    """In stage 2, of how many pairs of pictures words and states are computed before the first step; every batch is
    drawn of these, which costs a small part of drawing it anew (0)."""
    choose: bool = False
    """In stage 2, keep what brought most words of photographs that are held out nearer to those of their clean
    partners, every `train.validate_steps`, instead of what the last step left. Give enough of them, and not those by
    which the result is judged."""

    @model_validator(mode="after")
    def _follows(self) -> Self:
        if self.stage == "clean" and self.weights is None:
            raise ValueError("words.weights: stage clean goes on from what stage image-to-words has learnt")
        if self.stage == "image-to-words" and self.weights is not None:
            raise ValueError("words.weights: are for stage clean; image-to-words begins")
        if self.stage == "image-to-words" and (self.keep or self.still or self.same or self.pairs or self.choose):
            raise ValueError(
                "words.keep, still, same, pairs and choose: are for stage clean; image-to-words moves no words"
            )
        return self
