"""A prior that is told the answer: a few numbers of the clean picture, which no real prior could know.

It says how much R could gain from a vector if the vector knew: the ceiling beside the controls, never a model to use.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import ModelError, unknown_name
from pellucid.priors.contract import FrozenPrior, Prior, check_image

__all__ = ["TOLD", "Oracle", "shown"]

OCTAVES = 4


def _exposure(degraded: Tensor, clean: Tensor) -> Tensor:
    """The clean picture's mean red, green, blue and mean of all, each about -2 to 2."""
    means = clean.mean((2, 3))
    return (torch.cat([means, means.mean(1, keepdim=True)], 1) - 0.45) / 0.15


def _noise(degraded: Tensor, clean: Tensor) -> Tensor:
    """Deviation of what was added, by colour, in units of 25 of 255."""
    return (degraded - clean).std((2, 3), correction=0) * (255 / 25)


def _affine(degraded: Tensor, clean: Tensor) -> Tensor:
    """Slope and offset, by colour, of the straight line through (clean, degraded) by least squares: haze, darkness."""
    mean, means = clean.mean((2, 3), keepdim=True), degraded.mean((2, 3), keepdim=True)
    slope = ((clean - mean) * (degraded - means)).mean((2, 3)) / (clean - mean).square().mean((2, 3)).clamp_min(1e-6)
    offset = means[:, :, 0, 0] - slope * mean[:, :, 0, 0]
    return torch.cat([2 * slope - 1, 4 * offset], 1)


def _sharpness(degraded: Tensor, clean: Tensor) -> Tensor:
    """What is left of the detail, octave by octave from the finest: half the logarithm of its energy's ratio."""
    numbers = []
    for _ in range(OCTAVES):
        small = [F.avg_pool2d(image, 2, ceil_mode=True) for image in (degraded, clean)]
        energies = [
            (image - F.interpolate(half, image.shape[2:], mode="nearest")).square().mean((1, 2, 3))
            for image, half in zip((degraded, clean), small, strict=True)
        ]
        numbers.append(0.5 * torch.log((energies[0] + 1e-8) / (energies[1] + 1e-8)))
        degraded, clean = small
    return torch.stack(numbers, 1)


TOLD: Mapping[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
    "exposure": (_exposure, 4),
    "noise": (_noise, 3),
    "affine": (_affine, 6),
    "sharpness": (_sharpness, OCTAVES),
}
"""What an oracle may be told, and how many numbers that is: functions of (degraded, clean), (B, 3, H, W) each."""


class Oracle(FrozenPrior):
    """Numbers of the clean picture, perhaps spread over a vector as long as a real prior's.

    Its vectors are not brought to unit root-mean-square, for their size is what they tell; a constant 1 stands beside
    the numbers.

    Args:
        what: of `TOLD`.
        width: length of the vector; None for as many numbers as there are. Longer ones are the same numbers through a
            fixed random rotation, so that each component is about as large.

    Raises:
        ValueError: there is nothing such to be told, or the vector would be too short for it.
    """

    _spread: Tensor

    def __init__(self, what: str, width: int | None = None) -> None:
        if what not in TOLD:
            raise ValueError(unknown_name("oracle", what, TOLD))
        numbers = TOLD[what][1] + 1
        if width is not None and width < numbers:
            raise ValueError(f"an oracle of {what} needs a vector of {numbers} numbers at least, got {width}")
        super().__init__(f"oracle:{what}" if width is None else f"oracle:{what}:{width}", width or numbers, (1, 1))
        self.what, self.view_channels = what, numbers
        spread = torch.eye(numbers)
        if width is not None:
            drawn = torch.randn(width, numbers, generator=torch.Generator().manual_seed(0))
            spread = torch.linalg.qr(drawn)[0] * (width / numbers) ** 0.5
        self.register_buffer("_spread", spread, persistent=False)
        self.freeze()

    def prepare(self, image: Tensor) -> Tensor:
        """Raises ModelError: it would have to see the clean picture; `prepare_told` does."""
        raise ModelError(
            f"{self.name} is told of the clean picture, which nobody has who restores: it is for `pellucid ablate`"
        )

    @torch.no_grad()
    def prepare_told(self, degraded: Tensor, clean: Tensor) -> Tensor:
        """A view of whole pictures (B, 3, H, W) in [0, 1], each: the numbers themselves, (B, n, 1, 1).

        Raises ValueError for other shapes, or two sizes.
        """
        check_image(degraded)
        if degraded.shape != clean.shape:
            raise ValueError(f"an oracle compares pictures of one size, got {degraded.shape} and {clean.shape}")
        numbers = TOLD[self.what][0](degraded.float(), clean.float())
        return torch.cat([numbers, numbers.new_ones(len(numbers), 1)], 1)[:, :, None, None]

    @torch.no_grad()
    def encode(self, view: Tensor) -> Tensor:
        """Views (B, n, 1, 1) to vectors (B, width), float32."""
        return view.float().flatten(1) @ self._spread.T


def shown(prior: Prior, image: Tensor, clean: Tensor | None) -> Tensor:
    """The view that a prior is shown in training and in studies: of the image, and an oracle's of both.

    Args:
        prior: the prior.
        image: whole degraded pictures, (B, 3, H, W) in [0, 1].
        clean: their clean partners; None where there are none.

    Raises:
        ModelError: an oracle without clean partners.
    """
    if not isinstance(prior, Oracle):
        return prior.prepare(image)
    if clean is None:
        raise ModelError(f"{prior.name} is told of the clean picture, and these photographs have none")
    return prior.prepare_told(image, clean)
