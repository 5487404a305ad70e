"""How much harm a model does to photographs with which nothing is wrong, and how often it says so.

    python benchmarks/harm.py wallpapers/ interiors/ --scikit-image --generated --model default > harm.json

Each photograph that is larger than `--side` is looked at twice: as a whole, averaged down, and the middle of it, as
soft as cameras and wallpapers are at full size. Nothing may be wrong with any of them, so whatever a model changes is
harm: a result counts as well if the picture is untouched or has 40 dB at least. With `--with TEXT`, once or more, the
photographs are degraded first, each by one of the texts in turn, and counted is who comes out worse than it went in.
"""

import argparse
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data as pictures
from torch import Tensor

import pellucid
from pellucid import images
from pellucid.data.folders import list_photographs
from pellucid.degradations import parse
from pellucid.errors import PellucidError
from pellucid.metrics import psnr
from pellucid.restoration.restorer import Restorer
from pellucid.restoration.tones import mean_luminance

WELL = 40.0
"""PSNR in dB from which on nobody sees what was changed."""
SHIFT = 2.0
"""Of 255: how far the mean luminance may move where no change of tones is said."""
WORSE = 0.1
"""dB by which a degraded photograph must lose to count as worse than it was."""
TONAL = ("low-light", "haze")
SMALLEST = 64

