"""A Stable Diffusion in small, of the real classes and from nothing: what words of images can be tried on anywhere.

    python benchmarks/small_pipeline.py --photographs data/train/clean --out runs/small-pipeline

Writes `photographs/` (the photographs at a quarter of their sides), `vision/` (a CLIP of pictures of 64 pixels and
sentences that are true of them) and `pipeline/` (an autoencoder, and a U-Net told by that CLIP's tower of text), as
transformers and diffusers save them. The last photographs by name are learnt from by none of them. Minutes are those of
the processor; it makes pictures of colours in places, and no things.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid import images
from pellucid.data.recolouring import recoloured
from pellucid.degradations import parse_drawn, severities
from pellucid.training.sentences.batches import drawn_statements
from pellucid.words.facts import measured
from pellucid.words.sentences import sentence_of, true_statements, words_of_templates

SIDE, LENGTH, WIDTH = 64, 40, 64
DEGRADATIONS = ("noise sigma=15..75", "blur sigma=1..3", "jpeg quality=5..25", "rain amount=40..100",
                "low-light exposure=0.03..0.3 noise=0..15")  # fmt: skip
"""Of pictures of 64 pixels: strong, for there weaker ones are hardly seen."""
Example = tuple[Tensor, list[str]]


def main() -> None:
    """Reduces the photographs, and trains the three networks one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--held-out", type=int, default=100, help="Photographs at the end that nothing learns from.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, nargs=3, default=(1.0, 0.6, 0.8), help="Of CLIP, autoencoder, U-Net.")
    parser.add_argument("--examples", type=int, default=2000)
    options = parser.parse_args()
    torch.manual_seed(0)
    pictures = reduced(options.photographs, options.out / "photographs")[: -options.held_out]
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
        vae = trained_autoencoder(torch.stack([picture for picture, _ in examples]), options.minutes[1])
        vae.save_pretrained(options.out / "pipeline" / "vae")
    pipeline = trained_pipeline(examples, clip, tokenizer, vae, options.minutes[2])
    pipeline.save_pretrained(options.out / "pipeline")


def reduced(folder: Path, out: Path) -> list[Tensor]:
    """Photographs at a quarter of their sides, 8 bits, also written; (3, h, w) each."""
    out.mkdir(parents=True, exist_ok=True)
    found = []
    for path in sorted(path for path in folder.iterdir() if images.supported(path)):
        small = F.interpolate(images.read(path).pixels.float(), scale_factor=0.25, mode="area")
        images.write(images.Photograph((small * 255).round() / 255), out / f"{path.stem}.png")
        found.append((small[0] * 255).round() / 255)
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
    if below(2):
        drawn = parse_drawn(DEGRADATIONS[below(len(DEGRADATIONS))]).draw(generator)
        part, kinds = drawn(part.contiguous(), generator).clamp(0, 1), severities(drawn)
    return part.contiguous(), true_statements(measured(part[None], kinds))


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
    return [sentence_of(drawn_statements(examples[place][1], 4, generator), generator).text for place in places]


def tokens_of(tokenizer: Any, texts: list[str]) -> Tensor:
    """(n, LENGTH) int64."""
    read = tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    ids: Tensor = read.input_ids
    return ids


def trained_clip(examples: list[Example], tokenizer: Any, minutes: float) -> Any:
    """Pictures against sentences, each with the others of its batch (Radford et al., 2021)."""
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
    generator = torch.Generator().manual_seed(1)

    def loss_of(_number: int) -> Tensor:
        places = torch.randint(len(examples), (48,), generator=generator).tolist()
        pixels = (torch.stack([examples[place][0] for place in places]) - 0.5) / 0.25
        ids = tokens_of(tokenizer, said_of(examples, places, generator))
        loss: Tensor = model(input_ids=ids, pixel_values=pixels, return_loss=True).loss
        return loss

    steps_of(model.parameters(), minutes, 1e-3, loss_of, "clip")
    return model.eval().requires_grad_(False)


