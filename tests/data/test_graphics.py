"""Drawn pages: what they show, the same for the same draw, both dark and bright among them."""

import torch

from pellucid.data.graphics import drawn_background, graphic_sample
from pellucid.degradations import KINDS, severities
from pellucid.images.noise import noise_sigma


def sample(seed):
    return graphic_sample(torch.Generator().manual_seed(seed))


def test_the_same_draw_gives_the_same_page():
    one, other = sample(3), sample(3)
    assert torch.equal(one.seen, other.seen)
    assert not torch.equal(one.seen, sample(4).seen)


def test_pages_are_dark_and_bright_with_something_on_them_and_half_are_clean():
    found = [sample(seed) for seed in range(120)]
    means = torch.tensor([float(one.clean.mean()) for one in found])
    assert (means < 0.2).sum() > 15
    assert (means > 0.8).sum() > 15
    for one in found:
        assert one.clean.shape == one.seen.shape == (3, 256, 320)
        assert one.clean.min() >= 0
        assert one.clean.max() <= 1
    assert sum(float(one.clean.std()) > 0.01 for one in found) > 115
    kinds = [tuple(severities(one.degradation)) for one in found]
    assert {kind for group in kinds for kind in group} == {"noise", "jpeg"} <= set(KINDS)
    clean = [one for one, kind in zip(found, kinds, strict=True) if not kind]
    assert 40 < len(clean) < 80
    assert all(torch.equal(one.seen, one.clean) for one in clean)


def test_backgrounds_are_of_any_brightness_and_without_noise():
    found = [drawn_background(torch.Generator().manual_seed(seed)) for seed in range(60)]
    assert all(one.shape == (3, 256, 320) and 0 <= float(one.min()) <= float(one.max()) <= 1 for one in found)
    assert all(torch.allclose(255 * one, (255 * one).round(), atol=1e-3) for one in found)
    means = torch.tensor([255 * float(one.mean()) for one in found])
    assert (means < 25).sum() > 8
    assert (means > 90).sum() > 15
    assert sum(float(noise_sigma(one[None])) < 0.65 for one in found) > 55
