"""Measures how a generative model follows its words and its controls, on photographs that it has not learnt from.

    python tools/measure_generate.py MODEL FOLDER --last 50 --out measured.json

The photographs are the last of the folder by name, as `data.validation` holds them out; a square is cut from the
middle of each. Measured are, for each of four verbs: the rank correlation of the amount and what it is to change, over
six amounts, and how often a larger amount changes less than a smaller one; how often the amount that was truly there
gives the best PSNR to within one of six steps; how often the right verb beats each wrong one; and what prompts of other
photographs give. Then, for each control, PSNR and sharpness over its values.

    python tools/measure_generate.py MODEL FOLDER --part quality --other OTHER --regression REGRESSION --kodak KODAK \
        --pictures pictures/ --control noise_scale=1.05

Of noise, blur, JPEG and a chain: PSNR of the input, of the first step, of one sample, of the mean of eight, and of the
one step of a model that learnt regression; how sharp they are, and their gradient energy and fine power over those of
the clean photographs, both summed over all; of another model, too, with the paired difference of the means of eight.

    python tools/measure_generate.py MODEL FOLDER --part unseen

The same of words for strengths that no training draws, and for chains longer than any that it draws.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid import images
from pellucid.data.folders import list_photographs
from pellucid.degradations import parse
from pellucid.degradations.chains import Degradation
from pellucid.diffusion.controls import Controls
from pellucid.diffusion.network import Generative
from pellucid.diffusion.prompts import prompt_of
from pellucid.guidance import Guidance
from pellucid.images import quantise
from pellucid.metrics import paired_difference
from pellucid.models.hub import find_model
from pellucid.models.load import load_model
from pellucid.restoration.restorer import Restorer
from pellucid.restoration.tiles import Layout

VERBS = {
    "denoise": "noise sigma={}",
    "deblur": "blur sigma={}",
    "dejpeg": "jpeg quality={}",
    "sr": "resample factor={}",
}
SWEPT = {"denoise": 40, "deblur": 2.5, "dejpeg": 12, "sr": 3}
UNSEEN = {"denoise": 60, "deblur": 4.5, "dejpeg": 5, "sr": 6}
"""Beyond what the recipe draws."""
UNSEEN_CHAINS = (
    "jpeg quality=40, blur sigma=1, noise sigma=15, resample factor=2",
    "noise sigma=10, resample factor=2, jpeg quality=50, blur sigma=0.8",
)
"""Of four degradations; the recipe draws three at most."""
STRENGTHS = {
    "denoise": (10, 20, 30, 40, 50),
    "deblur": (1, 1.5, 2, 2.5, 3),
    "dejpeg": (80, 60, 40, 25, 10),
    "sr": (1.4, 1.8, 2.2, 3, 4),
}
AMOUNTS = 6
SAMPLES = 8
CHAIN = "resample factor=4 kernel=bicubic, noise sigma=5, jpeg quality=70"
CONDITIONS = ("noise sigma=25", "jpeg quality=20", "blur sigma=1.5", CHAIN)


def residual_noise(image: Tensor) -> Tensor:
    """The median of the finest diagonal Haar coefficients over 0.6745, in levels of 255, of images (B, 3, H, W)."""
    grey = image.mean(1)
    diagonal = (grey[:, ::2, ::2] - grey[:, 1::2, ::2] - grey[:, ::2, 1::2] + grey[:, 1::2, 1::2]) / 2
    return diagonal.abs().flatten(1).median(1).values / 0.6745 * 255


def sharpness(image: Tensor) -> Tensor:
    """Root-mean-square of what a Gaussian of 1 pixel takes away."""
    grey = image.mean(1, keepdim=True)
    place = torch.arange(-3, 4).float()
    kernel = torch.exp(-place.square() / 2)
    kernel = kernel / kernel.sum()
    soft = F.conv2d(F.pad(grey, [3] * 4, "replicate"), (kernel[:, None] * kernel)[None, None])
    return (grey - soft).square().flatten(1).mean(1).sqrt()


def blockiness(image: Tensor) -> Tensor:
    """Mean step across the borders of 8 x 8 blocks over that elsewhere."""
    grey = image.mean(1)
    steps = (grey[:, :, 1:] - grey[:, :, :-1]).abs().mean(1)
    border = torch.arange(steps.shape[1]) % 8 == 7
    return steps[:, border].mean(1) / steps[:, ~border].mean(1)


ATTRIBUTES = {
    "denoise": (residual_noise, -1),
    "deblur": (sharpness, 1),
    "dejpeg": (blockiness, -1),
    "sr": (sharpness, 1),
}


@torch.no_grad()
def restored(network: Generative, degraded: Tensor, words: Sequence[str], seed: int, controls: Controls) -> Tensor:
    """Samples of degraded images (B, 3, H, W), each asked its words."""
    results = []
    for number in range(controls.samples):
        told = Guidance(words=tuple(words), seed=seed + number, controls=controls)
        parts = []
        for first in range(0, len(degraded), 64):
            part = degraded[first : first + 64].contiguous(memory_format=torch.channels_last)
            one = told.knowing(words=tuple(words[first : first + 64]))
            with torch.autocast("cpu", torch.bfloat16):
                state = network.start(part, one)
                for time in network.times():
                    state = network.advance(state, network.predict(state, part, time, one), time)
                sampled = network.refine(network.decode(state, part, one), part, one)
            parts.append(sampled.float().clamp(0, 1))
        results.append(torch.cat(parts))
    return torch.stack(results).mean(0)


def psnr(image: Tensor, clean: Tensor) -> Tensor:
    """Of each image, over all channels, in dB."""
    return -10 * (image - clean).square().flatten(1).mean(1).clamp_min(1e-10).log10()


def degrade(clean: Tensor, degradation: Degradation, seed: int) -> Tensor:
    """Each image with draws of its own, stored to 8 bits."""
    made = [
        quantise(degradation(one, torch.Generator().manual_seed(seed + number)), 8) for number, one in enumerate(clean)
    ]
    return torch.stack(made)


def spearman(values: Tensor) -> Tensor:
    """Rank correlation of (B, n) with their order, for each row."""
    ranks = values.argsort(1).argsort(1).double()
    order = torch.arange(values.shape[1]).double()
    centred, line = ranks - ranks.mean(1, keepdim=True), order - order.mean()
    return (centred * line).sum(1) / (centred.square().sum(1).sqrt() * line.square().sum().sqrt())


def control_of(
    network: Generative, clean: Tensor, verb: str, controls: Controls, seeds: Sequence[int], strength: float
) -> dict[str, Any]:
    """How a verb's amount moves what it is to change, of photographs degraded with that strength."""
    degradation = parse(VERBS[verb].format(strength))
    amount = prompt_of(degradation).clauses[0].amount
    assert amount is not None
    attribute, sign = ATTRIBUTES[verb]
    correlations, violations, means = [], [], []
    for seed in seeds:
        degraded = degrade(clean, degradation, 1000 * seed)
        found = torch.stack(
            [
                sign
                * attribute(
                    restored(
                        network, degraded, [f"{verb} {amount * step / (AMOUNTS - 1):.2f}"] * len(clean), seed, controls
                    )
                )
                for step in range(AMOUNTS)
            ],
            1,
        )
        correlations.append(spearman(found))
        pairs = torch.triu_indices(AMOUNTS, AMOUNTS, 1)
        violations.append((found[:, pairs[0]] > found[:, pairs[1]]).float().mean())
        means.append(sign * found.mean(0))
    return {
        "spearman": round(float(torch.cat(correlations).mean()), 3),
        "violations": round(float(torch.stack(violations).mean()), 4),
        "attribute": [round(float(value), 4) for value in torch.stack(means).mean(0)],
    }