def trained_autoencoder(pictures: Tensor, minutes: float) -> Any:
    """64 pixels to 8 x 8 places of 16 numbers, and back; by squares, so that noise is part of a picture, too.

    Residual branches begin with nothing to add, and it learns of quarters: in a minute the usual beginning learns
    little.
    """
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(
        block_out_channels=(8, 24, 48, 64), norm_num_groups=8, latent_channels=16,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip

    for name, module in vae.named_modules():
        if name.endswith(("conv2", "to_out.0")):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)

    def loss_of(_number: int) -> Tensor:
        top, left = (SIDE // 2 * int(torch.randint(2, ())) for _ in range(2))
        seen = pictures[torch.randint(len(pictures), (24,)), :, top : top + SIDE // 2, left : left + SIDE // 2]
        seen = 2 * seen - 1
        state = vae.encode(seen).latent_dist.mean
        made = vae.decode(state + 0.05 * torch.randn_like(state)).sample
        loss: Tensor = F.mse_loss(made, seen) + 1e-4 * state.square().mean()
        return loss

    steps_of(vae.parameters(), minutes, 2e-3, loss_of, "autoencoder")
    vae.eval().requires_grad_(False)
    vae.register_to_config(scaling_factor=float(1 / vae.encode(2 * pictures[:512] - 1).latent_dist.mean.std()))
    return vae


def _parts(said: list[str], size: int) -> list[list[str]]:
    return [said[at : at + size] for at in range(0, len(said), size)]


def _says_that_all_is_noise(unet: Any) -> None:
    """Begins a U-Net of 64 channels that gives what it is given, of unit spread: of states that are nearly noise,
    nearly all of it. Else its minutes go by before it has learnt that.

    The 16 channels and their negatives go past everything to the end, where silu(x) - silu(-x) = x.
    """
    own = torch.arange(16)
    first, last = unet.conv_in, unet.up_blocks[-1].resnets[-1]
    for layer in (first, unet.conv_out, last.conv2, *(one.proj_out for one in unet.up_blocks[-1].attentions)):
        torch.nn.init.zeros_(layer.bias)
    first.weight[:32] = 0
    first.weight[2 * own, own, 1, 1], first.weight[2 * own + 1, own, 1, 1] = 1.0, -1.0
    for layer in (last.conv2, unet.up_blocks[-1].attentions[-1].proj_out, unet.conv_out):
        torch.nn.init.zeros_(layer.weight)
    last.conv_shortcut.weight[:32] = 0
    last.conv_shortcut.bias[:32] = 0
    kept = torch.arange(32)
    last.conv_shortcut.weight[kept, last.conv_shortcut.in_channels - 64 + kept, 0, 0] = 1.0
    unet.conv_out.weight[own, 2 * own, 1, 1], unet.conv_out.weight[own, 2 * own + 1, 1, 1] = 1.0, -1.0


def trained_pipeline(examples: list[Example], clip: Any, tokenizer: Any, vae: Any, minutes: float) -> Any:
    """The noise of states, told one of two sentences that are true of their picture, or one time in ten none."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    text = CLIPTextModel(clip.config.text_config).requires_grad_(False)
    known = {key.removeprefix("text_model."): value for key, value in clip.state_dict().items() if "text_model" in key}
    own = text.state_dict()
    text.load_state_dict({key: known[key.removeprefix("text_model.")] for key in own})
    unet = UNet2DConditionModel(
        sample_size=SIDE // 8, in_channels=16, out_channels=16, layers_per_block=1, block_out_channels=(64, 96),
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
    pictures = torch.stack([picture for picture, _ in examples])
    states = torch.cat([vae.encode(2 * some - 1).latent_dist.mean for some in torch.split(pictures, 64)])
    states = states * vae.config.scaling_factor

    said = [*(text for _ in range(2) for text in said_of(examples, list(range(len(examples))), generator)), ""]
    told_all = torch.cat([text(tokens_of(tokenizer, some)).last_hidden_state for some in _parts(said, 100)])

    def loss_of(_number: int) -> Tensor:
        places = torch.randint(len(examples), (32,), generator=generator)
        rows = places + len(examples) * torch.randint(2, (32,), generator=generator)
        told = told_all[torch.where(torch.rand(32, generator=generator) < 0.1, len(said) - 1, rows)]
        times = torch.randint(1000, (32,), generator=generator)
        noise = torch.randn(32, *states.shape[1:], generator=generator)
        noised = schedule.add_noise(states[places], noise, times)
        return F.mse_loss(unet(noised, times, encoder_hidden_states=told).sample, noise)

    steps_of(unet.parameters(), minutes, 1e-3, loss_of, "unet")
    return StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet.eval(), scheduler=schedule, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
