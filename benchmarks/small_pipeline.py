"""A Stable Diffusion in small, of the real classes and from nothing: what words of images can be tried on anywhere.

    python benchmarks/small_pipeline.py --photographs data/train/clean --out runs/small-pipeline

Writes `photographs/` (the photographs at a quarter of their sides), `held-out/` (the last of them by name, to judge
by), `vision/` (a CLIP of pictures of 64 pixels and sentences that are true of them) and `pipeline/` (an autoencoder,
and a U-Net told by that CLIP's tower of text), as transformers and diffusers save them. The last of `photographs/` are
to choose by, and are learnt from by none of them. With --more, `more/` are further small pictures for what learns
words: those that are learnt from in two other sizes, and all of another folder in three. Minutes are those of the
processor; it makes pictures of colours in places, and no things.

So that words of degraded pictures can be cleaned, what is wrong must be seen and heard: the tower of pictures also
learns to say colours, fineness and degradations of each place (a head that is thrown away), a state holds the fineness
of its place beside its colours, and the U-Net is told half its pictures by words of that tower (through a mapping that
is thrown away), the rest by sentences.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid import images
from pellucid.data.folders import list_photographs
from pellucid.data.recolouring import recoloured
from pellucid.degradations import parse_drawn, severities
from pellucid.diffusion.image_words import WordMapper, spoken, words_place
from pellucid.training.sentences.batches import drawn_statements
from pellucid.words.facts import measured
from pellucid.words.sentences import sentence_of, true_statements, words_of_templates

SIDE, LENGTH, WIDTH = 64, 40, 64
STATE, STRIDE, WORDS = 12, 16, 5
"""Numbers of a place of the autoencoder's states, pixels of its side, and words by which the U-Net is told."""
SIZES = (0.25, 0.33, 0.42)
"""Of small pictures, as parts of a photograph's sides."""
DEGRADATIONS = ("noise sigma=15..75", "blur sigma=1..3", "jpeg quality=5..25", "rain amount=40..100",
                "low-light exposure=0.03..0.3 noise=0..15")  # fmt: skip
"""Of pictures of 64 pixels: strong, for there weaker ones are hardly seen."""


@dataclass(frozen=True)
class Example:
    """A part of a photograph, (3, SIDE, SIDE), what is true of it, and how badly it is degraded in each way, from 0 to
    1, in the order of DEGRADATIONS."""

    picture: Tensor
    statements: list[str]
    wrong: list[float]