def diagonal_of(network: Generative, clean: Tensor, verb: str, controls: Controls) -> dict[str, Any]:
    """Whether the truth is the best prompt: among amounts, and among verbs."""
    within, right, gains, shuffled, blind, unsaid = [], [], [], [], [], []
    for number, strength in enumerate(STRENGTHS[verb]):
        degradation = parse(VERBS[verb].format(strength))
        part = clean[number :: len(STRENGTHS[verb])]
        degraded = degrade(part, degradation, 77 * number)
        truth = prompt_of(degradation).clauses[0].amount
        assert truth is not None
        bins = [100 * step / (AMOUNTS - 1) for step in range(AMOUNTS)]
        scores = torch.stack(
            [psnr(restored(network, degraded, [f"{verb} {one:g}"] * len(part), 5, controls), part) for one in bins], 1
        )
        nearest = min(range(AMOUNTS), key=lambda place, truth=truth: abs(bins[place] - truth))  # type: ignore[misc]
        within.append((scores.argmax(1) - nearest).abs() <= 1)
        true = psnr(restored(network, degraded, [f"{verb} {truth:g}"] * len(part), 5, controls), part)
        wrong = torch.stack(
            [
                psnr(restored(network, degraded, [f"{other} {truth:g}"] * len(part), 5, controls), part)
                for other in VERBS
                if other != verb
            ],
            1,
        )
        right.append(true[:, None] > wrong)
        input_ = psnr(degraded, part)
        gains.append(true - input_)
        others = list(VERBS)
        mixed = [f"{others[place % 4]} {bins[(3 * place + number) % AMOUNTS]:g}" for place in range(len(part))]
        shuffled.append(psnr(restored(network, degraded, mixed, 5, controls), part) - input_)
        blind.append(
            psnr(restored(network, degraded, ["remove all degradation"] * len(part), 5, controls), part) - input_
        )
        unsaid.append(psnr(restored(network, degraded, [""] * len(part), 5, controls), part) - input_)
    return {
        "within_one_step": round(float(torch.cat(within).float().mean()), 3),
        "right_beats_wrong": round(float(torch.cat(right).float().mean()), 3),
        **{
            name: round(float(torch.cat(found).mean()), 3)
            for name, found in (
                ("gain", gains),
                ("gain_shuffled", shuffled),
                ("gain_blind", blind),
                ("gain_unsaid", unsaid),
            )
        },
    }


