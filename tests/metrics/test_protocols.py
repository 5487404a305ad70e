"""Protocols: what is compared, against the same steps written out with NumPy and scikit-image."""

import dataclasses

import numpy as np
import pytest
import torch
from skimage import data
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pellucid.errors import SettingsError
from pellucid.metrics import PROTOCOLS, NoiseStream, Protocol, find_protocol, require_same, ssim_pooled, ssim_volume

GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
# What the scripts behind each table compare: the picture's planes, whether it is rounded to 8 bits before, whether its
# luma is after, the window of SSIM, the pixels that are left out along the border, the sides that it is cut to.
COMPARED = {
    "gaussian-colour": ("rgb", False, False, "gaussian", 0, 1),
    "gaussian-colour-8bit": ("rgb", True, False, "gaussian", 0, 1),
    "gaussian-grey": ("grey", False, False, "gaussian", 0, 1),
    "gaussian-grey-8bit": ("grey", True, False, "gaussian", 0, 1),
    "all-in-one": ("rgb", False, False, "uniform", 0, 16),
    "derain-y": ("y", True, False, "gaussian", 0, 1),
    "derain-y-rounded": ("y", True, True, "gaussian", 0, 1),
    "lowlight-rgb": ("rgb", True, False, "gaussian", 0, 1),
    "dehaze-rgb": ("rgb", False, False, "gaussian", 0, 1),
    "dehaze-rgb-pooled-ssim": ("rgb", False, False, "gaussian", 0, 1),  # of pictures under 384 pixels nothing is pooled
    "motion-deblur-rgb": ("rgb", True, False, "volume", 0, 1),
    "defocus-rgb": ("rgb", False, False, "uniform", 0, 1),
    "real-denoise-rgb": ("rgb", False, False, "volume", 0, 1),
    "jpeg-grey": ("grey", True, False, "gaussian", 0, 1),
    "jpeg-rgb": ("rgb", True, False, "gaussian", 0, 1),
    "super-resolution-y-x2": ("y", True, False, "gaussian", 2, 1),
    "super-resolution-y-x3": ("y", True, False, "gaussian", 3, 1),
    "super-resolution-y-x4": ("y", True, False, "gaussian", 4, 1),
    "generative-y": ("y", True, False, "gaussian", 0, 1),
    "pairs-rgb": ("rgb", True, False, "gaussian", 0, 1),
    "synthetic-rgb": ("rgb", True, False, "gaussian", 0, 1),
    "synthetic-grey": ("grey", True, False, "gaussian", 0, 1),
}
NOISES = {"gaussian-colour", "gaussian-colour-8bit", "gaussian-grey", "gaussian-grey-8bit", "all-in-one"}
"""The tables of noise that is drawn, and not of pairs."""


def tensor(image):
    return torch.from_numpy(image).float().permute(2, 0, 1)[None]


@pytest.fixture
def pair():
    """A restored picture with values outside [0, 1], and the clean one on the levels of 8 bits, (H, W, 3)."""
    clean = data.astronaut()[150:187, 200:253] / 255
    restored = clean + np.random.default_rng(0).normal(0, 0.2, clean.shape)
    assert restored.min() < 0
    assert restored.max() > 1
    return restored, clean


def expect(scores, psnr, ssim):
    # Pictures are float32, the reference float64.
    assert scores.psnr.shape == scores.ssim.shape == (1,)
    assert scores.psnr.item() == pytest.approx(psnr, abs=2e-6)
    assert scores.ssim.item() == pytest.approx(ssim, abs=1e-6)


def to_bytes(image):
    return np.round(np.clip(image, 0, 1) * 255)


def planes(image, colour):
    """(H, W, C) for skimage; luma on 0..255, which MATLAB's rgb2ycbcr gives of pictures of 8 bits."""
    if colour == "y":
        return rgb2ycbcr(image.astype(np.uint8))[..., :1]
    return image