SCIKIT_IMAGE = (
    *("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "horse", "hubble_deep_field"),
    *("immunohistochemistry", "moon", "page", "retina", "rocket", "stereo_motorcycle", "text"),
)
"""Of its pictures those that are photographs, or printed, and lie in the package."""


def seen(path: Path, side: int) -> Iterator[tuple[str, Tensor]]:
    """A photograph as a whole, averaged down to `side` at most, and its middle; one of them where it is small."""
    yield from views(images.read(path).pixels, path.stem, side)


def views(pixels: Tensor, name: str, side: int) -> Iterator[tuple[str, Tensor]]:
    """The same of pixels (1, 3, H, W)."""
    factor = math.ceil(max(pixels.shape[2:]) / side)
    if factor == 1:
        yield name, pixels
        return
    small = torch.nn.functional.avg_pool2d(pixels, factor)
    if min(small.shape[2:]) >= SMALLEST:
        yield f"{name} (1/{factor})", (small * 255).round() / 255
    top, left = (max(0, length - side) // 2 for length in pixels.shape[2:])
    yield f"{name} (middle)", pixels[..., top : top + side, left : left + side]


def from_scikit_image(side: int) -> Iterator[tuple[str, Tensor]]:
    """The pictures that come with scikit-image."""
    for name in SCIKIT_IMAGE:
        picture = getattr(pictures, name)()
        array = np.asarray(picture[0] if isinstance(picture, tuple) else picture)
        scale = 1 if array.dtype == bool else 255
        yield from views(images.to_tensor(array.astype(np.float32) / scale), name, side)


def generated(count: int) -> Iterator[tuple[str, Tensor]]:
    """Pages, screens, skies, stars, nights, products and boards that nobody photographed, `count` of each."""
    makers = (_page, _screen, _sky, _stars, _night, _product, _board)
    for make in makers:
        for number in range(count):
            random = np.random.default_rng([zlib.crc32(make.__name__.encode()), number])
            picture = make(random)
            pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
            yield f"{make.__name__[1:]} {number}", pixels.float() / 255


SIZE = 480, 360
Picture = Image.Image


def _page(random: np.random.Generator) -> Picture:
    """Print on a page that is nearly white."""
    return _written(random, tuple(random.integers(235, 256, 3)), tuple(random.integers(0, 60, 3)))


def _screen(random: np.random.Generator) -> Picture:
    """Bright letters on dark panels."""
    picture = _written(random, tuple(random.integers(10, 45, 3)), tuple(random.integers(150, 256, 3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(4):
        left, top = int(random.integers(0, 400)), int(random.integers(0, 300))
        draw.rounded_rectangle((left, top, left + 90, top + 30), 6, fill=tuple(random.integers(20, 200, 3)))
    return picture


def _written(random: np.random.Generator, ground: tuple[int, ...], ink: tuple[int, ...]) -> Picture:
    picture = Image.new("RGB", SIZE, ground)
    draw = ImageDraw.Draw(picture)
    size = int(random.integers(10, 26))
    font = ImageFont.load_default(size)
    letters = list("etaoinshrdlu    cmfwypvbgk")
    for top in range(20, SIZE[1] - 30, int(size * 1.5)):
        line = "".join(random.choice(letters, int(430 / size * random.uniform(0.8, 1.8))))
        draw.text((24, top), line, fill=ink, font=font)
    return picture


def _sky(random: np.random.Generator) -> Picture:
    """A clear sky, brighter towards a horizon that may be seen."""
    down = np.linspace(0, 1, SIZE[1])[:, None, None]
    zenith, horizon = random.uniform(0.15, 0.5, 3) * (0.6, 0.9, 1.6), random.uniform(0.6, 0.95, 3)
    array = np.broadcast_to(zenith + (horizon - zenith) * down**1.5, (SIZE[1], SIZE[0], 3)).copy()
    if random.random() < 0.5:
        ridge = 300 + np.cumsum(random.normal(0, 1.5, SIZE[0])).clip(-40, 40)
        array[np.arange(SIZE[1])[:, None] > ridge] = random.uniform(0.05, 0.2, 3)
    return _stored(array)


def _stars(random: np.random.Generator) -> Picture:
    """Points of light on black."""
    array = np.zeros((SIZE[1], SIZE[0], 3)) + random.uniform(0.005, 0.04, 3)
    for _ in range(int(random.integers(80, 400))):
        row, column, bright = random.integers(2, SIZE[1] - 2), random.integers(2, SIZE[0] - 2), random.random() ** 3
        array[row - 1 : row + 2, column - 1 : column + 2] += bright * 0.3
        array[row, column] += bright
    return _stored(array)


def _night(random: np.random.Generator) -> Picture:
    """A dark street with lit windows and lamps."""
    array = np.zeros((SIZE[1], SIZE[0], 3)) + random.uniform(0.01, 0.06, 3)
    for _ in range(12):
        left, width, top = (int(random.integers(*ends)) for ends in ((0, 440), (30, 90), (40, 260)))
        array[top:, left : left + width] = random.uniform(0.02, 0.12, 3)
        for row in range(top + 8, 340, 18):
            for column in range(left + 6, min(left + width, 474) - 6, 14):
                if random.random() < 0.25:
                    array[row : row + 9, column : column + 6] = (0.95, 0.8, random.uniform(0.3, 0.6))
    rows, columns = np.indices(array.shape[:2])
    for _ in range(5):
        distance = np.hypot(rows - random.integers(200, 340), columns - random.integers(0, 480))
        array += (np.exp(-distance / 4) + 0.15 * np.exp(-distance / 40))[..., None] * (1, 0.85, 0.6)
    return _stored(array)


def _product(random: np.random.Generator) -> Picture:
    """A thing, evenly lit, on white."""
    rows, columns = np.indices((SIZE[1], SIZE[0]))
    distance = np.hypot((rows - 180) / random.uniform(70, 120), (columns - 240) / random.uniform(60, 140))
    array = np.ones((SIZE[1], SIZE[0], 3)) * random.uniform(0.94, 1)
    shade = (0.6 + 0.4 * np.cos(np.clip(distance - 0.3, 0, 1) * 1.5))[..., None] * random.uniform(0.2, 0.9, 3)
    inside = distance < 1
    array[inside] = (shade * (1 + 0.05 * np.sin(columns / random.uniform(2, 6))[..., None]))[inside]
    return _stored(array)


def _board(random: np.random.Generator) -> Picture:
    """Soft wood: grain along one direction, knots, little fine detail."""
    rows, columns = np.indices((SIZE[1], SIZE[0]))
    bend = 12 * np.sin(columns / random.uniform(60, 150) + random.uniform(0, 6))
    grain = np.zeros(rows.shape)
    for frequency in random.uniform(0.02, 0.35, 6):
        grain += np.sin((rows + bend) * frequency * 2 + random.uniform(0, 6)) / 6
    colour = random.uniform(0.35, 0.8, 3) * (1, 0.8, 0.6)
    return _stored(colour * (1 + 0.25 * grain[..., None]))


def _stored(array: np.ndarray[Any, Any]) -> Picture:
    return Image.fromarray((array.clip(0, 1) * 255).round().astype(np.uint8))


def judged(restorer: Restorer, clean: Tensor, text: str, seed: int) -> dict[str, Any]:
    """What becomes of one picture, as it is or under a degradation."""
    shown = clean
    if text:
        shown = (parse(text)(clean, torch.Generator().manual_seed(seed)) * 255).round() / 255
    restored, decision = restorer.restore_and_explain(shown)
    change = float(psnr((restored * 255).round() / 255, clean))
    row: dict[str, Any] = {
        "degraded": text,
        "found": {one.kind: round(one.severity) for one in decision.found},
        "done": [kind for action in decision.done for kinds in action.kinds for kind in kinds],
        "words": decision.words(),
        "untouched": decision.unchanged,
        "psnr": None if math.isinf(change) else round(change, 2),
        "shift": round(mean_luminance(restored) - mean_luminance(shown), 2),
    }
    if text:
        row["gain"] = round(change - float(psnr(shown, clean)), 2)
    return row


def is_well(row: dict[str, Any]) -> bool:
    """Whether a clean picture came back as it is, or so that nobody sees a change."""
    return row["untouched"] or row["psnr"] is None or row["psnr"] >= WELL


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of clean pictures, and of degraded ones."""
    clean = [row for row in rows if not row["degraded"]]
    degraded = [row for row in rows if row["degraded"]]
    found: dict[str, Any] = {}
    if clean:
        told = [row for row in clean if not is_well(row)]
        found["clean"] = {
            "pictures": len(clean),
            "untouched": sum(row["untouched"] for row in clean),
            "well": round(1 - len(told) / len(clean), 4),
            "tones_moved": sum(abs(row["shift"]) > SHIFT and not set(row["done"]) & set(TONAL) for row in clean),
            "found": dict(Counter(kind for row in clean for kind in row["found"])),
            "harmed": dict(Counter(row["done"][0] for row in told if row["done"])),
            "sources": {
                source: [sum(is_well(row) for row in clean if row["source"] == source), of]
                for source, of in Counter(row["source"] for row in clean).items()
            },
        }
    if degraded:
        found["degraded"] = {
            "pictures": len(degraded),
            "worse": sum(row["gain"] < -WORSE for row in degraded),
            "gain": round(fmean(row["gain"] for row in degraded), 3),
            "texts": {
                text: {
                    "gain": round(fmean(row["gain"] for row in degraded if row["degraded"] == text), 3),
                    "worse": sum(row["gain"] < -WORSE for row in degraded if row["degraded"] == text),
                    "pictures": of,
                }
                for text, of in Counter(row["degraded"] for row in degraded).items()
            },
        }
    return found


def main() -> None:
    """Reads the arguments; prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", type=Path, nargs="*", help="of clean photographs; each counts as a source")
    parser.add_argument("--scikit-image", action="store_true", help="its photographs, too")
    parser.add_argument("--generated", type=int, nargs="?", const=6, default=0, help="so many drawn ones of each kind")
    parser.add_argument("--model", default="default")
    parser.add_argument("--side", type=int, default=512, help="in pixels, of what is looked at")
    parser.add_argument("--with", dest="texts", action="append", default=[], help="degrade them first; in turn")
    options = parser.parse_args()
    try:
        restorer = pellucid.load(options.model)
        rows: list[dict[str, Any]] = []
        for source, name, clean in _pictures(options):
            number = len(rows)
            text = options.texts[number % len(options.texts)] if options.texts else ""
            rows.append({"source": source, "name": name} | judged(restorer, clean, text, number))
    except PellucidError as error:
        parser.exit(1, f"{error}\n")
    print(json.dumps({"model": options.model, **summary(rows), "rows": rows}, indent=1))


def _pictures(options: argparse.Namespace) -> Iterator[tuple[str, str, Tensor]]:
    for folder in options.folders:
        for path in list_photographs(folder):
            for name, pixels in seen(path, options.side):
                yield folder.name, name, pixels
    if options.scikit_image:
        for name, pixels in from_scikit_image(options.side):
            yield "scikit-image", name, pixels
    for name, pixels in generated(options.generated):
        yield "generated", name, pixels


if __name__ == "__main__":
    main()
