"""The embedded models: what ships is small, whole, and does what its card says."""

import colorsys
import json
from pathlib import Path

import pytest
import skimage.data
import torch

import pellucid
from pellucid import images
from pellucid.degradations import parse
from pellucid.images.resizing import bicubic
from pellucid.metrics import NoiseStream, find_protocol
from pellucid.models.file import describe_model
from pellucid.models.hub import EMBEDDED, find_model
from pellucid.refinement import Boosted


@pytest.fixture(scope="module")
def restorer():
    return pellucid.load("default")


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_file_is_small_and_documented(name):
    path = find_model(name)
    most = {"colorize": 8e6, "inpaint": 8e6, "fast": 4 * 2**20, "upscale": 6e6, "upscale-bicubic": 6e6}
    assert path.stat().st_size <= most.get(name, 17e6)
    header = describe_model(path).as_dict()
    assert header["card"]["licence"]
    assert header["card"]["numbers"]["rows"]
    assert header["card"]["trained"]["degradations"]
    documents = Path(__file__).parents[2] / "docs" / "models" / name
    for suffix in (".md", ".yaml", ".log.jsonl"):
        assert documents.with_suffix(suffix).is_file()
    for line in documents.with_suffix(".log.jsonl").read_text().splitlines():
        json.loads(line)


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_model_does_the_same_by_its_name_and_by_its_path(name, tmp_path):
    copied = tmp_path / "mine.safetensors"
    copied.write_bytes(find_model(name).read_bytes())
    named, by_path = pellucid.load(name), pellucid.load(copied)
    assert named.policy == by_path.policy
    # What is to be larger cannot stay as it is, and what is told in words asks nobody else.
    assert named.policy.leave_alone == (not name.startswith(("upscale", "generate", "colorize", "inpaint")))
    assert named.diagnoser is by_path.diagnoser
    assert (named.diagnoser is None) == (name != "denoise")  # the others diagnose by themselves


def test_denoise_is_its_network_alone():
    """Its R gained nothing on photographs held back (experiment 60)."""
    header = describe_model(find_model("denoise"))
    assert (header.refinement, header.prior) == (None, None)
    assert not isinstance(pellucid.load("denoise").model, Boosted)


@pytest.mark.parametrize(("name", "prior"), [("default", "diagnosis"), ("fast", "diagnosis")])
def test_it_is_boosted_by_an_embedded_prior_with_under_a_million_parameters(name, prior):
    model = pellucid.load(name).model
    assert isinstance(model, Boosted)
    assert prior in describe_model(find_model(name)).as_dict()["prior"]
    assert sum(value.numel() for value in model.refinement.parameters()) < 1_000_000


@pytest.mark.parametrize(("sigma", "gain"), [(15, 7), (25, 9), (50, 12)])
@pytest.mark.parametrize("name", ["default", "denoise"])
def test_it_removes_noise_from_a_photograph_it_has_not_seen(name, sigma, gain):
    clean = images.to_tensor(skimage.data.astronaut())[:, :, 0:160, 150:310]
    protocol = find_protocol("gaussian-colour")
    degraded = NoiseStream(protocol).degrade(clean, sigma)
    restored = pellucid.load(name).restore_image(degraded)
    before, after = (float(protocol.score(image, clean).psnr) for image in (degraded, restored))
    assert after > before + gain


GAINS = {
    "default": {
        "jpeg quality=10": 0.8,
        "defocus radius=3": 2,
        "rain-lines amount=60": 5,
        "rain amount=60": 3,
        "haze amount=60": 3,
        "low-light exposure=0.1 noise=5": 5,
        "noise sigma=15, jpeg quality=60": 2,
    },
    "fast": {
        "jpeg quality=10": 0.3,
        "rain-lines amount=60": 3,
        "low-light exposure=0.1 noise=5": 4,
    },
}


@pytest.mark.parametrize(("name", "text", "gain"), [(name, *pair) for name in GAINS for pair in GAINS[name].items()])
def test_it_restores_what_it_is_not_told(name, text, gain):
    clean = images.to_tensor(skimage.data.coffee())[:, :, 40:360, 100:500]
    degraded = images.quantise(parse(text)(clean, torch.Generator().manual_seed(0)).clamp(0, 1), 8)
    protocol = find_protocol("synthetic-rgb")
    restored = pellucid.load(name).restore_image(degraded)
    before, after = (float(protocol.score(image, clean).psnr) for image in (degraded, restored))
    assert after > before + gain


def brightened(picture):
    """What `default` makes of (1, 3, H, W) where it is told that it is dark."""
    return pellucid.load("default", only=("low-light",)).restore_image(picture)


