"""Blurs against SciPy, and what must hold for every blur."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data

from pellucid.degradations.blur import DefocusBlur, GaussianBlur, ShakeBlur
from pellucid.errors import SettingsError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def psnr(degraded, clean):
    return -10 * math.log10(float((degraded - clean).square().mean()))


@pytest.fixture(scope="module")
def photograph():
    return torch.from_numpy(data.astronaut()[:160, 150:310].copy()).permute(2, 0, 1).float() / 255


BLURS = [
    GaussianBlur(2),
    GaussianBlur(3, ratio=0.4, angle=70, shape=4),
    GaussianBlur(3, vary=1, light="linear"),
    DefocusBlur(3.5),
    DefocusBlur(6, blades=7, vary=0.5),
    DefocusBlur(4, light="linear"),
    ShakeBlur(15),
    ShakeBlur(8, curvature=0, light="linear"),
]


@pytest.mark.parametrize("blur", BLURS, ids=str)
@pytest.mark.parametrize("shape", [(3, 37, 53), (1, 37, 53), (3, 1, 1), (2, 1, 5, 1), (2, 2, 3, 9, 8)])
def test_any_shape_stays_in_range_and_comes_from_the_generator(blur, shape):
    clean = torch.rand(shape, generator=seeded())
    before = clean.clone()
    blurred = blur(clean, seeded(1))
    assert blurred.shape == clean.shape
    assert blurred.dtype == torch.float32
    assert 0 <= blurred.min() <= blurred.max() <= 1
    assert torch.equal(clean, before)
    assert torch.equal(blurred, blur(clean, seeded(1)))


@pytest.mark.parametrize("blur", BLURS, ids=str)
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_flat_image_stays(blur, level):
    flat = torch.full((3, 37, 53), level)
    assert torch.allclose(blur(flat, seeded()), flat, atol=3e-6)


@pytest.mark.parametrize(
    "blur", [blur for blur in BLURS if getattr(blur, "vary", 0) == 0 and blur.light == "encoded"], ids=str
)
def test_light_is_spread_not_lost(blur, photograph):
    framed = torch.nn.functional.pad(photograph, (40, 40, 40, 40))
    blurred = blur(framed, seeded())
    assert blurred.sum((1, 2)) == pytest.approx(framed.sum((1, 2)).numpy(), rel=1e-5)


@pytest.mark.parametrize("sigma", [0.6, 2, 5])
def test_gaussian_is_scipys(sigma, photograph):
    expected = ndimage.gaussian_filter(photograph.double().numpy(), (0, sigma, sigma), mode="mirror", truncate=6)
    assert np.abs(GaussianBlur(sigma)(photograph, seeded()).numpy() - expected).max() < 2e-4


def test_linear_light_makes_highlights_grow():
    lamp = torch.zeros(1, 41, 41)
    lamp[:, 20, 20] = 1
    disk = DefocusBlur(5)(lamp, seeded()).max()
    assert float(disk) == pytest.approx(1 / (math.pi * 25), rel=0.02)
    # The same light, encoded as sRGB: 1.055 v^(1/2.4) - 0.055.
    bright = DefocusBlur(5, light="linear")(lamp, seeded()).max()
    assert float(bright) == pytest.approx(1.055 * float(disk) ** (1 / 2.4) - 0.055, rel=1e-3)


def test_severity_is_100_at_five_pixels():
    assert GaussianBlur(2.5).severity == 50
    assert GaussianBlur(5).severity == GaussianBlur(20).severity == 100
    assert GaussianBlur(4, ratio=0.5).severity == pytest.approx(80 * math.sqrt(0.625))
    assert GaussianBlur(4, vary=0.5).severity == pytest.approx(60)
    assert DefocusBlur(5).severity == 50
    assert DefocusBlur(0).severity == GaussianBlur(0).severity == ShakeBlur(0).severity == 0
    assert ShakeBlur(12).severity == pytest.approx(12 / math.sqrt(24) * 20)


@pytest.mark.parametrize("blur", [GaussianBlur(0), DefocusBlur(0, blades=5), ShakeBlur(0)], ids=str)
def test_severity_0_is_nothing(blur, photograph):
    assert torch.equal(blur(photograph, seeded()), photograph)


@pytest.mark.parametrize("make", [GaussianBlur, lambda s: DefocusBlur(2 * s), lambda s: ShakeBlur(s * math.sqrt(24))])
def test_the_more_severe_the_worse(make, photograph):
    blurs = [make(deviation) for deviation in (0.7, 1.5, 3, 5)]
    assert sorted(blurs, key=lambda blur: blur.severity) == blurs
    scores = [psnr(blur(photograph, seeded()), photograph) for blur in blurs]
    assert sorted(scores, reverse=True) == scores


@pytest.mark.parametrize("make", [lambda **keys: GaussianBlur(4, **keys), lambda **keys: DefocusBlur(8, **keys)])
def test_varying_blur_goes_from_sharp_to_full(make, photograph):
    full = make()(photograph, seeded())
    for seed in range(3):
        varied = make(vary=1)(photograph, seeded(seed))

        def near(image, varied=varied):
            """The least error of a patch of 10 x 10, and the mean one."""
            squares = (varied - image).square().mean(0)[:160, :160].reshape(16, 10, 16, 10).mean((1, 3))
            return float(squares.min()), float(squares.mean())

        apart = float((full - photograph).square().mean())
        for end in (photograph, full):
            least, mean = near(end)
            assert least < 0.02 * apart
            assert 0.02 * apart < mean < apart
    half = make(vary=0.5)(photograph, seeded())
    assert psnr(full, photograph) < psnr(half, photograph) < psnr(make(vary=1)(photograph, seeded()), photograph)


def test_varying_levels_agree_with_a_constant_blur_where_nothing_varies(photograph):
    constant = GaussianBlur(3)(photograph, seeded())
    assert torch.allclose(GaussianBlur(3, vary=1e-5)(photograph, seeded()), constant, atol=1e-4)


def test_every_picture_of_a_batch_shakes_by_itself(photograph):
    generator = seeded()
    first, second = (ShakeBlur(12)(photograph, generator) for _ in range(2))
    batch = ShakeBlur(12)(torch.stack([photograph, photograph]), seeded())
    assert torch.equal(batch, torch.stack([first, second]))
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: GaussianBlur(-1), "sigma"),
        (lambda: GaussianBlur(float("nan")), "sigma"),
        (lambda: GaussianBlur(1, ratio=0), "ratio"),
        (lambda: GaussianBlur(1, angle=200), "angle"),
        (lambda: GaussianBlur(1, shape=0), "shape"),
        (lambda: GaussianBlur(1, vary=2), "vary"),
        (lambda: GaussianBlur(1, light="gamma"), "light"),
        (lambda: DefocusBlur(51), "radius"),
        (lambda: DefocusBlur(1, blades=4), "blades"),
        (lambda: DefocusBlur(1, vary=-0.1), "vary"),
        (lambda: ShakeBlur(201), "length"),
        (lambda: ShakeBlur(1, curvature=1.5), "curvature"),
    ],
)
def test_wrong_settings_are_named(make, key):
    with pytest.raises(SettingsError, match=key):
        make()
