"""What is said of the tones of a result, against curves that keep their order and edges that gain a halo."""

import numpy as np
import pytest
import skimage.data
import torch
from scipy.ndimage import gaussian_filter

from pellucid.restoration.tones import (
    mean_luminance,
    room_for_noise,
    shift_by_clipped_noise,
    strength_for_luminance,
    strength_without_halo,
    turned,
)


def photograph(name="astronaut"):
    array = getattr(skimage.data, name)()[::2, ::2, :3]
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None].float() / 255


def haloed(image, radius, amount):
    """An unsharp mask so wide that it is seen as a halo."""
    far = torch.from_numpy(gaussian_filter(image.numpy(), (0, 0, radius, radius)))
    return (image + amount * (image - far)).clamp(0, 1)


@pytest.mark.parametrize("curve", [lambda x: x**0.4, lambda x: x * 0.5, lambda x: 1.3 * x.clamp(0, 0.7), lambda x: x])
def test_a_curve_turns_nothing_around(curve):
    for name in ("astronaut", "coffee"):
        assert turned(photograph(name), curve(photograph(name))) < 0.05
        assert strength_without_halo(photograph(name), curve(photograph(name))) == 1


def test_a_halo_and_a_negative_do():
    image = photograph()
    assert turned(image, 1 - image) == pytest.approx(1)
    assert strength_without_halo(image, 1 - image) <= 0.5
    assert turned(image, haloed(image, 20, 3.0)) > turned(image, haloed(image, 20, 0.2))


def test_a_mean_is_brought_back_to_its_limit():
    image = photograph() * 0.8 + 0.06
    reference = mean_luminance(image)
    for after, most in ((image + 0.1, 2.0), (image - 0.05, 1.0), (image + 0.001, 2.0)):
        part = strength_for_luminance(image, after, reference, most)
        moved = abs(mean_luminance(torch.lerp(image, after, part)) - reference)
        assert moved <= most + 1e-3
        assert part == 1 or moved == pytest.approx(most, abs=1e-2)
    # What an earlier pass has used up is not there any more.
    assert strength_for_luminance(image, image + 0.1, reference - 2, 2.0) == pytest.approx(0, abs=1e-4)


def test_pictures_of_one_pixel_have_tones():
    one = torch.full((1, 3, 1, 1), 0.3)
    assert (turned(one, one + 0.1), strength_without_halo(one, one + 0.1)) == (0, 1)


@pytest.mark.parametrize("tones", [lambda x: x * 0.3, lambda x: 1 - x * 0.3, lambda x: x])
def test_noise_that_is_cut_off_moves_the_mean_as_far_as_is_said(tones):
    clean = tones(photograph())
    for sigma in (15, 40):
        noisy = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(sigma)) * sigma / 255
        moved = mean_luminance(noisy.clamp(0, 1)) - mean_luminance(clean)
        for shown in (noisy, noisy.clamp(0, 1)):
            # Where most of the noise was cut off, less of it is measured.
            assert shift_by_clipped_noise(shown, clean) == pytest.approx(moved, abs=0.2 + 0.25 * abs(moved))
        assert abs(shift_by_clipped_noise(clean, clean)) == 0


def test_a_change_of_tones_is_no_noise():
    image = photograph()
    assert abs(shift_by_clipped_noise(image, (image * 0.7).sqrt())) < 0.1
    assert shift_by_clipped_noise(torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)) == 0


def test_heavy_noise_that_is_gone_gives_room_to_the_mean():
    clean = torch.full((1, 3, 64, 64), 0.5)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)) / 255
    assert room_for_noise(clean + 8 * noise, clean) == 0
    assert room_for_noise(clean + 30 * noise, clean) == pytest.approx((30 - 10) / 4, rel=0.02)
    assert room_for_noise(clean, clean) == 0
    assert room_for_noise(clean + 0.3, clean) == 0  # a change of tones
