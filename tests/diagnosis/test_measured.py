"""What is measured without a network: found where it was made, and not in the photograph as it was."""

import pytest
import skimage.data
import torch

from pellucid import images
from pellucid.degradations import MEASURED, parse
from pellucid.diagnosis import find_bands, find_fringes, measure
from pellucid.diagnosis.tonal_range import clipped_part


def photograph(name="astronaut", side=320):
    """The middle of one of scikit-image's pictures, (1, 3, side, side)."""
    pixels = images.to_tensor(getattr(skimage.data, name)())
    top, left = (max(0, length - side) // 2 for length in pixels.shape[2:])
    return pixels[..., top : top + side, left : left + side]


def degraded(image, text):
    return (parse(text)(image, torch.Generator().manual_seed(1)) * 255).round() / 255


@pytest.mark.parametrize(
    ("text", "tolerance"),
    [
        ("impulse-noise part=0.05", 3),
        ("colour-cast warmth=100", 20),
        ("fading amount=80", 20),
        ("aberration red=5 blue=-4", 25),
        ("banding levels=16", 5),
    ],
)
def test_each_is_named_with_its_severity(text, tolerance):
    clean = photograph()
    kind = "impulses" if text.startswith("impulse") else text.split()[0]
    found = {one.kind: one for one in measure(degraded(clean, text))}
    assert kind in found
    assert abs(found[kind].severity - parse(text).severity) <= tolerance
    assert kind not in {one.kind for one in measure(clean)}
    assert set(found) <= set(MEASURED)


def test_red_and_blue_are_measured_apart():
    found = find_fringes(degraded(photograph(), "aberration red=4 blue=-3"))
    assert found is not None
    assert found.red == pytest.approx(0.004, abs=0.001)
    assert found.blue == pytest.approx(-0.003, abs=0.001)
    assert found.pixels == pytest.approx(0.004 * 320 / 2 * 2**0.5, rel=0.25)
    assert find_fringes(photograph().mean(1, keepdim=True).expand(1, 3, -1, -1)) is None


def test_levels_are_counted_where_they_are_few():
    ramp = torch.linspace(0, 1, 300).expand(1, 3, 64, 300)
    for levels in (8, 16, 40):
        found = find_bands(degraded(ramp, f"banding levels={levels}"))
        assert found is not None
        assert found.levels == pytest.approx(levels, abs=1)
    assert find_bands((ramp * 255).round() / 255) is None
    assert find_bands(images.to_tensor(skimage.data.text()[:, :, None].repeat(3, 2))) is None


def test_light_that_was_too_bright_is_told_from_a_page():
    across = torch.linspace(-1, 1, 200)
    lamp = (1.3 * torch.exp(-3 * (across[:, None] ** 2 + across**2))).clamp_max(1).expand(1, 3, -1, -1)
    assert clipped_part(lamp) == pytest.approx(float((lamp[0, 0] >= 254 / 255).float().mean()), rel=0.1)
    page = torch.ones(1, 3, 200, 200)
    page[..., 40:60, 20:180] = 0.1
    assert clipped_part(page) == 0
    assert clipped_part(torch.zeros(1, 3, 20, 20)) == 0


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (3, 2, 300), (1, 3, 130, 130)])
def test_ugly_pictures_are_measured_too(shape):
    assert measure(torch.zeros(shape)) == ()
    measure(torch.rand(shape))


def test_what_may_be_the_scene_itself_is_told_only_who_asks():
    """A slight cast, and tones that have faded a little: as in many photographs with which nothing is wrong."""
    slight = {"colour-cast": "colour-cast warmth=60", "fading": "fading amount=50"}
    for kind, text in slight.items():
        shown = degraded(photograph(), text)
        assert kind not in {one.kind for one in measure(shown)}
        assert kind in {one.kind for one in measure(shown, asked=[kind])}
