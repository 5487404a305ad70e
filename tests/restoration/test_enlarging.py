"""Enlarging: which scales make which size, and what becomes of any picture."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pellucid import images
from pellucid.diffusion.network import Generative
from pellucid.errors import ImageError, SettingsError
from pellucid.images.resizing import bicubic
from pellucid.networks import UNet, Upscaler
from pellucid.restoration import restorer as room
from pellucid.restoration.enlarging import sides_of, steps_to
from pellucid.restoration.restorer import Restorer


class Double(nn.Module):
    """A module of somebody else's that enlarges by 2 alone."""

    scale = 2

    def forward(self, image):
        return nn.functional.interpolate(image, scale_factor=2, mode="nearest")


def bicubic_network():
    """An upscaler that has learnt nothing yet, and adds nothing."""
    network = Upscaler(width=4, blocks=1, scales=(2, 3, 4)).eval()
    for head in network.heads.values():
        nn.init.zeros_(head.weight)
    return network


@pytest.mark.parametrize(
    ("scale", "steps"),
    [(2, (2,)), (4, (4,)), (2.5, (3,)), (1.01, (2,)), (5, (3, 2)), (6, (3, 2)), (6.5, (4, 2)), (8, (4, 2))],
)
def test_the_next_larger_size_is_made(scale, steps):
    assert steps_to(scale, (2, 3, 4)) == steps


def test_what_cannot_be_reached_is_refused():
    with pytest.raises(SettingsError, match="4 at most"):
        steps_to(4.1, (2,))
    for wrong in (0, 1, -2, 8.5, 100, float("nan"), True, "two"):
        with pytest.raises(SettingsError, match="scale must be a number above 1 and up to 8"):
            Restorer(bicubic_network(), scale=wrong)


@pytest.mark.parametrize("scale", [2, 3, 4, 2.5, 5, 8])
@pytest.mark.parametrize("sides", [(1, 1), (7, 5)])
def test_any_size_grows_by_any_scale(scale, sides):
    image = torch.rand(1, 3, *sides)
    large = Restorer(bicubic_network(), scale=scale).restore_image(image)
    assert large.shape[2:] == sides_of(*sides, scale)
    assert float((large.mean() - image.mean()).abs()) < 0.1


def test_half_pixels_count():
    assert sides_of(37, 53, 2.5) == (93, 133)


def test_tiles_give_what_the_whole_gives():
    torch.manual_seed(0)
    network, image = Upscaler(width=4, blocks=2, scales=(2, 3)).eval(), torch.rand(1, 3, 150, 90)
    whole, cut = (Restorer(network, scale=3, tile=tile, precision="float32").restore_image(image) for tile in (0, 64))
    assert (whole - cut).abs().max() < 1e-4


@pytest.mark.parametrize(("mode", "depth"), [("RGBA", np.uint8), ("RGB", np.uint16), ("L", np.uint8), ("LA", np.uint8)])
def test_files_of_all_kinds_keep_theirs(tmp_path, mode, depth):
    channels = len(mode)
    draw = np.random.default_rng(0)
    array = draw.integers(0, np.iinfo(depth).max, (37, 53, channels), dtype=depth)
    if channels in (2, 4):
        array[:10, :, -1] = 0
    colours, alpha = (array[..., :-1], array[..., -1:]) if channels in (2, 4) else (array, None)
    top = np.iinfo(depth).max

    def planes(values):
        return torch.from_numpy(values.astype(np.float32) / top).permute(2, 0, 1)[None]

    photograph = images.Photograph(
        planes(colours).expand(-1, 3, -1, -1).contiguous(),
        None if alpha is None else planes(alpha),
        grey=mode in ("L", "LA"),
        bits=16 if depth is np.uint16 else 8,
    )
    images.write(photograph, tmp_path / "small.png")
    restorer = Restorer(bicubic_network(), scale=2)
    made = restorer(tmp_path / "small.png")
    read, was = images.read(made), images.read(tmp_path / "small.png")
    assert read.pixels.shape[2:] == (74, 106)
    assert (read.grey, read.bits) == (was.grey, was.bits)
    assert (read.alpha is None) == (alpha is None)
    if alpha is not None:
        assert read.alpha.shape[2:] == (74, 106)
        assert float(read.alpha[..., :16, :].max()) == 0


def test_metadata_tell_the_new_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769).update({0xA002: 20, 0xA003: 12, 0x9214: (5, 4, 6, 2)})  # its subject: centre, width, height
    Image.new("RGB", (20, 12), (90, 120, 30)).save(tmp_path / "small.jpg", exif=exif, dpi=(300, 300))
    made = Restorer(bicubic_network(), scale=4)(tmp_path / "small.jpg")
    with Image.open(made) as large:
        assert large.size == (48, 80)
        told = large.getexif()
        assert told.get(0x0112, 1) == 1
        assert (told.get_ifd(0x8769)[0xA002], told.get_ifd(0x8769)[0xA003]) == (48, 80)
        assert told.get_ifd(0x8769)[0x9214] == (4 * 8, 4 * 5, 4 * 2, 4 * 6)  # upright, and four times as large
        assert large.info["dpi"] == (300, 300)


def test_grey_stays_grey():
    torch.manual_seed(0)
    network = Upscaler(width=4, blocks=1, scales=(2,)).eval()
    large = Restorer(network, scale=2).restore_image(torch.rand(1, 1, 9, 8).expand(-1, 3, -1, -1))
    assert torch.equal(large[:, 0], large[:, 2])


