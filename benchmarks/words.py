"""Whether cleaning brings words of degraded photographs nearer to the words of their clean twins.

    python benchmarks/words.py --words RUN/words.safetensors --photographs small/photographs --held-out small/held-out

Distance: one minus the cosine, a mean over the words. `nearer` is the share of photographs whose words are nearer to
the twin's after cleaning than before; `mean nearer` that whose twin is nearer to the mean of the training's words than
to the words as they were, which a cleaner that says always the same would reach; `said nearer` as `nearer`, by what the
U-Net is told (the text encoder's last layer where the words stand). `found` is the share of photographs to whose words,
of all held out, the twin's are the nearest; by chance one of all. `of the way` is which part of the mean distance is
gone. `apart` is the distance between words of two clean photographs. `error`: see `heard`.

With --told the networks that clean are taught by the squared distance to the twin's words instead, which no method may
do: what they could reach at most.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from small_pipeline import DEGRADATIONS, SIDE
from torch import Tensor
from torch.nn import functional as F

from pellucid import images
from pellucid.data.folders import list_photographs
from pellucid.degradations import parse_drawn
from pellucid.diffusion.guidance_image import GuidanceMaker, load_guidance_maker
from pellucid.diffusion.image_words import distance_of_words


def main() -> None:
    """Measures and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--words", type=Path, required=True)
    parser.add_argument("--photographs", type=Path, action="append", required=True, help="Folders to learn from.")
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--degradation", action="append", help="Instead of the usual five; several may be given.")
    parser.add_argument("--told", type=int, default=0, help="Steps of learning from the answer.")
    parser.add_argument("--seed", type=int, default=62)
    options = parser.parse_args()
    maker = load_guidance_maker(options.words)
    held_out = squares(list_photographs(options.held_out))
    training = torch.cat([squares(list_photographs(folder)) for folder in options.photographs])
    kinds = options.degradation or [*DEGRADATIONS]
    if options.told:
        learn_from_the_answer(maker, training, kinds, options.told)
    rows: dict[str, dict[str, float]] = {}
    with torch.no_grad():
        usual = maker.words(training).mean(0, keepdim=True)
        clean = maker.words(held_out)
        for number, text in enumerate(kinds):
            degraded = worse(held_out, text, torch.Generator().manual_seed(options.seed + number))
            rows[text] = compared(maker, clean, maker.words(degraded), usual)
        moved, apart = distance_of_words(maker.clean(clean), clean), distance_of_words(clean.roll(1, 0), clean)
        rows["clean"] = {"moved": float(moved.mean()), "apart": float(apart.mean()), **heard(maker, held_out, clean)}
    shares = [rows[text]["nearer"] for text in kinds]
    share, count = sum(shares) / len(kinds), len(kinds) * len(held_out)
    half = 1.96 * math.sqrt(share * (1 - share) / count)
    rows["all"] = {"nearer": share, "from": share - half, "to": share + half, "of": count}
    print(json.dumps(rows, indent=1))


def squares(files: list[Path]) -> Tensor:
    """The middle of photographs, (n, 3, 64, 64)."""
    found = []
    for path in files:
        picture = images.read(path).pixels.float()
        top, left = ((length - SIDE) // 2 for length in picture.shape[2:])
        found.append(picture[:, :, top : top + SIDE, left : left + SIDE])
    return torch.cat(found)


def worse(pictures: Tensor, text: str, generator: torch.Generator) -> Tensor:
    """Pictures (n, 3, h, w), each degraded by a draw of its own."""
    drawn = [parse_drawn(text).draw(generator)(one, generator).clamp(0, 1) for one in pictures]
    return torch.stack(drawn)


def learn_from_the_answer(maker: GuidanceMaker, pictures: Tensor, kinds: list[str], steps: int) -> None:
    """Teaches the networks that clean by the twin's words, of four draws of each degradation and of clean pictures."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        clean = maker.words(pictures)
        words = torch.cat([clean, *(maker.words(worse(pictures, text, generator)) for text in 4 * kinds)])
    answer = clean.repeat(1 + 4 * len(kinds), 1, 1)
    maker.clean.leave(float(clean.square().mean().sqrt()))
    maker.clean.requires_grad_(True)
    optimizer = torch.optim.AdamW(maker.clean.parameters(), 1e-3, weight_decay=0.0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 - step / steps)
        some = torch.randint(len(words), (128,), generator=generator)
        loss = F.mse_loss(maker.clean(words[some]), answer[some]) / answer.var()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    maker.clean.requires_grad_(False)


def compared(maker: GuidanceMaker, clean: Tensor, degraded: Tensor, usual: Tensor) -> dict[str, float]:
    """The numbers of one kind of degradation."""
    cleaned = maker.clean(degraded)
    before, after = distance_of_words(degraded, clean), distance_of_words(cleaned, clean)
    place = slice(maker.place, maker.place + degraded.shape[1])
    told = [maker.said(words)[:, place] for words in (clean, degraded, cleaned)]
    nearest = [
        F.normalize(words, dim=2).flatten(1) @ F.normalize(clean, dim=2).flatten(1).mT for words in (degraded, cleaned)
    ]
    own = torch.arange(len(clean))
    return {
        "before": float(before.mean()),
        "after": float(after.mean()),
        "of the way": float(1 - after.mean() / before.mean()),
        "nearer": float((after < before).float().mean()),
        "mean nearer": float((distance_of_words(usual, clean) < before).float().mean()),
        "said nearer": float(
            (distance_of_words(told[2], told[0]) < distance_of_words(told[1], told[0])).float().mean()
        ),
        "found before": float((nearest[0].argmax(1) == own).float().mean()),
        "found after": float((nearest[1].argmax(1) == own).float().mean()),
    }


def heard(maker: GuidanceMaker, pictures: Tensor, words: Tensor) -> dict[str, float]:
    """The squared error of the noise, told the words of the picture itself and of another one: what words are worth to
    the U-Net. At five times, the same noise for both."""
    states = maker.codec.encode(pictures)
    noise = torch.randn(states.shape, generator=torch.Generator().manual_seed(0))
    found = {"own": 0.0, "another": 0.0}
    for time in (100, 300, 500, 700, 900):
        times = torch.full((len(pictures),), time)
        noised = maker.noising.noised(states, noise, times)
        for whose, told in (("own", words), ("another", words.roll(1, 0))):
            predicted = maker.unet(noised, times, encoder_hidden_states=maker.said(told)).sample
            found[whose] += float(F.mse_loss(predicted, noise)) / 5
    return {f"error, {whose} words": value for whose, value in found.items()}


if __name__ == "__main__":
    main()