def scored(pair, colour, rounded, luma_rounded, window, border, multiple):
    """PSNR and SSIM of (H, W, C) pictures, by NumPy and scikit-image."""
    height, width = pair[0].shape[:2]
    rows, columns = (
        slice(side % multiple // 2, side % multiple // 2 + side // multiple * multiple) for side in (height, width)
    )
    inner = slice(border, -border or None)
    prepared = []
    for image in pair:
        image = image[rows, columns][inner, inner]
        image = planes(to_bytes(image), colour) if rounded else image.clip(0, 1)
        prepared.append(np.round(image) if luma_rounded else image)
    restored, clean = prepared
    largest = 255 if rounded else 1
    psnr = peak_signal_noise_ratio(clean, restored, data_range=largest)
    if window == "volume":  # test_fidelity.py has its own reference
        return psnr, ssim_volume(*(tensor(image / largest) for image in prepared)).item()
    how = GAUSSIAN if window == "gaussian" else {}
    return psnr, structural_similarity(clean, restored, data_range=largest, channel_axis=2, **how)


@pytest.mark.parametrize("name", [name for name in PROTOCOLS if name != "lowlight-rgb-aligned"])
def test_a_protocol_scores_as_the_scripts_of_its_tables_do(name, pair):
    way = COMPARED[name]
    pair = tuple(image[..., :1] for image in pair) if way[0] == "grey" else pair
    expect(PROTOCOLS[name].score(*map(tensor, pair)), *scored(pair, *way))
    # Any other way gives other numbers, so that none could be taken for this one.
    others = {other for other in COMPARED.values() if other != way and (other[0] == "grey") == (way[0] == "grey")}
    for other in others:
        assert scored(pair, *other) != pytest.approx(scored(pair, *way), abs=1e-5)


def test_aligned_exposure_is_that_of_scikit_image_after_scaling_by_the_mean_grey(pair):
    protocol, (restored, clean) = PROTOCOLS["lowlight-rgb-aligned"], pair
    restored = restored.clip(0, 1) * 0.6
    means = [image @ [0.299, 0.587, 0.114] for image in (restored, clean)]
    scaled = restored * (means[1].mean() / means[0].mean())
    expect(protocol.score(tensor(restored), tensor(clean)), *scored((scaled, clean), *COMPARED["lowlight-rgb"]))
    # However dark or bright the same picture is, the number is one; in a batch each is scaled by its own.
    dark, bright = tensor(clean) * 0.5, (tensor(clean) * 1.0).clamp(0, 1)
    two = protocol.score(torch.cat([dark, bright]), tensor(clean).repeat(2, 1, 1, 1))
    assert two.psnr.isinf().all()
    assert PROTOCOLS["lowlight-rgb"].score(dark, tensor(clean)).psnr.item() < 15
    assert protocol.score(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)).psnr.isinf().all()
    assert "mean grey" in protocol.describe()


def test_noise_is_drawn_for_the_tables_of_noise_alone():
    assert {name for name, protocol in PROTOCOLS.items() if protocol.noise != "none"} == NOISES
    clean = torch.full((1, 3, 16, 16), 0.5)
    for name in NOISES:
        noisy = NoiseStream(PROTOCOLS[name]).degrade(clean, 25)
        steps = noisy * 255
        # all-in-one's tables are of noisy pictures of 8 bits, the others' of floating-point ones.
        assert (float((steps - steps.round()).abs().max()) < 1e-4) == (name == "all-in-one")


def test_names_are_keys_and_records_differ():
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    described = [protocol.describe() for protocol in PROTOCOLS.values()]
    assert len(set(described)) == len(described)
    assert all("\n" not in line for line in described)


def test_truncated_rgb(pair):
    restored, clean = pair
    protocol = dataclasses.replace(PROTOCOLS["pairs-rgb"], quantisation="8-bit-truncated")
    truncated = (restored.clip(0, 1) * 255).astype(np.uint8)
    psnr = peak_signal_noise_ratio(to_bytes(clean).astype(np.uint8), truncated)
    # A value a hair below a level counts as that level, which is worth a few millionths of a dB.
    assert protocol.score(tensor(restored), tensor(clean)).psnr.item() == pytest.approx(psnr, abs=1e-4)
    assert PROTOCOLS["pairs-rgb"].score(tensor(restored), tensor(clean)).psnr.item() != pytest.approx(psnr, abs=1e-3)
    # Every level of 8 bits, held as float32, stays itself.
    levels = (torch.arange(256).reshape(1, 1, 16, 16) / 255).expand(1, 3, 16, 16)
    assert protocol.score(levels, levels + 1e-6).psnr.item() == float("inf")


def test_volume_and_pooled_are_what_they_say(pair):
    first, second = (tensor(to_bytes(image) / 255) for image in pair)
    scores = PROTOCOLS["motion-deblur-rgb"].score(*map(tensor, pair))
    torch.testing.assert_close(scores.ssim, ssim_volume(first, second))
    first, second = torch.rand(2, 1, 3, 400, 400)
    protocol = PROTOCOLS["dehaze-rgb-pooled-ssim"]
    torch.testing.assert_close(protocol.score(first, second).ssim, ssim_pooled(first, second))
    assert protocol.resizing != "never"
    assert "averaging down" in protocol.describe()


def test_grey_is_one_plane_or_three_equal_ones(pair):
    restored, clean = (image[..., :1] for image in pair)
    clipped = restored.clip(0, 1)
    psnr = peak_signal_noise_ratio(clean, clipped, data_range=1)
    ssim = structural_similarity(clean[..., 0], clipped[..., 0], data_range=1, **GAUSSIAN)
    protocol = PROTOCOLS["gaussian-grey"]
    expect(protocol.score(tensor(restored), tensor(clean)), psnr, ssim)
    expect(protocol.score(tensor(restored).expand(1, 3, -1, -1), tensor(clean).expand(1, 3, -1, -1)), psnr, ssim)
    with pytest.raises(ValueError, match="has colours"):
        protocol.score(*map(tensor, pair))


