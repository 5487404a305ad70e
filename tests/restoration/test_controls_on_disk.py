"""Every control of pictures that lie on the disk, against the same in memory."""

import pytest
import skimage.data
import torch
from torch import nn
from torch.nn import functional as F

from pellucid import images
from pellucid.restoration.control import Controls, controlled
from pellucid.restoration.restorer import Restorer
from pellucid.scratch import on_disk
from support.streaming import laid_on_disk, small_bands

CONTROLS = [
    {"strength": 0.4},
    {"detail": 0.7},
    {"luminance": 0.2},
    {"chroma": 0.0, "strength": 0.8},
    {"faithful": 3.0},
    {"mask": True},
    {"mask": True, "feather": 30},
    {"mask": True, "feather": 0, "faithful": 2.0, "detail": 0.5, "luminance": 0.9, "chroma": 0.3, "strength": 0.7},
    {"crop": "31,17,140,120", "detail": 0.3},
    {"crop": "31,17,140,120", "faithful": 2.0, "mask": True},
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A photograph with alpha, and a mask for it, with alpha, too."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels = images.to_tensor(skimage.data.astronaut())[..., :211, :277]
    alpha = torch.ones(1, 1, 211, 277)
    alpha[..., :30, :30] = 0
    images.write(images.Photograph(pixels, alpha=alpha), folder / "photograph.png")
    mask = torch.zeros(1, 3, 211, 277)
    mask[..., 40:180, 20:250] = 1
    mask[..., 90:100, :] = 0.4
    images.write(images.Photograph(mask, alpha=alpha), folder / "mask.png")
    return folder / "photograph.png", folder / "mask.png"


class Tones(nn.Module):
    """Changes tones and colours far beyond every bound, and smooths."""

    def forward(self, image):
        smooth = F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
        return smooth * 0.7 + torch.tensor([0.3, -0.1, 0.2]).view(1, 3, 1, 1) * image


def restorer(**options):
    return Restorer(Tones(), tile=96, precision="float32", **options)


@pytest.mark.parametrize("controls", CONTROLS, ids=lambda controls: "-".join(controls))
def test_the_same_comes_out_from_the_disk_and_from_memory(files, controls):
    photograph, mask = files
    made = restorer(**controls | ({"mask": mask} if "mask" in controls else {}))
    held = made(images.read(photograph))
    with small_bands(1 << 17):
        there = made(images.read(photograph, memory=1))
        assert on_disk(there.pixels)
        torch.testing.assert_close(there.pixels, held.pixels, atol=1e-6, rtol=0)
        torch.testing.assert_close(there.alpha, held.alpha, atol=0, rtol=0)
    if "crop" not in controls:
        assert not torch.allclose(held.pixels, restorer()(images.read(photograph)).pixels, atol=0.01)


@pytest.mark.parametrize("most", [0.5, 4.0])
def test_low_frequencies_stay_within_the_bound_on_the_disk(most):
    generator = torch.Generator().manual_seed(0)
    degraded = torch.rand(1, 3, 130, 150, generator=generator)
    restored = (degraded + 0.2 * torch.randn(1, 3, 130, 150, generator=generator)).clamp(0, 1)
    restored[..., 40:90, 30:60] = 1
    held = controlled(degraded, restored, Controls(faithful=most))
    with small_bands(1 << 16):
        there = controlled(laid_on_disk(degraded), laid_on_disk(restored), Controls(faithful=most))
        assert on_disk(there)
        torch.testing.assert_close(there, held, atol=2e-6, rtol=0)
