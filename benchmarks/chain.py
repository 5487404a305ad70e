"""What guidance by words is worth to small networks: image, words, cleaned words, guidance image, guided restoration.

    python benchmarks/chain.py --words two/words.safetensors --small small --network nafnet --network restormer \
        --seeds 3 --out chain.json

Of the pictures of `small_pipeline.py`, 64 pixels under noise of sigma 50. A guidance image is made of each degraded
picture alone, by its words cleaned (`made`) and as they are (`uncleaned`, as the paper's table 11). As in
`guidance.py`, the network within learns alone first and then stays as it is; encoder and fusions learn beside one kind
of picture, and are shown the same kind on photographs held out: `clean` (the clean picture, rolled and with its
channels brighter or darker), `made`, `uncleaned`, `other` (another clean picture), `degraded` (the picture itself), and
`none`, which is the network within. `clean, made`: taught beside clean pictures, shown made ones.

`guidance images`: PSNR in dB, against the clean picture, of the guidance image itself, of another one's, and of the
clean picture's mean colour: whether it shows anything of its picture.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from guidance import GAIN, NETWORKS, REACH, SIGMA, learnt, summed
from small_pipeline import SIDE
from torch import Tensor, nn

from pellucid import images
from pellucid.data.folders import list_photographs
from pellucid.diffusion.guidance_image import GuidanceMaker, load_guidance_maker
from pellucid.guidance import NOTHING, Guidance
from pellucid.models.tables import build_network
from pellucid.networks import Guided
from words import squares

BATCH = 8
TAUGHT = ("clean", "made", "uncleaned", "other", "degraded")
PAIRS = (
    *((kind, "none") for kind in (*TAUGHT, "clean, made")),
    ("made", "uncleaned"), ("made", "other"), ("made", "degraded"), ("clean", "made"),
)  # fmt: skip


def main() -> None:
    """Makes guidance images, trains, measures and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--words", type=Path, required=True)
    parser.add_argument("--small", type=Path, required=True, help="The folder that small_pipeline.py has made.")
    parser.add_argument("--network", action="append", choices=list(NETWORKS), required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=512, help="To learn from; one of three places of a photograph.")
    parser.add_argument("--steps", type=int, default=20, help="Of DDIM.")
    parser.add_argument("--host-seconds", type=float, default=24, help="Of the processor, for the network within.")
    parser.add_argument("--seconds", type=float, default=14, help="Of the processor, for encoder and fusions.")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    maker = load_guidance_maker(options.words)
    training = list_photographs(options.small / "photographs")
    held_out = squares(list_photographs(options.small / "held-out"))
    learns = Shown(maker, parts(training, options.pictures), options.steps, 0)
    judges = Shown(maker, held_out, options.steps, 1)
    found: dict[str, Any] = {"guidance images": judges.likeness()}
    print(json.dumps(found), flush=True)
    for name in options.network:
        settings, side, place = NETWORKS[name]
        learns.begin(side, place, 0)
        torch.manual_seed(0)
        host = build_network(name, settings)
        steps: dict[str, list[int]] = {"none": [learnt(host, learns, "none", options.host_seconds, 3e-3)]}
        scores: dict[str, list[list[float]]] = {}
        for seed in range(options.seeds):
            scores.setdefault("none", []).append(scored(host, judges, "none", place))
            for taught in TAUGHT:
                torch.manual_seed(seed)
                own = {"blocks": 1, "encoder_blocks": 1}
                network = build_network("guided", {"network": {"name": name, "settings": settings}, **own})
                assert isinstance(network, Guided)
                network.network.load_state_dict(host.state_dict())
                network.network.requires_grad_(False)
                learns.begin(side, place, 1 + seed)
                steps.setdefault(taught, []).append(learnt(network, learns, taught, options.seconds, 4e-3, 10))
                scores.setdefault(taught, []).append(scored(network, judges, taught, place))
                if taught == "clean":
                    scores.setdefault("clean, made", []).append(scored(network, judges, "made", place))
            found[name] = {"steps": steps, "scores": scores, **summed(scores, PAIRS)}
            print(json.dumps({name: {key: value for key, value in found[name].items() if key != "scores"}}), flush=True)
            options.out.write_text(json.dumps(found))