def test_a_network_of_one_scale_is_made_smaller_or_taken_twice():
    image = torch.rand(1, 3, 6, 5)
    assert Restorer(Double(), scale=1.5).restore_image(image).shape[2:] == (9, 8)
    assert Restorer(Double(), scale=4).restore_image(image).shape[2:] == (24, 20)
    with pytest.raises(SettingsError, match="4 at most"):
        Restorer(Double(), scale=5)


def test_a_model_that_keeps_the_size_restores_first(monkeypatch):
    monkeypatch.setattr(room, "_embedded_enlarger", lambda options: Restorer(bicubic_network(), scale=options.scale))
    network, image = UNet.tiny().eval(), torch.rand(1, 3, 12, 16)
    restored = Restorer(network, precision="float32").restore_image(image)
    first = Restorer(network, scale=2, precision="float32")
    large, decision = first.restore_and_explain(image)
    assert decision.scale == 2
    assert not decision.unchanged
    assert "enlarged 2 times" in decision.words()
    torch.testing.assert_close(
        large[..., 4:-4, 4:-4], bicubic(restored, 24, 32).clamp(0, 1)[..., 4:-4, 4:-4], atol=1e-3, rtol=0
    )
    half = Restorer(network, scale=2, strength=0.0).restore_image(image)
    torch.testing.assert_close(
        half[..., 4:-4, 4:-4], bicubic(image, 24, 32).clamp(0, 1)[..., 4:-4, 4:-4], atol=1e-3, rtol=0
    )


def test_a_text_for_size_alone_restores_nothing(monkeypatch):
    monkeypatch.setattr(room, "_embedded_enlarger", lambda options: Restorer(bicubic_network(), scale=options.scale))
    network, image = UNet.tiny().eval(), torch.rand(1, 3, 12, 16)
    alone = Restorer(network, text="make it twice as large", precision="float32")
    large, decision = alone.restore_and_explain(image)
    assert torch.equal(large, Restorer(bicubic_network(), scale=2).restore_image(image))
    assert decision.words() == "left alone the text asks for size alone; enlarged 2 times"
    both = Restorer(network, text="restore it and make it twice as large", precision="float32")
    assert not torch.equal(both.restore_image(image), large)


def test_a_model_that_samples_draws_on_the_enlarged_picture(monkeypatch, tmp_path):
    """As if the enlarged picture had been restored; a region is where it was in the small one."""
    monkeypatch.setattr(room, "_embedded_enlarger", lambda options: Restorer(bicubic_network(), scale=options.scale))
    torch.manual_seed(0)
    network, image = Generative.tiny().eval(), torch.rand(1, 3, 24, 40)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.08 * torch.randn_like(value))
    told = {"precision": "float32", "control": {"steps": 2}, "seed": 3}
    enlarged = Restorer(bicubic_network(), scale=2).restore_image(image)
    large, decision = Restorer(network, scale=2, **told).restore_and_explain(image)
    assert torch.equal(large, Restorer(network, prompt="sr 2x", **told).restore_image(enlarged))
    assert (decision.scale, decision.sampling["prompt"]) == (2, "sr 50")
    part = {"region": {"here": "8,4,24,16"}, "prompt": "denoise 40 @here"}
    placed = Restorer(network, scale=2, **told, **part).restore_image(image)
    changed = (placed - enlarged).abs().amax((0, 1)) > 1e-4
    assert changed[8:32, 16:48].any()
    changed[8:32, 16:48] = False
    assert not changed.any()
    mask = images.Photograph(torch.ones(1, 3, 24, 40))
    images.write(mask, tmp_path / "mask.png")
    with pytest.raises(SettingsError, match="of the small picture"):
        Restorer(network, scale=2, mask=tmp_path / "mask.png", **told)
    other = {"region": {"here": str(tmp_path / "mask.png")}, "prompt": "denoise 40 @here"}
    with pytest.raises(SettingsError, match="region 'here' is of 40 x 24 pixels, the picture of 50 x 30"):
        Restorer(network, scale=2, **told, **other).restore_image(torch.rand(1, 3, 30, 50))


def test_strength_is_for_models_that_keep_the_size():
    with pytest.raises(SettingsError, match="mixes images of one size"):
        Restorer(bicubic_network(), scale=2, strength=0.5)


def test_a_picture_that_no_memory_holds_is_refused(monkeypatch):
    monkeypatch.setattr(room, "available_memory", lambda device: 1 << 20)
    with pytest.raises(ImageError, match="choose a smaller scale"):
        Restorer(bicubic_network(), scale=8, memory="1GB").restore_image(torch.rand(1, 3, 64, 64))


def test_all_orientations_are_asked_and_turned_back():
    """The mean does not mind how a picture lies, and is that of the eight answers."""
    torch.manual_seed(0)
    network, image = Upscaler(width=4, blocks=1, scales=(2,)).eval(), torch.rand(1, 3, 10, 7)
    one, all_eight = (Restorer(network, scale=2, orientations=more, precision="float32") for more in (False, True))
    mean = all_eight.restore_image(image)
    turned = all_eight.restore_image(torch.rot90(image, 1, (2, 3)).flip(3))
    torch.testing.assert_close(torch.rot90(turned.flip(3), -1, (2, 3)), mean, atol=1e-5, rtol=0)
    answers = []
    for turns in range(4):
        for flips in ([], [3]):
            made = one.network(torch.rot90(image, turns, (2, 3)).flip(flips)).flip(flips)
            answers.append(torch.rot90(made, -turns, (2, 3)))
    torch.testing.assert_close(mean, torch.stack(answers).mean(0).clamp(0, 1), atol=1e-5, rtol=0)
    assert not torch.allclose(mean, one.restore_image(image), atol=1e-4)


def test_orientations_are_for_one_network():
    with pytest.raises(SettingsError, match="orientations are for models that are one network"):
        Restorer(Double(), orientations=True)
