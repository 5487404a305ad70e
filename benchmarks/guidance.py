"""What guidance is worth to small guided networks, by seconds of training: what is shown against nothing.

    python benchmarks/guidance.py --photographs data/train/clean --network nafnet --network restormer --network sfnet \
        --seeds 3 --out guidance.json

Noise of sigma 50, or with --dark a picture of 15 % of its light with noise of sigma 2. The network within is trained
alone first, and then stays as it is: so what a guided network gives without guidance is what that gives, and all that
is gained is gained by the fusions. They learn beside the clean crop, rolled by multiples of the deepest features'
places and with its channels brighter or darker by up to a fifth, or with --taught beside one of the controls. Then each
is shown, on photographs held out, nothing, the clean picture rolled and recoloured likewise, another clean picture, and
the degraded one itself.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pellucid import images
from pellucid.data.folders import list_photographs
from pellucid.guidance import NOTHING, Guidance
from pellucid.metrics.statistics import paired_difference
from pellucid.models.tables import build_network
from pellucid.networks import Guided, SFNet
from pellucid.training.loop import to_training
from pellucid.training.objective import TERMS, Judged

DARK, DARK_SIGMA = 0.15, 2 / 255
SIGMA, BATCH, CROP, REACH, GAIN = 50 / 255, 8, 96, 2, 0.2
HELD_OUT = 24
NETWORKS: dict[str, tuple[dict[str, Any], int, int]] = {
    "nafnet": ({"width": 16, "encoder_blocks": [1], "middle_blocks": 1, "decoder_blocks": [1]}, 32, 2),
    "restormer": ({"width": 16, "blocks": [1, 1], "heads": [1, 2], "refinement_blocks": 0}, 32, 2),
    "sfnet": ({"width": 16, "blocks": 1}, 32, 4),
}
"""Settings, side of a training crop, and pixels of a place of the deepest features."""
SHOWN = ("none", "clean", "other", "degraded")


def main() -> None:
    """Trains, measures and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--network", action="append", choices=list(NETWORKS), required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--taught", choices=SHOWN[1:], default="clean", help="What is shown in training.")
    parser.add_argument("--host-seconds", type=float, default=26, help="Of the processor, for the network within.")
    parser.add_argument("--seconds", type=float, default=20, help="Of the processor, for encoder and fusions.")
    parser.add_argument(
        "--listening",
        type=float,
        default=10,
        help="Rate of a fusion's single number, zero at first, by which all that it says is weighed, over the others'.",
    )
    parser.add_argument("--dark", action="store_true", help="Pictures are dark, not noisy.")
    parser.add_argument("--relative", action="store_true", help="Compare features with their surroundings.")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    paths = list_photographs(options.photographs)
    training = [images.read(path).pixels[0].float() for path in paths[:-HELD_OUT:2]]
    held_out = [images.read(path).pixels[0].float() for path in paths[-HELD_OUT:]]
    found: dict[str, Any] = {}
    for name in options.network:
        settings, side, place = NETWORKS[name]
        scores: dict[str, list[list[float]]] = {shown: [] for shown in SHOWN}
        torch.manual_seed(0)
        host = build_network(name, settings)
        pictures = Pictures(training, side, place, 0, options.dark)
        steps = [learnt(host, pictures, "none", options.host_seconds, 3e-3)]
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            own = {"blocks": 1, "encoder_blocks": 1, "relative": options.relative}
            network = build_network("guided", {"network": {"name": name, "settings": settings}, **own})
            assert isinstance(network, Guided)
            network.network.load_state_dict(host.state_dict())
            network.network.requires_grad_(False)
            pictures = Pictures(training, side, place, 1 + seed, options.dark)
            steps.append(learnt(network, pictures, options.taught, options.seconds, 4e-3, options.listening))
            for shown, psnr in scored(network, held_out, place, options.dark).items():
                scores[shown].append(psnr)
        found[name] = {"steps": steps, "scores": scores, **summed(scores)}
        print(json.dumps({name: {key: value for key, value in found[name].items() if key != "scores"}}), flush=True)
        options.out.write_text(json.dumps(found))


class Learns(Protocol):
    """What a network learns from."""

    def batch(self) -> tuple[Tensor, Tensor]:
        """Clean and degraded crops, (B, 3, side, side)."""
        ...

    def shown(self, what: str, clean: Tensor, degraded: Tensor) -> Tensor | None:
        """What stands beside them."""
        ...