def parts(files: list[Path], count: int) -> Tensor:
    """So many parts of photographs, (count, 3, SIDE, SIDE), drawn one after the other."""
    generator = torch.Generator().manual_seed(74)
    found = []
    for number in range(count):
        picture = images.read(files[number % len(files)]).pixels[0].float()
        top, left = (int(torch.randint(side - SIDE + 1, (), generator=generator)) for side in picture.shape[1:])
        part = picture[:, top : top + SIDE, left : left + SIDE]
        found.append(part.flip(2) if number // len(files) % 2 else part)
    return torch.stack(found)


class Shown:
    """Pictures, each degraded once, and what is shown beside them; batches of their crops for `guidance.learnt`.

    Args:
        maker: of guidance images.
        clean: pictures, (n, 3, SIDE, SIDE).
        steps: of DDIM.
        seed: of the noise.
    """

    def __init__(self, maker: GuidanceMaker, clean: Tensor, steps: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.clean, self.degraded = clean, clean + SIGMA * torch.randn(clean.shape, generator=generator)
        seen = torch.split(self.degraded.clamp(0, 1), 64)  # as a file would hold it
        self.pictures = {
            kind: torch.cat([maker.guidance_of(some, clean=kind == "made", steps=steps) for some in seen])
            for kind in ("made", "uncleaned")
        }
        self.begin(SIDE, 1, seed)

    def begin(self, side: int, place: int, seed: int) -> None:
        """Draws from here on crops of a side, and rolls pictures by multiples of a place."""
        self.side, self.place = side, place
        self.generator = torch.Generator().manual_seed(seed)
        self.rows, self.corner = torch.arange(len(self.clean)), (0, 0)

    def below(self, count: int) -> int:
        """A whole number from 0 on."""
        return int(torch.randint(count, (), generator=self.generator))

    def batch(self) -> tuple[Tensor, Tensor]:
        """Clean and degraded crops, (BATCH, 3, side, side); `shown` is of the same ones."""
        self.rows = torch.randint(len(self.clean), (BATCH,), generator=self.generator)
        self.corner = self.below(SIDE - self.side + 1), self.below(SIDE - self.side + 1)
        return self.crops(self.clean), self.crops(self.degraded)

    def crops(self, pictures: Tensor) -> Tensor:
        """Of pictures (n, 3, SIDE, SIDE), those of the batch."""
        top, left = self.corner
        return pictures[self.rows, :, top : top + self.side, left : left + self.side]

    def shown(self, what: str, clean: Tensor, degraded: Tensor) -> Tensor | None:
        """What stands beside the crops of a batch."""
        if what in ("none", "degraded"):
            return None if what == "none" else degraded
        if what in self.pictures:
            return self.crops(self.pictures[what])
        gains = 1 + GAIN * (2 * torch.rand(len(clean), 3, 1, 1, generator=self.generator) - 1)
        rolls = [self.place * (self.below(2 * REACH + 1) - REACH) for _ in range(2)]
        return ((clean if what == "clean" else clean.roll(1, 0)).roll(rolls, (2, 3)) * gains).clamp(0, 1)

    def likeness(self) -> dict[str, float]:
        """PSNR in dB of the guidance images, of another picture's, and of the mean colour, against the clean ones."""
        mean = self.clean.mean((2, 3), keepdim=True).expand_as(self.clean)
        compared = {**self.pictures, "of another": self.pictures["made"].roll(1, 0), "mean colour": mean}
        return {kind: sum(psnr(picture, self.clean)) / len(picture) for kind, picture in compared.items()}


def psnr(pictures: Tensor, clean: Tensor) -> list[float]:
    """In dB, of each."""
    values: list[float] = (-10 * (pictures.clamp(0, 1) - clean).square().mean((1, 2, 3)).log10()).tolist()
    return values


@torch.no_grad()
def scored(network: nn.Module, pictures: Shown, what: str, place: int) -> list[float]:
    """PSNR in dB of each whole picture, shown one kind."""
    network.eval()
    pictures.begin(SIDE, place, 62)
    reference = pictures.shown(what, pictures.clean, pictures.degraded)
    restored = []
    for rows in torch.split(torch.arange(len(pictures.clean)), 20):
        shown = NOTHING if reference is None else Guidance(reference=reference[rows])
        restored.append(network(pictures.degraded[rows], shown))
    return psnr(torch.cat(restored), pictures.clean)


if __name__ == "__main__":
    main()
