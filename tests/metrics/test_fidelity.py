"""PSNR and SSIM against scikit-image, SciPy and published numbers."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pellucid.metrics import fidelity, luma, ms_ssim, psnr, ssim, ssim_pooled, ssim_uniform, ssim_volume

SSIMS = [ssim, ssim_uniform, ssim_volume, ssim_pooled]


def tensor(image):
    """(H, W, C) or (H, W) as (1, C, H, W)."""
    return torch.from_numpy(np.atleast_3d(image)).permute(2, 0, 1)[None]


def pair(height, width, channels=3, noise=0.1, seed=0):
    """A piece of a photograph and a noisy version of it, (H, W, C) float64, not clipped."""
    top, left = min(100, 512 - height), min(150, 512 - width)
    clean = data.astronaut()[top : top + height, left : left + width, :channels] / 255
    return clean + np.random.default_rng(seed).normal(0, noise, clean.shape), clean


def rounded(image):
    return np.round(np.clip(image, 0, 1) * 255) / 255


def gaussian_reference(restored, clean, **options):
    return structural_similarity(
        restored, clean, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, **options
    )


@pytest.mark.parametrize(("height", "width"), [(64, 64), (37, 53), (11, 11), (12, 200)])
@pytest.mark.parametrize("prepare", [lambda x: x, rounded], ids=["float", "8-bit"])
def test_rgb_agrees_with_scikit_image(height, width, prepare):
    restored, clean = map(prepare, pair(height, width))
    a, b = tensor(restored), tensor(clean)
    assert psnr(a, b).item() == pytest.approx(peak_signal_noise_ratio(clean, restored, data_range=1), abs=1e-6)
    assert ssim(a, b).item() == pytest.approx(gaussian_reference(restored, clean, channel_axis=2), abs=1e-6)
    uniform = structural_similarity(restored, clean, data_range=1, channel_axis=2)
    assert ssim_uniform(a, b).item() == pytest.approx(uniform, abs=1e-6)


def test_grey_and_float32_agree_with_scikit_image():
    restored, clean = (image[..., 0] for image in pair(37, 53))
    a, b = tensor(restored).float(), tensor(clean).float()
    # float32 in memory, float64 inside: only the storage rounds.
    assert psnr(a, b).item() == pytest.approx(peak_signal_noise_ratio(clean, restored, data_range=1), abs=1e-5)
    assert ssim(a, b).item() == pytest.approx(gaussian_reference(restored, clean), abs=1e-6)
    assert ssim(a, b).dtype == psnr(a, b).dtype == torch.float64


def test_published_table():
    # The noise of the project's comparison of five metric libraries: RandomState(0), sigma 15, rounded to 8 bits.
    clean = data.astronaut()
    noise = np.random.RandomState(0).normal(0, 15, clean.shape)
    a, b = tensor(np.clip(np.round(clean + noise), 0, 255) / 255), tensor(clean / 255)
    assert psnr(a, b).item() == pytest.approx(25.12963, abs=5e-6)
    assert ssim(a, b).item() == pytest.approx(0.493747, abs=5e-7)
    assert ssim_uniform(a, b).item() == pytest.approx(0.5171, abs=5e-5)
    assert psnr(luma(a), luma(b)).item() == pytest.approx(29.789, abs=5e-4)
    assert ssim(luma(a), luma(b)).item() == pytest.approx(0.708905, abs=5e-7)


def test_peak_scales_everything():
    restored, clean = map(tensor, pair(40, 50))
    for metric in (psnr, *SSIMS):
        torch.testing.assert_close(metric(restored * 255, clean * 255, peak=255), metric(restored, clean))


def test_batch_and_strips_do_not_matter(monkeypatch):
    pairs = [pair(41, 37, seed=seed, noise=0.05 * seed) for seed in (1, 2, 3)]
    restored, clean = (torch.cat([tensor(p[i]) for p in pairs]) for i in (0, 1))
    for metric in (psnr, *SSIMS):
        single = torch.cat([metric(restored[i : i + 1], clean[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(metric(restored, clean), single, rtol=1e-12, atol=1e-12)
        # Strips of one row each, then of seven: the windows reach across their borders.
        for rows in (1, 7):
            with monkeypatch.context() as patch:
                patch.setattr(fidelity, "_STRIP", 1)
                patch.setattr(fidelity, "_ROWS", rows)
                torch.testing.assert_close(metric(restored, clean), single, rtol=1e-12, atol=1e-12)


def test_volume_agrees_with_scipy():
    restored, clean = pair(23, 31)

    def blur(x):
        return gaussian_filter(x, 1.5, mode="nearest", truncate=3.5)

    low, high = 0.01**2, 0.03**2
    first, second = blur(restored), blur(clean)
    covariance = blur(restored * clean) - first * second
    variances = blur(restored**2) - first**2 + blur(clean**2) - second**2
    maps = (2 * first * second + low) * (2 * covariance + high)
    maps /= (first**2 + second**2 + low) * (variances + high)
    assert ssim_volume(tensor(restored), tensor(clean)).item() == pytest.approx(maps.mean(), abs=1e-10)


def test_pooled_agrees_with_block_means():
    restored, clean = pair(390, 440)
    # 390 / 256 rounds to 2.
    small = [image.reshape(195, 2, 220, 2, 3).mean((1, 3)) for image in (restored, clean)]
    a, b = tensor(restored), tensor(clean)
    expected = gaussian_reference(*small, channel_axis=2)
    assert ssim_pooled(a, b).item() == pytest.approx(expected, abs=1e-9)
    assert ssim_pooled(a[..., :300, :300], b[..., :300, :300]) == ssim(a[..., :300, :300], b[..., :300, :300])


def reference_ms_ssim(restored, clean):
    """Wang's procedure on one plane with SciPy: filter by 2 x 2, symmetric border, then every second sample."""
    weights, low, high = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333], 0.01**2, 0.03**2
    result = 1.0
    for scale, weight in enumerate(weights):
        blur = lambda x: gaussian_filter(x, 1.5, truncate=3.5)[5:-5, 5:-5]  # noqa: E731
        first, second = blur(restored), blur(clean)
        variances = blur(restored**2) - first**2 + blur(clean**2) - second**2
        maps = (2 * (blur(restored * clean) - first * second) + high) / (variances + high)
        if scale == 4:
            maps = maps * (2 * first * second + low) / (first**2 + second**2 + low)
        result *= max(maps.mean(), 0) ** weight
        padded = (np.pad(x, (0, 1), mode="symmetric") for x in (restored, clean))
        restored, clean = ((x[:-1, :-1] + x[1:, :-1] + x[:-1, 1:] + x[1:, 1:])[::2, ::2] / 4 for x in padded)
    return result