class Pictures:
    """Crops, noise and what is shown beside them, drawn one after the other.

    Args:
        photographs: (3, H, W) each.
        side: of a crop.
        place: pixels of which a picture is rolled by multiples.
        seed: of all draws.
        dark: whether they are dark instead of noisy.
    """

    def __init__(self, photographs: list[Tensor], side: int, place: int, seed: int, dark: bool = False) -> None:
        self.photographs, self.side, self.place, self.dark = photographs, side, place, dark
        self.generator = torch.Generator().manual_seed(seed)

    def below(self, count: int) -> int:
        """A whole number from 0 on."""
        return int(torch.randint(count, (), generator=self.generator))

    def batch(self) -> tuple[Tensor, Tensor]:
        """Clean and degraded crops, (BATCH, 3, side, side)."""
        crops = []
        for _ in range(BATCH):
            photograph = self.photographs[self.below(len(self.photographs))]
            top, left = (self.below(length - self.side + 1) for length in photograph.shape[1:])
            crop = photograph[:, top : top + self.side, left : left + self.side]
            crops.append(crop.flip(2) if self.below(2) else crop)
        clean = torch.stack(crops)
        return clean, self.degraded(clean)

    def degraded(self, clean: Tensor) -> Tensor:
        """Crops with noise, or dark."""
        if self.dark:
            return (DARK * clean + DARK_SIGMA * torch.randn(clean.shape, generator=self.generator)).clamp(0, 1)
        return clean + SIGMA * torch.randn(clean.shape, generator=self.generator)

    def shown(self, what: str, clean: Tensor, degraded: Tensor) -> Tensor | None:
        """What stands beside them."""
        if what in ("none", "degraded"):
            return None if what == "none" else degraded
        pictures = []
        for picture in clean if what == "clean" else clean.roll(1, 0):
            down, right = (self.place * (self.below(2 * REACH + 1) - REACH) for _ in range(2))
            gains = 1 + GAIN * (2 * torch.rand(3, 1, 1, generator=self.generator) - 1)
            pictures.append((picture.roll((down, right), (1, 2)) * gains).clamp(0, 1))
        return torch.stack(pictures)


def learnt(
    network: nn.Module, pictures: Learns, shown: str, seconds: float, rate: float, listening: float = 1.0
) -> int:
    """Trains so many seconds of the processor what is not frozen; steps."""
    parameters = {name: value for name, value in network.named_parameters() if value.requires_grad}
    single = [value for name, value in parameters.items() if ".alphas." in name]
    rest = [value for name, value in parameters.items() if ".alphas." not in name]
    groups = [{"params": rest, "peak": rate}, {"params": single, "peak": listening * rate}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], rate, weight_decay=1e-4)
    to_training(network)
    begun, step = time.process_time(), 0
    within = network.network if isinstance(network, Guided) else network
    terms: list[Callable[[Judged], Tensor]] = [TERMS["absolute"].measure]
    terms += [TERMS["sfnet"].measure] if isinstance(within, SFNet) else []
    while (part := (time.process_time() - begun) / seconds) < 1:
        clean, degraded = pictures.batch()
        reference = pictures.shown(shown, clean, degraded)
        restored, trace = network(degraded, NOTHING if reference is None else Guidance(reference=reference), trace=True)
        loss = torch.stack([term(Judged(restored, degraded, clean, trace)) for term in terms]).sum()
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * min(1, (step + 1) / 10) * (1 - 0.95 * part)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([*parameters.values()], 1.0)
        optimizer.step()
        step += 1
    return step


@torch.no_grad()
def scored(network: nn.Module, photographs: list[Tensor], place: int, dark: bool) -> dict[str, list[float]]:
    """PSNR in dB of a part of each photograph, by what is shown; the same noise and the same pictures for all."""
    network.eval()
    pictures = Pictures(photographs, CROP, place, 62, dark)
    clean = torch.stack([photograph[:, 100 : 100 + CROP, 100 : 100 + CROP] for photograph in photographs])
    degraded, found = pictures.degraded(clean), {}
    for what in SHOWN:
        reference = pictures.shown(what, clean, degraded)
        restored = torch.cat(
            [
                network(one[None], NOTHING if reference is None else Guidance(reference=reference[number][None]))
                for number, one in enumerate(degraded)
            ]
        )
        found[what] = (-10 * (restored.clamp(0, 1) - clean).square().mean((1, 2, 3)).log10()).tolist()
    return found


PAIRS = (("clean", "none"), ("other", "none"), ("degraded", "none"), ("clean", "other"), ("clean", "degraded"))


def summed(scores: dict[str, list[list[float]]], pairs: Sequence[tuple[str, str]] = PAIRS) -> dict[str, Any]:
    """Means, and differences with intervals of 95 % over photographs and seeds."""
    told: dict[str, Any] = {shown: float(torch.tensor(values).mean()) for shown, values in scores.items()}
    for one, other in pairs:
        found = paired_difference(scores[one], scores[other])
        told[f"{one} - {other}"] = [round(value, 3) for value in (found.mean, found.low, found.high)]
    return told


if __name__ == "__main__":
    main()