SWEEPS: dict[str, Sequence[Any]] = {
    "steps": (1, 2, 4, 8, 16),
    "eta": (0.0, 0.5, 1.0),
    "start": (0.25, 0.5, 0.75, 1.0),
    "text_guidance": (0.0, 1.0, 2.0, 4.0),
    "image_guidance": (0.5, 1.0, 1.5, 2.0),
    "rescale": (0.0, 0.5, 1.0),
    "coarse_guidance": (0.5, 1.0, 2.0),
    "fine_guidance": (0.5, 1.0, 2.0),
    "restoration_guidance": (0.0, 0.3, 0.6, 1.0),
    "bound": (0.0, 4.0, 16.0, None),
    "samples": (1, 2, 4, 8),
    "colour": ("off", "adain", "wavelet"),
    "sampler": ("ddim", "ddpm", "dpm"),
}


def curves_of(network: Generative, clean: Tensor, base: dict[str, Any]) -> dict[str, Any]:
    """Of each control over its values: PSNR, gradient energy over that of the clean photographs, and what is fine."""
    degraded = torch.cat([degrade(clean[::2], parse("noise sigma=30"), 3), degrade(clean[1::2], parse(CHAIN), 4)])
    truth = torch.cat([clean[::2], clean[1::2]])
    words = [str(prompt_of(parse("noise sigma=30")))] * len(clean[::2]) + [str(prompt_of(parse(CHAIN)))] * len(
        clean[1::2]
    )
    found: dict[str, Any] = {}
    for control, values in SWEEPS.items():
        rows = []
        for value in values:
            more = {"text_guidance": 3.0} if control in ("rescale", "coarse_guidance", "fine_guidance") else {}
            image = restored(network, degraded, words, 5, Controls.of(base | more | {control: value}))
            rows.append(
                [
                    value,
                    round(float(psnr(image, truth).mean()), 3),
                    round(float((sharpness(image) / sharpness(truth)).mean()), 3),
                ]
            )
        found[control] = rows
        sys.stdout.write(f"{control} {rows}\n")
    return found


def fine_power(image: Tensor) -> Tensor:
    """Power above a quarter of the sampling frequency, of each image (B, 3, H, W)."""
    power = torch.fft.rfft2(image.mean(1)).abs().square()
    rows, columns = torch.fft.fftfreq(image.shape[2])[:, None], torch.fft.rfftfreq(image.shape[3])[None]
    fine: Tensor = (power * ((rows.square() + columns.square()).sqrt() > 0.25)).sum((1, 2))
    return fine


