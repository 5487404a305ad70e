"""CIELAB against scikit-image, and colours that no screen has."""

import numpy as np
import torch
from skimage import color

from pellucid.images.lab import lab_of, paler_until_real, rgb_of


def test_it_is_that_of_scikit_image():
    image = torch.rand(2, 3, 9, 7)
    theirs = color.rgb2lab(image.permute(0, 2, 3, 1).double().numpy())
    np.testing.assert_allclose(lab_of(image).permute(0, 2, 3, 1).numpy(), theirs, atol=0.02)


def test_there_and_back():
    image = torch.rand(1, 3, 16, 16)
    image[..., :2, :] = 0
    image[..., 2:4, :] = 1
    torch.testing.assert_close(rgb_of(lab_of(image)), image, atol=2e-5, rtol=0)


def test_what_no_screen_has_becomes_paler_and_keeps_lightness_and_hue():
    lab = torch.stack([torch.linspace(2, 98, 64), torch.full((64,), 90.0), torch.full((64,), -60.0)])[None, :, None]
    paler = paler_until_real(lab)
    rgb = rgb_of(paler)
    assert float(rgb.min()) > -1e-3
    assert float(rgb.max()) < 1 + 1e-3
    torch.testing.assert_close(lab_of(rgb.clamp(0, 1))[:, 0], lab[:, 0], atol=0.15, rtol=0)
    torch.testing.assert_close(paler[:, 2] * 90, paler[:, 1] * -60)
    # As vivid as can be: one channel lies at its end; some are found paler, for the colours of screens have dents.
    ends = torch.minimum(rgb.min(1).values.abs(), (1 - rgb.max(1).values).abs())
    assert float(ends.median()) < 1e-3
    assert float(ends.max()) < 0.1


def test_what_a_screen_has_stays_to_the_bit():
    lab = lab_of(torch.rand(1, 3, 8, 8) * 0.8 + 0.1)
    assert torch.equal(paler_until_real(lab), lab)
