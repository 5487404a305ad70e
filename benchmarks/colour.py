"""Colouring measured: the error of a and b of CIELAB, with and without words, and whether hues go where they are asked.

    python benchmarks/colour.py --photographs data/eval/kodak24 --training data/train/clean --sheet sheet.png

Photographs are made grey (a and b are 0, L stays) and coloured anew. A true sentence is `words.sentences.described` of
the photograph's own colours; another picture's sentence is that of the next photograph.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid import images
from pellucid.editing.colour import Colouring
from pellucid.images.lab import lab_of, rgb_of
from pellucid.metrics.statistics import paired_difference
from pellucid.words.encoder import sentence_encoder
from pellucid.words.facts import measured
from pellucid.words.sentences import described

HUES = {"red": 35, "orange": 60, "yellow": 95, "green": 135, "turquoise": 190, "blue": 280, "purple": 320, "pink": 355}
"""Degrees of the colours that are asked for."""
ASKED = {
    "the sky is {}": (0.0, 0.35, 0.0, 1.0),
    "the grass is {}": (0.65, 1.0, 0.0, 1.0),
    "the thing in the middle is {}": (0.3, 0.7, 0.3, 0.7),
}
TRIALS = 50


def main() -> None:
    """Measures and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--last", type=int, default=0, help="Only so many, the last by name.")
    parser.add_argument(
        "--training", type=Path, required=True, help="Photographs whose mean a and b is the training's."
    )
    parser.add_argument("--held-out", type=int, default=40, help="Of these, so many at the end do not count.")
    parser.add_argument("--model", default="colorize")
    parser.add_argument("--hues", action="store_true", help="Also ask for colours of places, fifty times.")
    parser.add_argument("--sheet", type=Path, help="A picture of results.")
    options = parser.parse_args()
    files = sorted(path for path in options.photographs.rglob("*") if images.supported(path))[-options.last :]
    training = sorted(options.training.glob("*"))[: -options.held_out]
    mean = torch.stack([lab_of(images.read(path).pixels)[0, 1:].mean((1, 2)) for path in training[::4]]).mean(0)
    pictures = [images.read(path).pixels for path in files]
    coloured = Coloured(options.model)
    sentences = [described(measured(picture)) for picture in pictures]
    errors: dict[str, list[float]] = {name: [] for name in ("grey", "mean", "none", "true", "other")}
    shown = []
    for number, picture in enumerate(pictures):
        lab = lab_of(picture)
        grey = rgb_of(torch.cat([lab[:, :1], torch.zeros_like(lab[:, 1:])], 1)).clamp(0, 1)
        results = {
            "none": coloured(grey),
            "true": coloured(grey, sentences[number]),
            "other": coloured(grey, sentences[(number + 1) % len(pictures)]),
        }
        errors["grey"].append(rms(lab[:, 1:]))
        errors["mean"].append(rms(lab[:, 1:] - mean.view(1, 2, 1, 1)))
        for name, result in results.items():
            errors[name].append(rms(lab_of(result)[:, 1:] - lab[:, 1:]))
        shown.append(torch.cat([picture, grey, results["none"], results["true"]], 3))
    found: dict[str, object] = {
        "photographs": len(files),
        "rms_ab": {name: round(sum(values) / len(values), 3) for name, values in errors.items()},
        "true_less_none": str(paired_difference(errors["true"], errors["none"])),
        "true_less_other": str(paired_difference(errors["true"], errors["other"])),
        "none_less_grey": str(paired_difference(errors["none"], errors["grey"])),
        "none_less_mean": str(paired_difference(errors["none"], errors["mean"])),
    }
    if options.hues:
        found["hues"] = hues(coloured, pictures)
    print(json.dumps(found, indent=1))
    if options.sheet:
        rows = [F.interpolate(one, (240, 4 * 320), mode="bilinear", antialias=True) for one in shown[:12]]
        images.write(images.Photograph(torch.cat(rows, 2)), options.sheet)


class Coloured:
    """Pictures coloured by one model, loaded once.

    Args:
        model: its name or file.
    """

    def __init__(self, model: str) -> None:
        self.colouring, self.encoder = Colouring(model), sentence_encoder()

    def __call__(self, grey: Tensor, sentence: str | None = None) -> Tensor:
        """A grey picture by a sentence, or as the model chooses."""
        self.colouring.vector = None if sentence is None else self.encoder.texts([sentence])
        return self.colouring.colour(grey)


def rms(difference: Tensor) -> float:
    """The root of the mean of a squared and b squared."""
    return float(difference.square().sum(1).mean().sqrt())


def hues(coloured: Coloured, pictures: list[Tensor]) -> dict[str, float]:
    """Of trials with drawn places and colours: in how many the mean colour of the place turns towards what is asked,
    compared with no words, and moves that way by one unit of a and b at least."""
    generator = torch.Generator().manual_seed(50)
    right = dict.fromkeys(ASKED, 0)
    counts = dict.fromkeys(ASKED, 0)
    for trial in range(TRIALS):
        picture = pictures[trial % len(pictures)]
        text = list(ASKED)[trial % len(ASKED)]
        colour = list(HUES)[int(torch.randint(len(HUES), (), generator=generator))]
        angle = torch.tensor(HUES[colour] * torch.pi / 180)
        wanted = torch.stack([angle.cos(), angle.sin()])
        plain = mean_colour(coloured(picture), ASKED[text])
        asked = mean_colour(coloured(picture, text.format(colour)), ASKED[text])
        turned = asked @ wanted / asked.norm().clamp_min(1e-6) > plain @ wanted / plain.norm().clamp_min(1e-6)
        counts[text] += 1
        right[text] += bool(turned and (asked - plain) @ wanted > 1)
    return {
        "right": sum(right.values()),
        "trials": TRIALS,
        **{text: round(right[text] / counts[text], 3) for text in ASKED},
    }


def mean_colour(picture: Tensor, box: tuple[float, float, float, float]) -> Tensor:
    """Mean a and b, (2,), of a part."""
    height, width = picture.shape[2:]
    top, bottom, left, right = box
    part = picture[..., int(top * height) : int(bottom * height), int(left * width) : int(right * width)]
    return lab_of(part)[0, 1:].mean((1, 2))


if __name__ == "__main__":
    main()
