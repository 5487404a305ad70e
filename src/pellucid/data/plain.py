"""Pictures that show nothing: a blank page, a wall, a cloudless sky; to learn that nothing follows from them."""

import torch
from torch import Tensor

from pellucid.data.sources import Sample
from pellucid.degradations import Clean, Degradation, parse_drawn

__all__ = ["plain_sample"]

HEIGHT, WIDTH = 256, 320
DARKEST = 0.2
NOISE = parse_drawn("noise sigma=2..55 bits=8")


def plain_sample(generator: torch.Generator) -> Sample:
    """A picture of one colour, or of one that shades into another, seen whole; every second one is noisy.

    Half of the colours are greys, of which some are white. None is dark: a dark picture may well be a photograph of the
    night.
    """
    drawn = torch.rand(3, generator=generator).tolist()
    first, second = (_colour(generator) for _ in range(2))
    ramp = (
        torch.linspace(0, 1, HEIGHT)[:, None].expand(HEIGHT, WIDTH) if drawn[0] < 0.25 else torch.zeros(HEIGHT, WIDTH)
    )
    clean = torch.lerp(first, second, ramp if drawn[1] < 0.5 else 1 - ramp)
    degradation: Degradation = NOISE.draw(generator) if drawn[2] < 0.5 else Clean()
    seen = degradation(clean, generator)
    return Sample(seen, clean, torch.tensor([0.0, 0.0, 1.0, 1.0]), seen, degradation)


def _colour(generator: torch.Generator) -> Tensor:
    """(3, 1, 1) in [DARKEST, 1]."""
    part = torch.rand(3, 1, 1, generator=generator)
    if torch.rand((), generator=generator) < 0.5:
        part = (1.25 * part[:1]).clamp_max(1).expand(3, -1, -1)
    return DARKEST + (1 - DARKEST) * part
