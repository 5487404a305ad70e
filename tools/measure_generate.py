"""Measures how a generative model follows its words and its controls, on photographs that it has not learnt from.

    python tools/measure_generate.py MODEL FOLDER --last 50 --out measured.json

The photographs are the last of the folder by name, as `data.validation` holds them out; a square is cut from the
middle of each. Measured are, for each of four verbs: the rank correlation of the amount and what it is to change, over
six amounts, and how often a larger amount changes less than a smaller one; how often the amount that was truly there
gives the best PSNR to within one of six steps; how often the right verb beats each wrong one; and what prompts of other
photographs give. Then, for each control, PSNR and sharpness over its values.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
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
from pellucid.models.hub import find_model
from pellucid.models.load import load_model

VERBS = {
    "denoise": "noise sigma={}",
    "deblur": "blur sigma={}",
    "dejpeg": "jpeg quality={}",
    "sr": "resample factor={}",
}
SWEPT = {"denoise": 40, "deblur": 2.5, "dejpeg": 12, "sr": 3}
STRENGTHS = {
    "denoise": (10, 20, 30, 40, 50),
    "deblur": (1, 1.5, 2, 2.5, 3),
    "dejpeg": (80, 60, 40, 25, 10),
    "sr": (1.4, 1.8, 2.2, 3, 4),
}
AMOUNTS = 6
CHAIN = "resample factor=4 kernel=bicubic, noise sigma=5, jpeg quality=70"


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
    network: Generative, clean: Tensor, verb: str, controls: Controls, seeds: Sequence[int]
) -> dict[str, Any]:
    """How a verb's amount moves what it is to change."""
    degradation = parse(VERBS[verb].format(SWEPT[verb]))
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


def squares(folder: Path, last: int, side: int) -> Tensor:
    """The middles of the last photographs of a folder, (last, 3, side, side)."""
    made = []
    for path in list_photographs(folder)[-last:]:
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
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    network = load_model(find_model(given.model)).module
    assert isinstance(network, Generative)
    clean, controls = squares(given.folder, given.last, given.side), Controls(steps=given.steps)
    found: dict[str, Any] = {"photographs": len(clean), "side": given.side, "steps": given.steps}
    for verb in VERBS:
        found[verb] = control_of(network, clean, verb, controls, range(given.seeds)) | diagonal_of(
            network, clean, verb, controls
        )
        sys.stdout.write(f"{verb} {found[verb]}\n")
    found["controls"] = curves_of(network, clean[: math.ceil(given.last / 2)], {"steps": given.steps})
    if given.out is not None:
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