def test_a_dark_portrait_keeps_its_hues_and_gets_no_halo():
    """Beside hair and rocket the ground was ringed once. By the same portrait in light: the hues of its flag, and how
    even its plain ground is once the noise, which is finer, is averaged away."""
    clean = images.to_tensor(skimage.data.astronaut())
    dark = parse("low-light exposure=0.08 noise=10")(clean[0], torch.Generator().manual_seed(0))[None]
    bright = brightened(dark)
    assert 0.6 < float(bright.mean() / clean.mean()) < 1.5
    for rows, columns in ((slice(120, 200), slice(20, 45)), (slice(40, 100), slice(10, 40))):  # red and blue
        hues = []
        for image in (clean, bright):
            red, green, blue = image[0, :, rows, columns].mean((1, 2)).tolist()
            hues.append(colorsys.rgb_to_hsv(red, green, blue))
        assert abs((hues[1][0] - hues[0][0] + 0.5) % 1 - 0.5) < 15 / 360
        assert hues[1][1] > 0.7 * hues[0][1]
    ground = (slice(None), slice(None), slice(20, 180), slice(300, 392))
    spread = [
        torch.nn.functional.avg_pool2d(image[ground].mean(1, keepdim=True), 8).std() / image[ground].mean()
        for image in (clean, bright)
    ]
    assert float(spread[1]) < 1.6 * float(spread[0])


@pytest.mark.parametrize(("low", "high"), [(0.02, 0.1), (0.01, 0.3)])
def test_a_step_in_the_dark_gets_no_halo(low, high):
    """Each side stays as even as it was: next to the step it is as far from it."""
    step = torch.full((1, 3, 192, 256), low)
    step[..., 128:] = high
    step = images.quantise(step + 0.5 / 255 * torch.randn(step.shape, generator=torch.Generator().manual_seed(0)), 8)
    row = brightened(step.clamp(0, 1))[0, :, 60:130].mean((0, 1))
    for near, far in ((row[118:126], row[70:100]), (row[130:138], row[156:186])):
        assert abs(float(near.mean() - far.mean())) < 0.03
    assert float(row[128:].mean() - row[:128].mean()) > high - low


@pytest.mark.parametrize(
    ("photograph", "text", "gain"), [("astronaut", "shake length=12", 2), ("chelsea", "shake length=10", 1.5)]
)
def test_it_sharpens_a_shaken_photograph(restorer, photograph, text, gain):
    clean = images.to_tensor(getattr(skimage.data, photograph)())[:, :, :296, :400]
    degraded = images.quantise(parse(text)(clean[0], torch.Generator().manual_seed(0)).clamp(0, 1), 8)[None]
    protocol = find_protocol("synthetic-rgb")
    before, after = (float(protocol.score(image, clean).psnr) for image in (degraded, restorer.restore_image(degraded)))
    assert after > before + gain