def test_synthetic_degradations_say_who_made_them(pair):
    synthetic = {name for name, protocol in PROTOCOLS.items() if protocol.synthetic}
    assert synthetic == {"synthetic-rgb", "synthetic-grey"}
    for name in synthetic:
        assert "by pellucid itself" in PROTOCOLS[name].describe()
        assert "by pellucid itself" not in PROTOCOLS[name].describe(drawn=False)
        assert "degraded pictures given" in PROTOCOLS[name].describe(drawn=False)
    assert "JPEG is libjpeg's" in PROTOCOLS["synthetic-grey"].describe()
    restored, clean = (to_bytes(image[..., :1]) for image in pair)
    psnr = peak_signal_noise_ratio(clean, restored, data_range=255)
    ssim = structural_similarity(clean[..., 0], restored[..., 0], data_range=255, **GAUSSIAN)
    expect(PROTOCOLS["synthetic-grey"].score(*(tensor(image[..., :1]) for image in pair)), psnr, ssim)


def test_all_in_one_cuts_at_the_centre_to_sixteens(pair):
    restored, clean = (image[2:34, 2:50] for image in pair)
    clipped = restored.clip(0, 1)
    psnr = peak_signal_noise_ratio(clean, clipped, data_range=1)
    ssim = structural_similarity(clean, clipped, data_range=1, channel_axis=2)
    protocol = PROTOCOLS["all-in-one"]
    expect(protocol.score(*map(tensor, pair)), psnr, ssim)
    cut = [protocol.crop(tensor(image)) for image in pair]
    assert torch.equal(cut[1], tensor(clean))
    assert torch.equal(protocol.crop(cut[0]), cut[0])
    expect(protocol.score(*cut), psnr, ssim)
    with pytest.raises(ValueError, match="multiples of 16"):
        protocol.score(*torch.zeros(2, 1, 3, 15, 40))


def test_border(pair):
    protocol = dataclasses.replace(PROTOCOLS["gaussian-colour"], crop_border=4)
    inner = PROTOCOLS["gaussian-colour"].score(*(tensor(image[4:-4, 4:-4]) for image in pair))
    scores = protocol.score(*map(tensor, pair))
    torch.testing.assert_close(scores.psnr, inner.psnr)
    torch.testing.assert_close(scores.ssim, inner.ssim)
    assert "border of 4" in protocol.describe()
    with pytest.raises(ValueError, match="nothing is left"):
        protocol.score(*torch.zeros(2, 1, 3, 8, 40))


def test_batches(pair):
    restored, clean = map(tensor, pair)
    batch = torch.cat([restored, clean]), torch.cat([clean, clean])
    scores = PROTOCOLS["pairs-rgb"].score(*batch)
    assert scores.psnr.shape == (2,)
    assert scores.psnr[1] == float("inf")
    assert scores.ssim[1].item() == pytest.approx(1, abs=1e-12)
    assert scores.psnr[0] == PROTOCOLS["pairs-rgb"].score(restored, clean).psnr[0]


def test_wrong_shapes():
    with pytest.raises(ValueError, match="B, 3, H, W"):
        PROTOCOLS["pairs-rgb"].score(*torch.zeros(2, 1, 1, 16, 16))
    with pytest.raises(ValueError, match="one shape"):
        PROTOCOLS["pairs-rgb"].score(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 17))
    with pytest.raises(ValueError, match="11 x 11"):
        PROTOCOLS["pairs-rgb"].score(*torch.zeros(2, 1, 3, 10, 16))


def test_unknown_name_lists_the_known():
    with pytest.raises(SettingsError, match=r"'derain-x'; did you mean 'derain-y'.*known: all-in-one"):
        find_protocol("derain-x")


def test_mixing_is_refused():
    assert require_same(["all-in-one", PROTOCOLS["all-in-one"]]) is PROTOCOLS["all-in-one"]
    with pytest.raises(SettingsError, match="derain-y and pairs-rgb"):
        require_same(["derain-y", "derain-y", "pairs-rgb"])
    with pytest.raises(SettingsError, match="no protocol"):
        require_same([])
    with pytest.raises(SettingsError, match="unknown protocol"):
        require_same(["psnr"])
    # The same name is not enough.
    with pytest.raises(SettingsError, match="different protocols"):
        require_same(["derain-y", dataclasses.replace(PROTOCOLS["derain-y"], crop_border=4)])


def test_records_cannot_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PROTOCOLS["pairs-rgb"].crop_border = 4
    with pytest.raises(TypeError):
        PROTOCOLS["mine"] = Protocol("mine", "rgb", "none", "gaussian", "nobody")
