"""Which degradation of a family a photograph gets, and from which random numbers: both from a seed and its name alone.

So a photograph is degraded alike whatever other photographs are given and in whatever order, by one process or by
several, and a run that was interrupted goes on to the same pixels.
"""

import hashlib
import unicodedata
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.degradations.chains import Degradation
from pellucid.degradations.texts import Family, as_text

__all__ = ["Drawn", "drawn_for"]


@dataclass(frozen=True)
class Drawn:
    """A definite degradation, and the seed of the random numbers that it takes.

    `parse(drawn.text)(clean, torch.Generator().manual_seed(drawn.seed))` does the same again; of a grey photograph, to
    one channel of it.
    """

    degradation: Degradation
    seed: int

    @property
    def text(self) -> str:
        """The degradation as `parse` reads it."""
        return as_text(self.degradation)

    def __call__(self, clean: Tensor, *, grey: bool = False) -> Tensor:
        """Clean (B, 3, H, W) in [0, 1] to degraded, same shape, not clipped; the same picture at every call.

        With `grey` the three channels are equal, and stay so: one of them is degraded, so that nothing comes into
        colours that the photograph does not have.
        """
        generator = torch.Generator().manual_seed(self.seed)
        if not grey:
            return self.degradation(clean, generator)
        return self.degradation(clean[:, :1], generator).expand_as(clean)


def drawn_for(family: Family, seed: int, name: str) -> Drawn:
    """What a family does to the photograph of that name.

    The parameters and the pixels have generators of their own: a text of definite values, such as `Drawn.text`, gives
    the photograph the same pixels as the text with ranges that these were drawn from.

    Args:
        family: as `parse_drawn` gives it.
        seed: of all photographs.
        name: of this one, with slashes and without a suffix: `night/IMG_1`.
    """
    parameters, pixels = (_seed(seed, name, purpose) for purpose in ("parameters", "pixels"))
    return Drawn(family.draw(torch.Generator().manual_seed(parameters)), pixels)


def _seed(seed: int, name: str, purpose: str) -> int:
    """32 bits, which is all that the generator takes in."""
    # macOS takes letters with accents apart where other systems do not.
    composed = unicodedata.normalize("NFC", name)
    digest = hashlib.sha256("\0".join([str(seed), purpose, composed]).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:4], "big")
