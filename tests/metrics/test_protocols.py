"""Protocols: what is compared, against the same steps written out with NumPy and scikit-image."""

import dataclasses

import numpy as np
import pytest
import torch
from skimage import data
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pellucid.errors import SettingsError
from pellucid.metrics import PROTOCOLS, Protocol, find_protocol, require_same, ssim_pooled, ssim_volume

GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
ASKED_FOR = {
    "gaussian-colour": ("rgb", "none", "gaussian", "float"),
    "gaussian-grey": ("grey", "none", "gaussian", "float"),
    "all-in-one": ("rgb", "none", "uniform", "8-bit"),
    "derain-y": ("y", "8-bit", "gaussian", "none"),
    "lowlight-rgb": ("rgb", "8-bit", "gaussian", "none"),
    "dehaze-rgb": ("rgb", "none", "gaussian", "none"),
    "motion-deblur-rgb": ("rgb", "8-bit", "volume", "none"),
    "defocus-rgb": ("rgb", "none", "uniform", "none"),
    "real-denoise-rgb": ("rgb", "none", "volume", "none"),
    "jpeg-grey": ("grey", "8-bit", "gaussian", "none"),
    "pairs-rgb": ("rgb", "8-bit", "gaussian", "none"),
    "synthetic-rgb": ("rgb", "8-bit", "gaussian", "none"),
    "synthetic-grey": ("grey", "8-bit", "gaussian", "none"),
}


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


@pytest.mark.parametrize(("name", "parts"), ASKED_FOR.items())
def test_the_tables_of_the_documents_are_there(name, parts):
    protocol = find_protocol(name)
    assert (protocol.colour, protocol.quantisation, protocol.similarity, protocol.noise) == parts
    assert protocol.resizing == "never"


def test_names_are_keys_and_records_differ():
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    described = [protocol.describe() for protocol in PROTOCOLS.values()]
    assert len(set(described)) == len(described)
    assert all("\n" not in line for line in described)


def test_float_rgb(pair):
    restored, clean = pair
    clipped = restored.clip(0, 1)
    psnr = peak_signal_noise_ratio(clean, clipped, data_range=1)
    ssim = structural_similarity(clean, clipped, data_range=1, channel_axis=2, **GAUSSIAN)
    expect(PROTOCOLS["gaussian-colour"].score(tensor(restored), tensor(clean)), psnr, ssim)
    expect(PROTOCOLS["dehaze-rgb"].score(tensor(restored), tensor(clean)), psnr, ssim)
    ssim = structural_similarity(clean, clipped, data_range=1, channel_axis=2)
    expect(PROTOCOLS["defocus-rgb"].score(tensor(restored), tensor(clean)), psnr, ssim)


def test_rounded_rgb(pair):
    restored, clean = map(to_bytes, pair)
    psnr = peak_signal_noise_ratio(clean, restored, data_range=255)
    ssim = structural_similarity(clean, restored, data_range=255, channel_axis=2, **GAUSSIAN)
    for name in ("lowlight-rgb", "pairs-rgb", "jpeg-rgb", "gaussian-colour-8bit", "synthetic-rgb"):
        expect(PROTOCOLS[name].score(*map(tensor, pair)), psnr, ssim)


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


def test_luma_unrounded_and_rounded(pair):
    restored, clean = (rgb2ycbcr(to_bytes(image).astype(np.uint8))[..., 0] for image in pair)
    for prepare, name in ((lambda y: y, "derain-y"), (np.round, "derain-y-rounded")):
        first, second = prepare(restored), prepare(clean)
        psnr = peak_signal_noise_ratio(second, first, data_range=255)
        ssim = structural_similarity(second, first, data_range=255, **GAUSSIAN)
        expect(PROTOCOLS[name].score(*map(tensor, pair)), psnr, ssim)


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
