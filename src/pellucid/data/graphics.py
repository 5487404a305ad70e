"""Pictures that nobody photographed: pages, screens and drawings; to learn that a dark screen is no dark photograph."""

import string

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pellucid.data.sources import Sample, random_below
from pellucid.degradations import Clean, Degradation, parse_drawn

__all__ = ["drawn_page", "graphic_sample"]

HEIGHT, WIDTH = 256, 320
LEAST_CONTRAST = 0.3
NOISE, JPEG = (parse_drawn(text) for text in ("noise sigma=5..50 bits=8", "jpeg quality=15..70"))
LETTERS = string.ascii_letters + string.digits + "    .,:;()"


def graphic_sample(generator: torch.Generator) -> Sample:
    """Text, panels or lines on a ground of one shade, dark or bright, seen whole; half of them noisy or from JPEG."""
    clean = drawn_page(generator)
    drawn = _uniform(0, 1, generator)
    degradation: Degradation = Clean()
    if drawn > 0.5:
        degradation = (NOISE if drawn > 0.75 else JPEG).draw(generator)
    seen = degradation(clean, generator)
    return Sample(seen, clean, torch.tensor([0.0, 0.0, 1.0, 1.0]), seen, degradation)


def drawn_page(generator: torch.Generator) -> Tensor:
    """Text, panels or lines on a ground of one shade, (3, HEIGHT, WIDTH) in [0, 1]."""
    ground = _colour(generator)
    page = Image.new("RGB", (WIDTH, HEIGHT), ground)
    draw = ImageDraw.Draw(page)
    for _ in range(random_below(4, generator)):
        left, top = random_below(WIDTH, generator), random_below(HEIGHT, generator)
        box = (
            left,
            top,
            left + 20 + random_below(WIDTH // 2, generator),
            top + 10 + random_below(HEIGHT // 2, generator),
        )
        draw.rectangle(box, fill=_colour(generator))
    ink = _beside(ground, generator)
    if random_below(4, generator):
        _write(draw, ink, generator)
    else:
        _sketch(draw, ink, generator)
    return torch.from_numpy(np.array(page)).permute(2, 0, 1).float() / 255


def _write(draw: ImageDraw.ImageDraw, ink: tuple[int, ...], generator: torch.Generator) -> None:
    """Lines of letters, of one size, from somewhere near the top."""
    size = 8 + random_below(20, generator)
    font = ImageFont.load_default(size)
    for top in range(random_below(60, generator), HEIGHT, size + 2 + random_below(size, generator)):
        if _uniform(0, 1, generator) < 0.8:
            letters = "".join(
                LETTERS[random_below(len(LETTERS), generator)] for _ in range(5 + random_below(50, generator))
            )
            draw.text((random_below(40, generator), top), letters, fill=ink, font=font)


def _sketch(draw: ImageDraw.ImageDraw, ink: tuple[int, ...], generator: torch.Generator) -> None:
    """Straight and round lines."""
    for _ in range(3 + random_below(20, generator)):
        ends = [(random_below(WIDTH, generator), random_below(HEIGHT, generator)) for _ in range(2)]
        thick = 1 + random_below(4, generator)
        if random_below(2, generator):
            draw.line(ends, fill=ink, width=thick)
        else:
            (left, right), (top, bottom) = (sorted(side) for side in zip(*ends, strict=True))
            draw.ellipse((left, top, right, bottom), outline=ink, width=thick)


def _colour(generator: torch.Generator) -> tuple[int, ...]:
    """Levels of red, green and blue: mostly greys, of these mostly the darkest and brightest, as on screens."""
    shade = _uniform(0, 1, generator)
    end = _uniform(0, 0.2, generator)
    value = (end if shade < 0.4 else 1 - end) if shade < 0.8 else _uniform(0, 1, generator)
    tint = 0.0 if random_below(2, generator) else 0.15
    return tuple(round(255 * min(max(value + _uniform(-tint, tint, generator), 0), 1)) for _ in range(3))


def _beside(ground: tuple[int, ...], generator: torch.Generator) -> tuple[int, ...]:
    """A colour that can be told from the ground."""
    grey = sum(ground) / 3 / 255
    move = _uniform(LEAST_CONTRAST, 1, generator)
    value = grey + move * (1 - grey) if grey < 0.5 else grey * (1 - move)
    return (round(255 * min(max(value, 0), 1)),) * 3


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
