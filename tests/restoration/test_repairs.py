"""Repairs that need no network: of pictures on the disk as of those in memory, and each measured once."""

import pytest
import skimage.data
import torch

from pellucid import images
from pellucid.degradations import MEASURED, parse
from pellucid.diagnosis import find_impulses
from pellucid.restoration import repairs
from pellucid.restoration.decision import Wish
from pellucid.restoration.repairs import repaired
from pellucid.scratch import on_disk
from support.streaming import laid_on_disk, small_bands

TEXTS = {
    "impulses": "impulse-noise part=0.05",
    "colour-cast": "colour-cast warmth=60",
    "fading": "fading amount=80",
    "aberration": "aberration red=5 blue=-4",
    "banding": "banding levels=16",
}
WHOLE = (slice(None), slice(None))


def degraded(text, height=203, width=277):
    clean = images.to_tensor(skimage.data.astronaut()[:height, 100 : 100 + width])
    return (parse(text)(clean, torch.Generator().manual_seed(1)) * 255).round() / 255


@pytest.mark.parametrize(
    ("kind", "visible"),
    [*((kind, WHOLE) for kind in TEXTS), *((kind, (slice(10, 190), slice(5, 270))) for kind in ("impulses", "fading"))],
)
def test_the_same_is_found_and_done_on_the_disk(kind, visible):
    picture, wish = degraded(TEXTS[kind]), Wish(only=(kind,))
    held, said = repaired(picture, wish, visible)
    assert said.done == [kind]
    with small_bands(1 << 17):
        there, also_said = repaired(laid_on_disk(picture), wish, visible)
        assert on_disk(there)
        torch.testing.assert_close(there, held, atol=2e-5, rtol=0)
    assert also_said.found == said.found
    assert also_said.left == said.left
    assert not torch.equal(held, picture)


def test_hot_pixels_are_filled_on_the_disk():
    clean = degraded("blur sigma=1.5") * 0.7 + 0.1
    hot = torch.rand(clean.shape, generator=torch.Generator().manual_seed(3)) < 6e-4
    picture = torch.where(hot, (clean + 0.6).clamp_max(1), clean)
    held, said = repaired(picture, Wish(), WHOLE)
    assert "hot pixels" in said.found[0].told
    with small_bands(1 << 17):
        there, also_said = repaired(laid_on_disk(picture), Wish(), WHOLE)
        assert torch.equal(there, held)
    assert also_said.found == said.found


def test_every_kind_that_is_measured_is_repaired_or_lost():
    assert {*TEXTS, "clipping"} == set(MEASURED)
    bright = degraded("noise sigma=1")
    bright[..., 20:120, 20:120] = 1
    bright[..., 10:130, 10:20] = bright[..., 10:130, 120:130] = 0.95
    bright[..., 10:20, 10:130] = bright[..., 120:130, 10:130] = 0.95
    for one in (bright, laid_on_disk(bright)):
        with small_bands(1 << 17):
            _, said = repaired(one, Wish(only=("clipping",)), WHOLE)
        assert said.left[0].words() == "overexposure: what is lost there cannot be restored"


def test_lost_pixels_are_looked_for_once(monkeypatch):
    asked = []
    monkeypatch.setattr(repairs, "find_impulses", lambda *given: asked.append(1) or find_impulses(*given))
    _, said = repaired(degraded(TEXTS["impulses"]), Wish(), WHOLE)
    assert said.done == ["impulses"]
    assert asked == [1]


def test_what_is_visible_decides_and_all_is_filled():
    picture = degraded(TEXTS["impulses"])
    visible = (slice(50, 150), slice(40, 240))
    result, said = repaired(picture, Wish(), visible)
    same = (result == repaired(picture, Wish(), WHOLE)[0]).float().mean()
    assert same > 0.999  # how many there are is estimated
    assert said.found[0].severity == pytest.approx(find_impulses(picture[..., *visible]).severity, rel=0.01)
    clean = picture.clone()
    clean[..., *visible] = 0.5
    assert repaired(clean, Wish(), visible)[1].done == []