def unseen_of(network: Generative, clean: Tensor, controls: Controls, seeds: Sequence[int]) -> dict[str, Any]:
    """Amounts beyond those that were drawn in training, and chains longer than any: what all of their words gain, what
    is gained when each in turn is left out, and by `remove all degradation`."""
    found: dict[str, Any] = {
        verb: control_of(network, clean, verb, controls, seeds, strength) for verb, strength in UNSEEN.items()
    }
    for text in UNSEEN_CHAINS:
        degraded, whole = degrade(clean, parse(text), 500), prompt_of(parse(text))
        clauses = whole.clauses
        asked = {"all": str(whole), "blind": "remove all degradation"} | {
            f"without {one.verb}": str(replace(whole, clauses=tuple(other for other in clauses if other != one)))
            for one in clauses
        }
        before = psnr(degraded, clean)
        found[text] = {
            name: round(
                float((psnr(restored(network, degraded, [words] * len(clean), 5, controls), clean) - before).mean()), 3
            )
            for name, words in asked.items()
        }
    return found


def gradient_energy(image: Tensor) -> Tensor:
    """Sum of squared differences of neighbours, of each image (B, 3, H, W), of its grey."""
    grey = image.mean(1)
    return sum(grey.diff(dim=dimension).square().flatten(1).sum(1) for dimension in (1, 2))  # type: ignore[return-value]


def quality_of(
    network: Generative,
    clean: Tensor,
    controls: Controls,
    pictures: Path | None = None,
    regression: Generative | None = None,
) -> tuple[dict[str, Any], Tensor]:
    """Means over photographs for each of CONDITIONS, and PSNR of the means of samples, (conditions, B).

    Pictures are written beside one another, a file for each photograph: input, first step or regression, one sample,
    mean, clean.
    """
    found: dict[str, Any] = {}
    scores = []
    for number, text in enumerate(CONDITIONS):
        degraded = degrade(clean, parse(text), 900 + number)
        words = [str(prompt_of(parse(text)))] * len(clean)
        once = Controls(steps=1)
        first = restored(network, degraded, words, 20, once)
        samples = [restored(network, degraded, words, 20 + draw, controls) for draw in range(SAMPLES)]
        mean = torch.stack(samples).mean(0)
        blind = restored(network, degraded, ["remove all degradation"] * len(clean), 20, controls)
        shown = {"input": degraded, "first": first, "sample": samples[0], "mean": mean, "blind sample": blind}
        shown["ceiling"] = network.codec.decode(network.codec.encode(clean)).clamp(0, 1)
        if regression is not None:
            shown["regression"] = restored(regression, degraded, words, 20, once)
        row = {f"psnr {name}": psnr(image, clean) for name, image in shown.items()}
        row |= {f"sharpness {name}": sharpness(image) / sharpness(clean) for name, image in shown.items()}
        for what, measure in (("energy", gradient_energy), ("fine", fine_power)):
            row |= {f"{what} {name}": measure(image).sum() / measure(clean).sum() for name, image in shown.items()}
        found[text] = {name: round(float(values.mean()), 3) for name, values in row.items()}
        scores.append(row["psnr mean"])
        sys.stdout.write(f"{text}: {found[text]}\n")
        sys.stdout.flush()
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            sheet_of = (degraded, shown.get("regression", first), samples[0], mean, clean)
            for place, parts in enumerate(zip(*sheet_of, strict=True)):
                sheet = torch.cat(parts, 2)[None].clamp(0, 1)
                images.write(images.Photograph(sheet), pictures / f"{number}-{place:02}.png")
    return found, torch.stack(scores)


def seams_of(network: Generative, clean: Tensor, controls: Controls, side: int) -> dict[str, Any]:
    """In tiles of a side, of each photograph: gradients across their borders over those elsewhere, over the same of the
    picture that is not cut, with the same noise; PSNR against that, and of both against the clean one."""
    degraded = degrade(clean, parse(CONDITIONS[0]), 900)
    words, rows = str(prompt_of(parse(CONDITIONS[0]))), []
    for image, truth in zip(degraded, clean, strict=True):
        told: dict[str, Any] = {"prompt": words, "seed": 3, "precision": "float32"}
        control = {"steps": controls.steps}
        whole = Restorer(network, control=control | {"tiles": "full"}, **told).restore_image(image[None])
        cutting = Restorer(network, control=control, tile=side, **told)
        cut = cutting.restore_image(image[None])
        layout = Layout(image.shape[1], image.shape[2], cutting.tiles(image[None]))
        borders = {place.left for place in layout.places} | {place.right for place in layout.places}
        across = torch.tensor([column + 1 in borders for column in range(image.shape[2] - 1)])
        steps = [one.mean(1).diff(dim=2).abs().mean(1)[0] for one in (cut, whole)]
        ratios = [float(one[across].mean() / one[~across].mean()) for one in steps]
        pictures = ((cut, whole), (cut, truth[None]), (whole, truth[None]))
        rows.append([ratios[0] / ratios[1], *(float(psnr(*both)) for both in pictures)])
    names = ("borders", "cut against whole", "psnr cut", "psnr whole")
    return {
        name: [round(value, 4) for value in column] for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }


