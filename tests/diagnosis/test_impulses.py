"""Lost pixels: found where they were made, and nowhere else."""

import pytest
import skimage.data
import torch

from pellucid import images
from pellucid.degradations import parse
from pellucid.diagnosis import find_impulses
from pellucid.restoration.filling import filled


def photograph(name="coffee", side=192):
    """The middle of one of scikit-image's pictures, (1, 3, side, side)."""
    pixels = images.to_tensor(getattr(skimage.data, name)())
    top, left = (max(0, length - side) // 2 for length in pixels.shape[2:])
    return pixels[..., top : top + side, left : left + side]


def degraded(image, text):
    noisy = parse(text)(image, torch.Generator().manual_seed(1))
    return (noisy * 255).round() / 255


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("impulse-noise part=0.005", 0.005),
        ("impulse-noise part=0.06", 0.06),
        ("impulse-noise part=0.2", 0.2),
        ("impulse-noise part=0.06 unit=channel", 1 - 0.94**3),
    ],
)
def test_salt_and_pepper_is_found_where_it_lies(text, part):
    clean = photograph()
    noisy = degraded(clean, text)
    found = find_impulses(noisy)
    assert found is not None
    assert found.form == "salt-and-pepper"
    lost = (noisy - clean).abs()[0] > 0.1
    assert (found.mask & lost).sum() > 0.95 * lost.sum()
    assert (found.mask & (noisy != clean)[0]).sum() > 0.85 * found.mask.sum()
    assert found.part == pytest.approx(part, rel=0.25)
    if "channel" not in text:
        assert found.severity == pytest.approx(parse(text).severity, rel=0.25)


@pytest.mark.parametrize("text", ["impulse-noise part=0.06", "impulse-noise part=0.2 unit=channel"])
def test_filling_in_is_better_than_a_median_of_everything(text):
    from scipy.ndimage import median_filter

    clean = photograph()
    noisy = degraded(clean, text)
    found = find_impulses(noisy)
    assert found is not None
    result = filled(noisy, found.mask)
    kept = ~found.mask[None]
    assert torch.equal(result[kept], noisy[kept])
    usual = torch.from_numpy(median_filter(noisy.numpy(), (1, 1, 3, 3)))
    errors = [float((one - clean).square().mean()) for one in (result, usual)]
    assert errors[0] < errors[1] / 2


def test_hot_pixels_are_found_and_stars_are_not():
    clean = photograph() * 0.7 + 0.1
    hot = torch.rand(clean.shape, generator=torch.Generator().manual_seed(3)) < 6e-4
    noisy = torch.where(hot, (clean + 0.6).clamp_max(1), clean)
    found = find_impulses(noisy)
    assert found is not None
    assert found.form == "hot-pixels"
    seen = found.mask.any(0)
    assert (seen & hot[0].any(0)).sum() > 0.6 * hot[0].any(0).sum()
    assert (seen & hot[0].any(0)).sum() > 0.9 * seen.sum()
    stars = torch.rand(1, 1, 200, 200, generator=torch.Generator().manual_seed(3)) < 1e-3
    assert find_impulses(stars.expand(1, 3, -1, -1).float() * 0.9) is None


@pytest.mark.parametrize("name", ["coffee", "brick", "gravel", "hubble_deep_field", "text", "page", "rocket"])
def test_clean_pictures_have_none(name):
    pixels = getattr(skimage.data, name)()
    assert find_impulses(images.to_tensor(pixels[:256, :256])) is None


@pytest.mark.parametrize(
    "text", ["noise sigma=50 bits=8", "impulse-noise part=0.06, jpeg quality=60", "snow amount=60"]
)
def test_other_noise_is_no_impulse_noise(text):
    found = find_impulses(degraded(photograph(), text))
    assert found is None or found.form != "hot-pixels"
    if "impulse" not in text:
        assert found is None


def test_ugly_shapes_have_none():
    for shape in ((1, 3, 1, 1), (1, 3, 15, 300), (3, 16, 16)):
        assert find_impulses(torch.rand(shape)) is None
    assert filled(torch.zeros(1, 3, 2, 2), torch.ones(3, 2, 2, dtype=torch.bool)).shape == (1, 3, 2, 2)
