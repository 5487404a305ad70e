"""What is known of a whole picture, handed to those who see parts of it.

    guidance = model.look(image)                     once, the whole picture
    restored = model.restore(tile, guidance)         often, any part of it

Everything that conditions a restoration travels in this one value: nobody who restores a tile asks anybody else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor

__all__ = ["NOTHING", "Guidance"]


@dataclass(frozen=True)
class Guidance:
    """What is known of B whole pictures; of one (B = 1) it serves every tile. What is None is not known.

    Attributes:
        vector: the prior's vector, (B, width), float32.
        maps: the prior's feature maps, (B, C, h, w), which span the whole pictures.
        view: what the prior was shown, as its `prepare` gives it, (B, C, h, w). Where pictures are known by crops
            alone, as in training, the prior looks at this instead.
        reference: another picture of what is restored, (B, 3, h, w) in [0, 1], any size, for networks that take from
            one (`networks.Guided`); of one (B = 1) all take.
        words: what is asked for in words, one text for each picture.
        grid: where the tiles lie in the whole pictures, (B, 4): top, left, bottom, right as fractions of the sides;
            None where they are whole.
        seed: of what is drawn at random; one number gives the same result again.
        restored: what the network makes of these very pictures or crops, where that is known already, (B, 3, h, w); a
            boosted network then asks it no more.
        told: numbers that the user says of all pictures, by the names that `Contract.numbers` has, such as `sigma`.
        scale: by how much the sides are to grow, of a network that has several scales; None leaves it to the network.
        own: what the network itself has found out, by names of its choosing: a kernel (B, k, k), an exponent (B, 1).
        parts: what networks within a network are told, by their names there.
        controls: how a network that samples does it, a `diffusion.controls.Controls`.
        regions: the places that words name, a `diffusion.regions.Regions`.
    """

    vector: Tensor | None = None
    maps: Tensor | None = None
    view: Tensor | None = None
    reference: Tensor | None = None
    words: tuple[str, ...] | None = None
    grid: Tensor | None = None
    seed: int | None = None
    restored: Tensor | None = None
    told: Mapping[str, float] = field(default_factory=dict)
    scale: int | None = None
    own: Mapping[str, Tensor] = field(default_factory=dict)
    parts: Mapping[str, "Guidance"] = field(default_factory=dict)
    controls: Any = None
    regions: Any = None

    def knowing(self, **known: Any) -> "Guidance":
        """The same with more known, or something else."""
        return replace(self, **known)

    def part(self, name: str, rows: Tensor) -> "Guidance":
        """What the network of that name within another is told of some of the pictures.

        Args:
            name: of the network within.
            rows: numbers of the pictures, int64 (n,). What is known of one picture holds for all.

        Returns:
            What was found out for that network, and what is asked of all: the words, the seed, the scale, the grid, the
            numbers.
        """
        told = self.parts.get(name, NOTHING)
        asked = {
            key: getattr(self, key)
            for key in ("words", "seed", "scale", "grid", "controls", "regions")
            if getattr(told, key) is None
        }
        asked |= {"told": {**self.told, **told.told}}
        return told.knowing(**asked).of(rows)

    def withheld(self, pictures: Tensor) -> "Guidance":
        """The same with zeros for what the prior says of some of the pictures, (B,) bool."""

        def zeroed(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.masked_fill(pictures.view(-1, *[1] * (value.ndim - 1)), 0)

        return replace(self, vector=zeroed(self.vector), maps=zeroed(self.maps))

    def to(self, device: torch.device) -> "Guidance":
        """The same, with all tensors on a device."""
        return self._mapped(lambda value: value.to(device))

    def of(self, rows: Tensor) -> Self:
        """What is known of some of the pictures, by their numbers, int64 (n,). What is known of one holds for all."""
        some = self._mapped(lambda value: value if len(value) == 1 else value[rows.to(value.device)])
        if self.words is None or len(self.words) == 1:
            return some
        return replace(some, words=tuple(self.words[row] for row in rows.tolist()))

    def _mapped(self, change: Any) -> Self:
        tensors = {name: getattr(self, name) for name in _TENSORS}
        changed: dict[str, Any] = {name: None if value is None else change(value) for name, value in tensors.items()}
        return replace(
            self,
            **changed,
            own={name: change(value) for name, value in self.own.items()},
            parts={name: told._mapped(change) for name, told in self.parts.items()},
        )


_TENSORS = ("vector", "maps", "view", "reference", "grid", "restored")

NOTHING = Guidance()
"""Nothing is known: whoever restores with it sees what it is given, and no more."""