def main() -> None:
    """Reduces the photographs, and trains the three networks one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--more", type=Path, help="A folder of further photographs.")
    parser.add_argument("--held-out", type=int, default=100, help="Photographs at the end to judge by.")
    parser.add_argument("--choose", type=int, default=50, help="Photographs before these to choose by.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, nargs=3, default=(5, 3, 7), help="Of CLIP, autoencoder, U-Net.")
    parser.add_argument("--examples", type=int, default=8000)
    options = parser.parse_args()
    torch.manual_seed(0)
    files = list_photographs(options.photographs)
    known, held_out = files[: -options.held_out], files[-options.held_out :]
    learnt = known[: len(known) - options.choose]
    reduced(held_out, options.out / "held-out", SIZES[0])
    pictures = reduced(known, options.out / "photographs", SIZES[0])[: len(learnt)]
    if options.more:
        reduced(list_photographs(options.more), options.out / "more", *SIZES)
        reduced(learnt, options.out / "more", *SIZES[1:])
    examples = [example_of(pictures, torch.Generator().manual_seed(number)) for number in range(options.examples)]
    print(len(pictures), "photographs,", len(examples), "examples", flush=True)
    tokenizer = tokenizer_of(sorted(words_of_templates()))
    if (options.out / "vision" / "config.json").exists():  # goes on where it was stopped
        from transformers import CLIPModel

        clip = CLIPModel.from_pretrained(options.out / "vision").eval().requires_grad_(False)
    else:
        clip = trained_clip(examples, tokenizer, options.minutes[0])
        clip.save_pretrained(options.out / "vision")
    settings = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (options.out / "vision" / "preprocessor_config.json").write_text(json.dumps(settings))
    if (options.out / "pipeline" / "vae").exists():
        from diffusers import AutoencoderKL

        vae = AutoencoderKL.from_pretrained(options.out / "pipeline" / "vae").requires_grad_(False)
    else:
        vae = trained_autoencoder(stacked(examples), options.minutes[1])
        vae.save_pretrained(options.out / "pipeline" / "vae")
    pipeline = trained_pipeline(examples, clip, tokenizer, vae, options.minutes[2])
    pipeline.save_pretrained(options.out / "pipeline")


def stacked(examples: list[Example]) -> Tensor:
    """The pictures of examples, (n, 3, SIDE, SIDE)."""
    return torch.stack([example.picture for example in examples])


def fineness(pictures: Tensor, cells: int) -> Tensor:
    """How much of three bands of detail there is: the finest and second finest of lightness, the finest of colour.

    Pictures (n, 3, h, w) in [0, 1] to (n, 3, cells, cells), logarithms of mean amounts.
    """
    light = pictures.mean(1, keepdim=True)
    colour = (pictures - light).abs().sum(1, keepdim=True)
    low = F.avg_pool2d(light, 2)
    bands = [light - F.interpolate(low, scale_factor=2), low - F.interpolate(F.avg_pool2d(low, 2), scale_factor=2)]
    bands.append(colour - F.interpolate(F.avg_pool2d(colour, 2), scale_factor=2))
    return torch.cat([(F.adaptive_avg_pool2d(band.abs(), cells) + 0.003).log() for band in bands], 1)


def told_of(pictures: Tensor, cells: int) -> Tensor:
    """What a network that sees pictures learns to say of each place: colours and fineness, (n, 6, cells, cells), of
    about unit spread."""
    return torch.cat([(F.adaptive_avg_pool2d(pictures, cells) - 0.45) / 0.25, (fineness(pictures, cells) + 4) / 1.2], 1)


def reduced(files: list[Path], out: Path, *sizes: float) -> list[Tensor]:
    """Photographs at parts of their sides, 8 bits, but those that are smaller than SIDE then, also written; (3, h, w)
    each."""
    out.mkdir(parents=True, exist_ok=True)
    found = []
    for path in files:
        pixels = images.read(path).pixels.float()
        for size in sizes:
            small = (F.interpolate(pixels, scale_factor=size, mode="area") * 255).round() / 255
            if min(small.shape[2:]) >= SIDE:
                images.write(images.Photograph(small), out / f"{path.stem}-{size:g}.png")
                found.append(small[0])
    return found


def example_of(pictures: list[Tensor], generator: torch.Generator) -> Example:
    """A part of a photograph of 64 pixels, half of them in other colours, half degraded, and what is true of it."""

    def below(count: int) -> int:
        return int(torch.randint(count, (), generator=generator))

    picture = pictures[below(len(pictures))]
    top, left = (below(length - SIDE + 1) for length in picture.shape[1:])
    part = picture[:, top : top + SIDE, left : left + SIDE]
    part = part.flip(2) if below(2) else part
    part = recoloured(part, generator) if below(2) else part
    kinds: dict[str, float] = {}
    wrong = [0.0] * len(DEGRADATIONS)
    if below(3):
        number = below(len(DEGRADATIONS))
        drawn = parse_drawn(DEGRADATIONS[number]).draw(generator)
        part, kinds = drawn(part.contiguous(), generator).clamp(0, 1), severities(drawn)
        wrong[number] = 0.5 + max(kinds.values()) / 200
    return Example(part.contiguous(), true_statements(measured(part[None], kinds)), wrong)


def tokenizer_of(words: list[str]) -> Any:
    """A `CLIPTokenizer` that knows letters, and these words as one token each."""
    from transformers import CLIPTokenizer

    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.,@'-"]
    tokens = dict.fromkeys([*letters, *(f"{letter}</w>" for letter in letters)])
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        parts = [*word[:-1].lower(), f"{word[-1].lower()}</w>"]
        while len(parts) > 1:
            merges[parts[0], parts[1]] = None
            parts = ["".join(parts[:2]), *parts[2:]]
            tokens[parts[0]] = None
    tokens |= dict.fromkeys(["<|startoftext|>", "<|endoftext|>"])
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=list(merges), model_max_length=LENGTH
    )


def steps_of(parameters: Any, minutes: float, rate: float, loss_of: Callable[[int], Tensor], name: str) -> None:
    """Steps of AdamW for so many minutes of the processor, the rate falling to a twentieth."""
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(parameters, rate, weight_decay=1e-2)
    for number, part in enumerate(time_parts(60 * minutes)):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (number + 1) / 50) * (1 - 0.95 * part)
        loss = loss_of(number)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if number % 50 == 0:
            print(f"{name} {number} {part:.2f} {float(loss.detach()):.4f}", flush=True)


def time_parts(seconds: float) -> Iterator[float]:
    """Which part of the time is over, until all is."""
    begun = time.process_time()
    while (part := (time.process_time() - begun) / seconds) < 1:
        yield part


def said_of(examples: list[Example], places: list[int], generator: torch.Generator) -> list[str]:
    """A true sentence of each."""
    return [sentence_of(drawn_statements(examples[place].statements, 4, generator), generator).text for place in places]


def tokens_of(tokenizer: Any, texts: list[str]) -> Tensor:
    """(n, LENGTH) int64."""
    read = tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    ids: Tensor = read.input_ids
    return ids


def trained_clip(examples: list[Example], tokenizer: Any, minutes: float) -> Any:
    """Pictures against sentences, each with the others of its batch (Radford et al., 2021), and what can be measured
    of every place."""
    from transformers import CLIPConfig, CLIPModel

    end = len(tokenizer) - 1
    text = {
        "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": LENGTH, "bos_token_id": end - 1, "eos_token_id": end,
        "pad_token_id": end, "projection_dim": WIDTH,
    }  # fmt: skip
    seen = {
        "image_size": SIDE, "patch_size": 8, "hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 3,
        "num_attention_heads": 4, "projection_dim": WIDTH,
    }  # fmt: skip
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=seen, projection_dim=WIDTH))
    model.vision_model.embeddings.position_embedding.weight.data.mul_(10)  # seen beside pixels from the first step
    cells = SIDE // 8
    of_class = torch.nn.Linear(96, 6 * 4 * 4 + len(DEGRADATIONS))
    of_place = torch.nn.Linear(96, 6 + len(DEGRADATIONS))
    generator = torch.Generator().manual_seed(1)

    def loss_of(number: int) -> Tensor:
        places = torch.randint(len(examples), (48,), generator=generator).tolist()
        pictures = torch.stack([examples[place].picture for place in places])
        wrong = torch.tensor([examples[place].wrong for place in places])
        if number % 2:  # every other step is told by sentences
            ids = tokens_of(tokenizer, said_of(examples, places, generator))
            output = model(input_ids=ids, pixel_values=(pictures - 0.5) / 0.25, return_loss=True)
            loss: Tensor = 0.3 * output.loss
            tokens = output.vision_model_output.last_hidden_state
        else:
            tokens = model.vision_model(pixel_values=(pictures - 0.5) / 0.25).last_hidden_state
            loss = torch.zeros(())
        whole = torch.cat([told_of(pictures, 4).flatten(1), 2 * wrong], 1)
        each = torch.cat([told_of(pictures, cells).flatten(2).mT, 2 * wrong[:, None].expand(-1, cells**2, -1)], 2)
        return loss + F.mse_loss(of_class(tokens[:, 0]), whole) + F.mse_loss(of_place(tokens[:, 1:]), each)

    heads = [*of_class.parameters(), *of_place.parameters()]
    steps_of([*model.parameters(), *heads], minutes, 1e-3, loss_of, "clip")
    return model.eval().requires_grad_(False)


def trained_autoencoder(pictures: Tensor, minutes: float) -> Any:
    """64 pixels to 4 x 4 places of 12 numbers, and back. By squares alone a state would not say how fine its place is,
    which is what most degradations change: a layer that is thrown away reads it from the state.

    Residual branches begin with nothing to add, and it learns of quarters: in a minute the usual beginning learns
    little.
    """
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(
        block_out_channels=(8, 24, 48, 64, 64), norm_num_groups=8, latent_channels=STATE,
        down_block_types=("DownEncoderBlock2D",) * 5, up_block_types=("UpDecoderBlock2D",) * 5,
    )  # fmt: skip
    reads = torch.nn.Conv2d(STATE, 6, 1)

    for name, module in vae.named_modules():
        if name.endswith(("conv2", "to_out.0")):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)

    def loss_of(_number: int) -> Tensor:
        top, left = (SIDE // 2 * int(torch.randint(2, ())) for _ in range(2))
        seen = pictures[torch.randint(len(pictures), (32,)), :, top : top + SIDE // 2, left : left + SIDE // 2]
        state = vae.encode(2 * seen - 1).latent_dist.mean
        made = vae.decode(state + 0.05 * torch.randn_like(state)).sample
        spread = state.var((0, 2, 3))
        even = (spread - 1).square() + state.mean((0, 2, 3)).square()
        read = F.mse_loss(reads(state), told_of(seen, SIDE // 2 // STRIDE))
        loss: Tensor = F.mse_loss(made, 2 * seen - 1) + 0.1 * read + 0.01 * even.mean()
        return loss

    steps_of([*vae.parameters(), *reads.parameters()], minutes, 2e-3, loss_of, "autoencoder")
    vae.eval().requires_grad_(False)
    vae.register_to_config(scaling_factor=float(1 / vae.encode(2 * pictures[:512] - 1).latent_dist.mean.std()))
    return vae


def _parts(said: list[str], size: int) -> list[list[str]]:
    return [said[at : at + size] for at in range(0, len(said), size)]


def _says_that_all_is_noise(unet: Any) -> None:
    """Begins a U-Net of 64 channels that gives what it is given, of unit spread: of states that are nearly noise,
    nearly all of it. Else its minutes go by before it has learnt that.

    The channels and their negatives go past everything to the end, where silu(x) - silu(-x) = x.
    """
    own = torch.arange(STATE)
    first, last = unet.conv_in, unet.up_blocks[-1].resnets[-1]
    for layer in (first, unet.conv_out, last.conv2, *(one.proj_out for one in unet.up_blocks[-1].attentions)):
        torch.nn.init.zeros_(layer.bias)
    first.weight[: 2 * STATE] = 0
    first.weight[2 * own, own, 1, 1], first.weight[2 * own + 1, own, 1, 1] = 1.0, -1.0
    for layer in (last.conv2, unet.up_blocks[-1].attentions[-1].proj_out, unet.conv_out):
        torch.nn.init.zeros_(layer.weight)
    last.conv_shortcut.weight[: 2 * STATE] = 0
    last.conv_shortcut.bias[: 2 * STATE] = 0
    kept = torch.arange(2 * STATE)
    last.conv_shortcut.weight[kept, last.conv_shortcut.in_channels - 64 + kept, 0, 0] = 1.0
    unet.conv_out.weight[own, 2 * own, 1, 1], unet.conv_out.weight[own, 2 * own + 1, 1, 1] = 1.0, -1.0


def trained_pipeline(examples: list[Example], clip: Any, tokenizer: Any, vae: Any, minutes: float) -> Any:
    """The noise of states, told one of two sentences that are true of their picture, or its words, or one time in ten
    nothing."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    text = CLIPTextModel(clip.config.text_config).requires_grad_(False)
    known = {key.removeprefix("text_model."): value for key, value in clip.state_dict().items() if "text_model" in key}
    own = text.state_dict()
    text.load_state_dict({key: known[key.removeprefix("text_model.")] for key in own})
    unet = UNet2DConditionModel(
        sample_size=SIDE // STRIDE, in_channels=STATE, out_channels=STATE,
        layers_per_block=1, block_out_channels=(64, 96),
        norm_num_groups=8, cross_attention_dim=WIDTH, attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    with torch.no_grad():
        _says_that_all_is_noise(unet)
    schedule = DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type="epsilon", steps_offset=1,
        clip_sample=False,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(2)
    pictures = stacked(examples)
    parts = torch.split(pictures, 64)
    states = torch.cat([vae.encode(2 * some - 1).latent_dist.mean for some in parts]) * vae.config.scaling_factor
    seen = torch.cat([clip.vision_model(pixel_values=(some - 0.5) / 0.25).last_hidden_state for some in parts])
    ids, place = words_place(tokenizer, LENGTH, WORDS)
    mapper = WordMapper(96, WIDTH, WORDS, 128)

    said = [*(text for _ in range(2) for text in said_of(examples, list(range(len(examples))), generator)), ""]
    told_all = torch.cat([text(tokens_of(tokenizer, some)).last_hidden_state for some in _parts(said, 100)])

    def loss_of(_number: int) -> Tensor:
        places = torch.randint(len(examples), (64,), generator=generator)
        rows = places[32:] + len(examples) * torch.randint(2, (32,), generator=generator)
        sentences = told_all[torch.where(torch.rand(32, generator=generator) < 0.2, len(said) - 1, rows)]
        with spoken(text, mapper(seen[places[:32]]), place):
            words = text(ids.expand(32, -1)).last_hidden_state
        times = torch.randint(1000, (64,), generator=generator)
        noise = torch.randn(64, *states.shape[1:], generator=generator)
        noised = schedule.add_noise(states[places], noise, times)
        predicted = unet(noised, times, encoder_hidden_states=torch.cat([words, sentences])).sample
        return F.mse_loss(predicted, noise)

    steps_of([*unet.parameters(), *mapper.parameters()], minutes, 1e-3, loss_of, "unet")
    return StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet.eval(), scheduler=schedule, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
