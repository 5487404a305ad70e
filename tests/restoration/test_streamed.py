"""Pictures on the disk are restored as those in memory are, without seams."""

import pytest
import skimage.data
import torch

import pellucid
from pellucid import images
from pellucid.networks import IAT, Deconvolution, PromptIR, UNet
from pellucid.priors import Statistics
from pellucid.refinement import PTGRM, Boosted
from pellucid.restoration.restorer import Restorer
from pellucid.restoration.tiles import Layout, Tiles
from pellucid.scratch import on_disk
from support.streaming import laid_on_disk, psnr, seam_metric, small_bands


def boosted():
    torch.manual_seed(0)
    return Boosted(UNet((8, 16), (1, 1)), Statistics(), PTGRM(Statistics().width, width=8, form="reference"))


def noisy(height, width, sigma=20):
    clean = images.to_tensor(skimage.data.astronaut()).repeat(1, 1, -(-height // 512), -(-width // 512))
    clean = clean[..., :height, :width]
    return (clean + sigma / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    path = tmp_path_factory.mktemp("noisy") / "noisy.png"
    images.write(images.Photograph(noisy(221, 283)), path)
    return path


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (UNet.tiny, {}),
        (boosted, {"memory": 16 << 20, "strength": 0.5}),
        (IAT.tiny, {}),
        (Deconvolution.tiny, {}),
        (lambda: "fast", {"memory": 16 << 20}),
        pytest.param(PromptIR.tiny, {}, marks=pytest.mark.slow),
        pytest.param(lambda: "default", {"memory": 16 << 20}, marks=pytest.mark.slow),
    ],
)
def test_the_same_comes_out_from_the_disk_and_from_memory(photograph, model, options):
    torch.manual_seed(0)
    made = model()
    options = {"tile": 128, "precision": "float32", **options}
    restorer = pellucid.load(made, **options) if isinstance(made, str) else Restorer(made, **options)
    held, said = restorer.restore_and_explain(images.read(photograph))
    with small_bands(1 << 16):
        there, also_said = restorer.restore_and_explain(images.read(photograph, memory=1))
        assert on_disk(there.pixels)
        assert torch.allclose(there.pixels, held.pixels, atol=1e-6)
    assert also_said.words() == said.words()
    assert there.bits == held.bits


def test_what_is_left_alone_is_the_picture_itself(photograph):
    there = images.read(photograph, memory=1)
    assert Restorer(UNet.tiny(), strength=0)(there) is there


def test_a_grey_picture_stays_grey(tmp_path):
    images.write(
        images.Photograph(noisy(90, 130).mean(1, keepdim=True).expand(-1, 3, -1, -1), grey=True), tmp_path / "a.png"
    )
    with small_bands():
        there = Restorer(UNet.tiny(), tile=64)(images.read(tmp_path / "a.png", memory=1))
        assert bool((there.pixels == there.pixels[:, :1]).all())


def compared(name, side, tile):
    """Tiled from the disk against never cut, in memory: PSNR and the seam metric."""
    degraded = noisy(side, side)
    whole = pellucid.load(name, tile=0, precision="float32").restore_image(degraded)
    restorer = pellucid.load(name, tile=tile, memory=16 << 20, precision="float32")
    tiled = restorer.restore_image(laid_on_disk(degraded))
    assert on_disk(tiled)
    tiles = Tiles.of_side(tile, 8)
    return psnr(tiled, whole), seam_metric(tiled, whole, tiles)


def test_no_seam_shows():
    quality, seams = compared("fast", 320, 160)
    assert quality >= 60
    assert seams <= 1.02


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fast", "denoise", "default"])
def test_no_seam_shows_at_four_megapixels(name):
    quality, seams = compared(name, 2048, 448)
    assert quality >= 60
    assert seams <= 1.02


def test_a_seam_would_be_seen():
    """Tiles side by side, without a blend, of a network that sees its border: what the metric is for."""
    degraded = noisy(256, 256)
    tiles = Tiles(128, 16)
    whole = torch.nn.functional.avg_pool2d(degraded, 9, 1, 4, count_include_pad=False)
    cut = whole.clone()
    seam = Layout(256, 256, tiles).places[-1].top + 8
    cut[..., seam:, :] += 0.02
    assert seam_metric(whole, whole, tiles) == pytest.approx(1)
    assert seam_metric(cut, whole, tiles) > 1.1
