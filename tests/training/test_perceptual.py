"""The perceptual loss, against convolutions written out."""

import pytest
import torch
import torch.nn.functional as F

from pellucid.data.batches import Batch
from pellucid.errors import ModelError
from pellucid.guidance import NOTHING
from pellucid.networks import UNet
from pellucid.training.objective import build_objective
from pellucid.training.settings import read_recipe

VGG = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)


def recipe(train):
    data = {"folder": "photographs", "degradations": ["noise sigma=25"], "crop": 16}
    return read_recipe({"name": "test", "data": data, "train": {"steps": 1, "loss": "perceptual"} | train}, "test")


def test_the_perceptual_loss_is_that_of_vgg(tmp_path):
    """With random weights under torchvision's keys, against convolutions written out."""
    batch = Batch(torch.rand(2, 3, 16, 16) * 0.3, torch.rand(2, 3, 16, 16), NOTHING)
    weights, place, before = {"classifier.0.weight": torch.zeros(1)}, 0, 3
    for width in VGG:
        if width == "pool":
            place += 1
            continue
        weights[f"features.{place}.weight"] = torch.randn(width, before, 3, 3) * (2 / (9 * before)) ** 0.5
        weights[f"features.{place}.bias"] = torch.randn(width) * 0.1
        place, before = place + 2, width
    torch.save(weights, tmp_path / "vgg.pth")
    chosen = {"perceptual_weights": str(tmp_path / "vgg.pth")}
    objective = build_objective(recipe(chosen))
    network = UNet.tiny()
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = torch.stack([network(batch.degraded), batch.clean])
    maps = ((images - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)).flatten(0, 1)
    place, stages = 0, []
    for index, width in enumerate(VGG):
        if width == "pool":
            maps, place = F.max_pool2d(maps, 2), place + 1
            continue
        maps = F.conv2d(maps, weights[f"features.{place}.weight"], weights[f"features.{place}.bias"], padding=1).relu()
        place += 2
        if index + 1 == len(VGG) or VGG[index + 1] == "pool":
            first, second = maps.unflatten(0, (2, 2))
            stages.append((first - second).abs().mean().item())
    expected = sum(2.0**-power * stage for power, stage in zip((5, 4, 3, 2, 0), stages, strict=True))
    loss = objective(network, batch)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    loss.backward()
    assert network.head.weight.grad.abs().max() > 0
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"other\.pth: not torchvision's weights of VGG-16"):
        build_objective(recipe({"perceptual_weights": str(tmp_path / "other.pth")}))
