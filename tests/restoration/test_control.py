"""How much of a restoration is kept: each control against its definition, by scipy and numpy."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from pellucid.errors import SettingsError
from pellucid.restoration.control import FAITHFUL_SIGMA, Controls, controlled, feathered

SPLINE = np.array([1, 4, 6, 4, 1]) / 16


def pair(height=53, width=67):
    """A degraded picture and another that is brighter, bluer and smoother."""
    generator = torch.Generator().manual_seed(0)
    degraded = torch.rand(1, 3, height, width, generator=generator) * 0.8 + 0.1
    restored = degraded * 0.4 + 0.3 + torch.tensor([0.0, 0.05, 0.15]).view(1, 3, 1, 1)
    restored[..., 20:30, 20:40] += 0.1
    return degraded, restored.clamp(0, 1)


def by_channel(image, function):
    return np.stack([function(channel) for channel in image[0].double().numpy()])


def fine(image):
    def band(channel):
        rows = ndimage.convolve1d(channel, SPLINE, 0, mode="mirror")
        return channel - ndimage.convolve1d(rows, SPLINE, 1, mode="mirror")

    return by_channel(image, band)


def low(image):
    return by_channel(image, lambda channel: ndimage.gaussian_filter(channel, FAITHFUL_SIGMA, mode="mirror"))


def luma(image):
    return (image[0].double().numpy() * np.array([0.299, 0.587, 0.114])[:, None, None]).sum(0)


def test_nothing_wanted_is_the_restored_picture_itself():
    degraded, restored = pair()
    assert controlled(degraded, restored, Controls()) is restored


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_strength_mixes(strength):
    degraded, restored = pair()
    result = controlled(degraded, restored, Controls(strength=strength))
    np.testing.assert_allclose(result, (1 - strength) * degraded + strength * restored, atol=1e-6)
    if strength == 0:
        assert torch.equal(result, degraded)


def test_luminance_and_chroma_apart():
    degraded, restored = pair()
    coloured = controlled(degraded, restored, Controls(luminance=0))
    np.testing.assert_allclose(luma(coloured), luma(degraded), atol=1e-6)
    assert (coloured - degraded).abs().max() > 0.05
    lit = controlled(degraded, restored, Controls(chroma=0))
    np.testing.assert_allclose(luma(lit), luma(restored), atol=1e-6)
    kept, had = (image - torch.tensor(luma(image)) for image in (lit, degraded))
    part = (kept * had).sum(1) / (had * had).sum(1)  # the colours are those it had, paler where there is no room
    np.testing.assert_allclose(kept, part[:, None] * had, atol=1e-6)
    assert float(part.median()) == pytest.approx(1)
    assert 0 <= float(part.min()) <= float(part.max()) < 1 + 1e-4
    both = controlled(degraded, restored, Controls(luminance=0.5, chroma=0.5))
    np.testing.assert_allclose(both, (degraded + restored) / 2, atol=1e-6)


def test_colours_out_of_reach_keep_their_luma():
    degraded = torch.tensor([0.02, 0.9, 0.05]).view(1, 3, 1, 1).expand(1, 3, 4, 4).contiguous()
    restored = torch.tensor([0.9, 0.95, 0.9]).view(1, 3, 1, 1).expand(1, 3, 4, 4).contiguous()
    result = controlled(degraded, restored, Controls(chroma=0))
    assert result.min() >= 0
    assert result.max() <= 1
    np.testing.assert_allclose(luma(result), luma(restored), atol=1e-6)


@pytest.mark.parametrize("detail", [0.4, 1.0])
def test_detail_gives_the_finest_band_back(detail):
    degraded, restored = pair()
    degraded, restored = degraded * 0.3 + 0.3, restored * 0.3 + 0.3  # nothing is clipped
    result = controlled(degraded, restored, Controls(detail=detail))
    smooth = restored[0].double().numpy() - fine(restored)
    band = detail * fine(degraded) + (1 - detail) * fine(restored)
    np.testing.assert_allclose(result[0], smooth + band, atol=1e-6)


@pytest.mark.parametrize("faithful", [0.5, 4.0])
@pytest.mark.parametrize("size", [(53, 67), (9, 200), (1, 1)])
def test_low_frequencies_stay_within_the_bound(faithful, size):
    degraded, restored = pair(*size)
    result = controlled(degraded, restored, Controls(faithful=faithful))
    assert np.abs(low(result) - low(degraded)).max() * 255 <= faithful + 1e-3
    assert result.min() >= 0
    assert result.max() <= 1
    if min(size) > 50:  # what is fine stays restored
        assert fine(result).std() < 0.6 * fine(degraded).std()


def test_what_is_within_the_bound_is_untouched():
    degraded, restored = pair()
    near = degraded + (restored - degraded) * 0.01
    assert torch.equal(controlled(degraded, near, Controls(faithful=30)), near)


def test_outside_of_a_mask_nothing_changes():
    degraded, restored = pair()
    mask = torch.zeros(1, 1, 53, 67)
    mask[..., 10:40, :30] = 1
    mask[..., 12:14, 50:60] = 0.5
    weight = feathered(mask, 8)
    controls = Controls(detail=0.2, luminance=0.5, faithful=3)
    result = controlled(degraded, restored, controls, weight)
    outside = (mask == 0).expand_as(degraded)
    assert torch.equal(result[outside], degraded[outside])
    assert np.abs(low(result) - low(degraded)).max() * 255 <= 3 + 1e-3
    whole = controlled(degraded, restored, Controls(), weight)
    torch.testing.assert_close(whole[..., 20:30, :20], restored[..., 20:30, :20])


def test_a_mask_rises_within_itself():
    mask = torch.zeros(1, 1, 60, 60)
    mask[..., 20:, :] = 1
    weight = feathered(mask, 8)[0, 0, :, 30]
    assert (weight[:20] == 0).all()
    assert (weight[27:] == 1).all()  # to the border of the picture
    assert (weight[20:28].diff() > 0).all()
    assert torch.equal(feathered(mask, 0), mask)
    square = torch.zeros(1, 1, 60, 60)
    square[..., 15:45, 15:45] = 1
    turned = feathered(square, 6)
    assert torch.equal(turned, turned.transpose(2, 3))


@pytest.mark.parametrize("controls", [Controls(detail=0.7), Controls(faithful=2.0), Controls(luminance=0.2)])
def test_a_part_with_its_halo_comes_out_as_in_the_whole(controls):
    degraded, restored = pair(600, 40)
    restored = degraded + (restored - degraded) * 0.1
    whole = controlled(degraded, restored, controls)
    begin = max(0, 580 - controls.halo)
    part = controlled(degraded[:, :, begin:], restored[:, :, begin:], controls)
    torch.testing.assert_close(part[:, :, 580 - begin :], whole[:, :, 580:], atol=0.5 / 255, rtol=0)


@pytest.mark.parametrize(
    "wrong", [{"strength": 2}, {"detail": -0.1}, {"luminance": "x"}, {"chroma": True}, {"faithful": 0}]
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Controls(**wrong)
