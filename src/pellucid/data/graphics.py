"""Pictures that nobody photographed: pages, screens, drawings and backgrounds; to learn that a dark screen is no dark
photograph, and that smooth shades are not blurred."""

import math
import string

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pellucid.data.sources import Sample, random_below
from pellucid.degradations import Clean, Degradation, parse_drawn

__all__ = ["drawn_background", "drawn_page", "graphic_sample"]

HEIGHT, WIDTH = 256, 320
LEAST_CONTRAST = 0.3
NOISE, JPEG = (parse_drawn(text) for text in ("noise sigma=5..50 bits=8", "jpeg quality=15..70"))
LETTERS = string.ascii_letters + string.digits + "    .,:;()"


def graphic_sample(generator: torch.Generator) -> Sample:
    """A page or a background, dark or bright, seen whole; half of them noisy or from JPEG."""
    clean = (drawn_page if random_below(2, generator) else drawn_background)(generator)
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


def drawn_background(generator: torch.Generator) -> Tensor:
    """Facets, bands or soft lights over a gradual shade, of any brightness, without noise, (3, HEIGHT, WIDTH) in
    [0, 1]."""
    level = 0.02 ** max(0.0, _uniform(-1, 1, generator))
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, HEIGHT), torch.linspace(-1, 1, WIDTH), indexing="ij")
    turn = _uniform(0, 2 * math.pi, generator)
    along = (rows * math.sin(turn) + columns * math.cos(turn)) / 2 + 0.5
    first, last = _shade(generator), _shade(generator)
    scene = first + (last - first) * along
    form = random_below(3, generator)
    if form == 0:
        scene = _facets(scene, generator)
    elif form == 1:
        bands = torch.sin(along * _uniform(4, 200, generator))
        scene = scene * (1 + _uniform(0.05, 0.5, generator) * (bands if random_below(2, generator) else bands.sign()))
    for _ in range(random_below(4, generator)):
        row, column, width = (_uniform(low, high, generator) for low, high in ((-1, 1), (-1, 1), (0.05, 0.8)))
        glow = torch.exp(-((rows - row).square() + (columns - column).square()) / width**2)
        scene = scene + _uniform(0.1, 0.8, generator) * _shade(generator) * glow
    drawn: Tensor = (255 * level * scene.clamp(0, 1)).round() / 255
    return drawn


def _facets(scene: Tensor, generator: torch.Generator) -> Tensor:
    """Flat triangles of nearby shades with smooth edges, laid over a scene (3, HEIGHT, WIDTH)."""
    for _ in range(3 + random_below(30, generator)):
        page = Image.new("L", (2 * WIDTH, 2 * HEIGHT))
        corners = [(random_below(2 * WIDTH, generator), random_below(2 * HEIGHT, generator)) for _ in range(3)]
        ImageDraw.Draw(page).polygon(corners, fill=255)
        cover = torch.from_numpy(np.array(page.reduce(2))).float() / 255
        scene = torch.lerp(scene, 0.6 * scene + 0.4 * _shade(generator), cover)
    return scene


def _shade(generator: torch.Generator) -> Tensor:
    """A colour, (3, 1, 1) in [0, 1]."""
    return torch.rand(3, 1, 1, generator=generator)


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