def squares(folder: Path, last: int, side: int) -> Tensor:
    """The middles of the last photographs of a folder, (last, 3, side, side); negative: of the first."""
    made = []
    paths = list_photographs(folder)
    for path in paths[-last:] if last > 0 else paths[:-last]:
        pixels = images.read(path).pixels[0]
        top, left = ((length - side) // 16 * 8 for length in pixels.shape[1:])
        made.append(pixels[:3, top : top + side, left : left + side])
    return torch.stack(made)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--last", type=int, default=50)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--part", choices=("words", "controls", "quality", "seams", "unseen"), action="append")
    parser.add_argument("--verb", choices=VERBS, action="append", help="of the part words; all if not given")
    parser.add_argument("--other", help="of the part quality: a model to be compared with")
    parser.add_argument("--regression", help="of the part quality: a model that learnt regression, for its one step")
    parser.add_argument("--control", action="append", default=[], help="NAME=VALUE, besides the steps")
    parser.add_argument("--kodak", type=Path, help="of the part quality: a folder whose first twelve are measured, too")
    parser.add_argument("--pictures", type=Path, help="of the part quality: where pictures of those go")
    parser.add_argument("--tile", type=int, default=64, help="of the part seams: side of a tile")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    network = load_model(find_model(given.model)).module
    assert isinstance(network, Generative)
    clean = squares(given.folder, given.last, given.side)
    controls = Controls.of({"steps": given.steps} | dict(one.split("=", 1) for one in given.control))
    parts = given.part or ("words", "controls")
    found: dict[str, Any] = {"photographs": len(clean), "side": given.side, "steps": given.steps}
    for verb in given.verb or VERBS if "words" in parts else ():
        found[verb] = control_of(network, clean, verb, controls, range(given.seeds), SWEPT[verb])
        found[verb] |= diagonal_of(network, clean, verb, controls)
        sys.stdout.write(f"{verb} {found[verb]}\n")
        sys.stdout.flush()
    if "controls" in parts:
        found["controls"] = curves_of(network, clean[: math.ceil(given.last / 2)], {"steps": given.steps})
    if "quality" in parts:
        regression = None if given.regression is None else load_model(find_model(given.regression)).module
        assert regression is None or isinstance(regression, Generative)
        found["quality"], scores = quality_of(network, clean, controls, regression=regression)
        found["psnr mean"] = scores.tolist()
        if given.other is not None:
            other = load_model(find_model(given.other)).module
            assert isinstance(other, Generative)
            found["other"], others = quality_of(other, clean, controls)
            gains = {
                text: paired_difference([mine.tolist()], [its.tolist()])
                for text, mine, its in zip(
                    (*CONDITIONS, "mean of all"), *map(_with_mean, (scores, others)), strict=True
                )
            }
            found["gain"] = {text: [one.mean, one.low, one.high] for text, one in gains.items()}
            sys.stdout.write(f"gain {found['gain']}\n")
        if given.kodak is not None:
            found["kodak"], _ = quality_of(
                network, squares(given.kodak, -12, 192), controls, given.pictures, regression
            )
    if "unseen" in parts:
        found["unseen"] = unseen_of(network, clean, controls, range(given.seeds))
        sys.stdout.write(f"unseen {found['unseen']}\n")
    if "seams" in parts:
        found["seams"] = seams_of(network, clean, controls, given.tile)
        sys.stdout.write(f"seams { {name: sum(values) / len(values) for name, values in found['seams'].items()} }\n")
    if given.out is not None:
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _with_mean(scores: Tensor) -> Tensor:
    """Scores (conditions, B), and below them their means over conditions."""
    return torch.cat([scores, scores.mean(0, keepdim=True)])


if __name__ == "__main__":
    main()