@pytest.mark.parametrize(("height", "width"), [(161, 161), (187, 230), (192, 256)])
def test_ms_ssim_agrees_with_scipy(height, width):
    restored, clean = pair(height, width)
    expected = np.mean([reference_ms_ssim(restored[..., c], clean[..., c]) for c in range(3)])
    assert ms_ssim(tensor(restored), tensor(clean)).item() == pytest.approx(expected, abs=1e-9)


def test_ms_ssim_of_a_negative_is_a_number():
    clean = tensor(pair(176, 176)[1])
    assert ms_ssim(1 - clean, clean).item() == 0


def test_identical_pictures():
    clean = tensor(pair(170, 170)[1])
    assert psnr(clean, clean).item() == float("inf")
    for metric in (*SSIMS, ms_ssim):
        assert metric(clean, clean).item() == pytest.approx(1, abs=1e-12)


def test_one_pixel():
    a, b = torch.full((1, 3, 1, 1), 0.5), torch.full((1, 3, 1, 1), 0.6)
    assert psnr(a, b).item() == pytest.approx(20, abs=1e-5)
    assert 0 < ssim_volume(a, b).item() < 1


@pytest.mark.parametrize(
    ("metric", "least", "words"),
    [(ssim, 11, "11 x 11"), (ssim_pooled, 11, "11 x 11"), (ssim_uniform, 7, "7 x 7"), (ms_ssim, 161, "five scales")],
)
def test_too_small_says_the_window(metric, least, words):
    image = torch.zeros(1, 3, least + 20, least - 1)
    with pytest.raises(ValueError, match=words) as caught:
        metric(image, image)
    assert f"each side needs {least}" in str(caught.value)
    image = torch.zeros(1, 3, least, least)
    assert metric(image, image).item() == 1


def test_wrong_shapes():
    with pytest.raises(ValueError, match="one shape"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="B, C, H, W"):
        psnr(torch.zeros(3, 8, 8), torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="at least one"):
        psnr(torch.zeros(0, 3, 8, 8), torch.zeros(0, 3, 8, 8))


def test_inputs_are_not_changed():
    restored, clean = map(tensor, pair(170, 170))
    copies = restored.clone(), clean.clone()
    for metric in (psnr, ms_ssim, *SSIMS):
        metric(restored, clean)
    assert torch.equal(restored, copies[0])
    assert torch.equal(clean, copies[1])


def test_gradients_are_not_kept():
    clean = torch.rand(1, 3, 16, 16)
    assert not ssim(clean.clone().requires_grad_(), clean).requires_grad
