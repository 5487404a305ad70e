"""A network of your own, trained, boosted, stored, loaded and scored: `python examples/boost_your_network.py
PHOTOGRAPHS`."""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import pellucid


class Plain(nn.Module):
    """Three convolutions that say what to add to an image (B, 3, H, W) in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 3, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """The image with less noise."""
        restored: Tensor = image + self.layers(image)
        return restored


def main(photographs: Path, out: Path = Path("runs/research"), steps: int = 300) -> None:
    """Trains on a folder of photographs, the last of which are held out, and scores on the folder."""
    noise = ["noise sigma=10..50"]
    network = pellucid.fit(Plain(), photographs, degradations=noise, steps=steps, crop=64)
    boosted = pellucid.boost(network, prior="statistics", freeze_network=True)
    pellucid.fit(boosted, photographs, degradations=noise, steps=steps, crop=64, loss="charbonnier + 0.1 ssim")
    pellucid.save(boosted, out / "boosted.safetensors")
    restorer = pellucid.load(out / "boosted.safetensors", network=Plain())
    restored = restorer(torch.rand(1, 3, 120, 160))
    print(f"a picture of {tuple(restored.shape)}, restored")
    print(pellucid.evaluate({"plain": network, "boosted": boosted}, photographs, sigmas=[25], out=out))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