@pytest.mark.parametrize("value", [0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize(("name", "most"), [("default", 0.03), ("fast", 0.06)])
def test_a_blank_page_stays_blank(name, most, value):
    """It is like no photograph, and was taken for haze; what is left is at the corners, and R's."""
    page = torch.full((1, 3, 200, 300), value)
    assert (pellucid.load(name).restore_image(page) - page).abs().max() < most
    noisy = images.quantise(parse("noise sigma=20")(page[0], torch.Generator().manual_seed(0)).clamp(0, 1), 8)[None]
    before, after = ((image - page).square().mean() for image in (noisy, pellucid.load(name).restore_image(noisy)))
    assert after < before / 2


@pytest.mark.parametrize("photograph", ["astronaut", "chelsea", "coffee", "rocket"])
def test_it_changes_little_in_a_clean_photograph_even_if_it_must(restorer, photograph):
    """What it takes from the rocket, at 36 dB, is the grain of the evening sky."""
    clean = images.to_tensor(getattr(skimage.data, photograph)())
    assert float(find_protocol("synthetic-rgb").score(restorer.restore_image(clean), clean).psnr) > 35


def test_it_removes_noise_from_a_grey_photograph(restorer):
    """Grey noise is the same in all channels: a network that has only seen independent noise leaves it alone."""
    clean = images.to_tensor(skimage.data.camera())[:, :, 100:260, 150:310]
    protocol = find_protocol("gaussian-grey")
    degraded = NoiseStream(protocol).degrade(clean, 25)
    before, after = (float(protocol.score(image, clean).psnr) for image in (degraded, restorer.restore_image(degraded)))
    assert after > before + 6


def test_tiles_do_not_show(restorer):
    clean = images.to_tensor(skimage.data.chelsea())
    degraded = NoiseStream(find_protocol("gaussian-colour")).degrade(clean, 25)
    exact = {"tile": 0, "precision": "float32"}
    whole = pellucid.load("default", **exact).restore_image(degraded)
    tiled = pellucid.load("default", **exact | {"tile": 128, "memory": "16MB"}).restore_image(degraded)
    assert -10 * (whole - tiled).square().mean().log10() > 50


def test_a_shaken_photograph_of_odd_size_is_the_same_in_tiles():
    """The kernel is the photograph's, with neither the tile's borders nor the padding to the network's multiple."""
    clean = images.to_tensor(skimage.data.chelsea())[0, :, :299, :301]
    degraded = parse("shake length=15")(clean, torch.Generator().manual_seed(1)).clamp(0, 1)[None]
    whole, tiled = (
        pellucid.load("default", tile=tile, precision="float32").restore_image(degraded) for tile in (0, 256)
    )
    assert -10 * (whole - tiled).square().mean().log10() > 50


def test_bfloat16_is_close_to_float32(restorer):
    degraded = torch.rand(1, 3, 64, 64)
    low, high = (pellucid.load("default", precision=name).restore_image(degraded) for name in ("bfloat16", "float32"))
    assert -10 * (low - high).square().mean().log10() > 45


def test_the_public_call_keeps_what_a_file_has(tmp_path):
    source = tmp_path / "näh.jpg"
    pixels = images.to_tensor(skimage.data.coffee())[:, :, :64, :80]
    images.write(
        images.Photograph(pixels, metadata=images.Metadata(xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")), source
    )
    pellucid.restore(source, tmp_path / "out.jpg")
    restored = images.read(tmp_path / "out.jpg")
    assert restored.pixels.shape == pixels.shape
    assert restored.metadata.xmp == images.read(source).metadata.xmp
    with pytest.raises(pellucid.errors.ImageError, match="is the input itself"):
        pellucid.restore(source, source)


@pytest.mark.parametrize(("name", "gain"), [("default", 0.8), ("fast", 0.3)])
def test_a_jpeg_that_was_cropped_is_restored_as_well(name, gain):
    """Its blocks then lie anywhere."""
    clean = images.to_tensor(skimage.data.coffee())[:, :, 40:280, 100:420]
    degraded = parse("jpeg quality=10")(clean, torch.Generator()).clamp(0, 1)
    protocol = find_protocol("synthetic-rgb")
    gains = []
    for down, across in ((0, 0), (3, 5)):
        crop, truth = (image[:, :, down:, across:] for image in (degraded, clean))
        restored = pellucid.load(name).restore_image(crop)
        assert restored.shape == crop.shape
        before, after = (float(protocol.score(image, truth).psnr) for image in (crop, restored))
        gains.append(after - before)
    assert min(gains) > gain
    assert abs(gains[0] - gains[1]) < 0.1


def test_a_photograph_without_colour_gets_none():
    clean = images.to_tensor(skimage.data.coffee()).mean(1, keepdim=True)[:, :, 40:200, 100:300]
    degraded = images.quantise(parse("haze amount=60")(clean, torch.Generator().manual_seed(0)).clamp(0, 1), 8)
    restored = pellucid.load("default", always=True).restore_image(degraded.expand(-1, 3, -1, -1))
    assert torch.equal(restored[:, 0], restored[:, 1])
    assert torch.equal(restored[:, 0], restored[:, 2])
    assert not torch.equal(restored[:, :1], degraded)


@pytest.mark.parametrize(("scale", "gain"), [(2, 1.0), (3, 0.6), (4, 0.5)])
def test_small_pictures_are_enlarged_better_than_by_the_bicubic_kernel(scale, gain):
    clean = images.to_tensor(skimage.data.astronaut())[:, :, 0:192, 120:312]
    small = bicubic(clean, 192 // scale, 192 // scale, stored=True)
    protocol = find_protocol(f"super-resolution-y-x{scale}")
    large = pellucid.load("upscale-bicubic", scale=scale).restore_image(small)
    before, after = (float(protocol.score(image, clean).psnr) for image in (bicubic(small, 192, 192), large))
    assert after > before + gain


def test_noise_and_blocks_are_not_enlarged():
    """The blind network on a small JPEG with noise, beside its twin, which takes both for detail."""
    clean = images.to_tensor(skimage.data.astronaut())[:, :, 0:256, 100:356]
    small = parse("noise sigma=6, jpeg quality=60")(
        bicubic(clean, 64, 64, stored=True)[0], torch.Generator().manual_seed(0)
    )[None]
    protocol = find_protocol("super-resolution-y-x4")
    blind, twin = (
        float(protocol.score(pellucid.load(name, scale=4).restore_image(small), clean).psnr)
        for name in ("upscale", "upscale-bicubic")
    )
    assert blind > twin + 0.3


def test_with_a_scale_and_no_name_it_is_upscale():
    assert pellucid.load(scale=2.5).name == "upscale"
    assert pellucid.load("fast", scale=2)(torch.rand(1, 3, 20, 24)).shape == (1, 3, 40, 48)
