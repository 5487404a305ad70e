"""PTG-RM against the paper: sizes, an independent derivation of every equation, and invariance to strips."""

import pytest
import torch
import torch.nn.functional as F
from naive import naive, randomised

from pellucid.refinement import PTGRM
from pellucid.refinement.attention import SpatialAttention, convolve_per_location
from pellucid.refinement.guidance import GuidedConvolution, coordinates
from pellucid.refinement.windows import Windows


def count(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_the_reference_has_the_published_number_of_parameters():
    assert count(PTGRM.reference()) == 671_735


def test_the_paper_form_adds_only_the_mask():
    assert count(PTGRM()) == 671_735 + 3 * (16 * 9 + 1)


@pytest.mark.parametrize("form", ["paper", "pellucid"])
@pytest.mark.parametrize("prior_width", [1, 512, 768, 1024, 1280, 2048, 4096])
def test_it_stays_under_a_million_parameters_for_any_prior(prior_width, form):
    assert count(PTGRM(prior_width, form=form)) < 1_000_000


@pytest.mark.parametrize("form", ["paper", "pellucid"])
def test_untrained_it_returns_the_restored_image(form):
    restored, degraded = torch.rand(2, 2, 3, 20, 28)
    refined = PTGRM(8, form=form)(restored, degraded, torch.randn(2, 8))
    torch.testing.assert_close(refined, restored, atol=1e-6, rtol=0)


@pytest.mark.parametrize("form", ["paper", "reference", "pellucid"])
@pytest.mark.parametrize("size", [(20, 28), (4, 4), (8, 12)])
def test_it_agrees_with_a_naive_derivation(form, size):
    module = randomised(PTGRM(512, form=form))
    restored, degraded = torch.rand(2, 2, 3, *size) * 1.4 - 0.2
    feature = torch.randn(2, 512)
    with torch.no_grad():
        refined = module(restored, degraded, feature)
        expected = naive(module, restored, degraded, feature)
    torch.testing.assert_close(refined.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", [1, 4, 7, 16])
@pytest.mark.parametrize("form", ["paper", "reference", "pellucid"])
def test_windows_do_not_change_the_result(side, form, monkeypatch):
    module = randomised(PTGRM(16, form=form))
    restored, degraded = torch.rand(2, 2, 3, 68, 44)
    feature = torch.randn(2, 16)
    with torch.no_grad():
        whole = module(restored, degraded, feature)
        monkeypatch.setattr(module, "_window", lambda _: side)
        assert not Windows(17, 11, side).whole
        divided = module(restored, degraded, feature, memory=1)
    torch.testing.assert_close(divided, whole, atol=2e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("form", ["paper", "reference", "pellucid"])
@pytest.mark.parametrize("memory", [None, 1])
def test_half_precision_is_near_float32(form, dtype, memory):
    module = randomised(PTGRM(32, form=form))
    restored, degraded = torch.rand(2, 1, 3, 80, 96)
    feature = torch.randn(1, 32)
    with torch.no_grad():
        expected = module(restored, degraded, feature)
        refined = module.to(dtype)(restored.to(dtype), degraded.to(dtype), feature.to(dtype), memory=memory)
    assert refined.dtype == torch.float32
    assert -10 * torch.log10((refined - expected).square().mean()) > 45


def test_bounded_masks_do_not_saturate_however_large_the_features_are():
    # The paper's form does: its logits grow with the square of the features.
    shares = {}
    for bounded in (False, True):
        attention = randomised(SpatialAttention(8, 3, prior=False, position=False, bounded=bounded))
        with torch.no_grad():
            weights = attention(1000 * torch.randn(1, 8, 24, 24), None, None)
        shares[bounded] = float(((weights < 0.02) | (weights > 0.98)).float().mean())
    assert shares[False] > 0.9
    assert shares[True] < 0.05


def test_brightness_reaches_the_latent_only_where_levels_are_kept():
    # A constant factor on both images is what instance normalisation takes away.
    restored, degraded = torch.rand(2, 1, 3, 16, 16)
    moved = {}
    for levels in (False, True):
        encoder = randomised(PTGRM(8, levels=levels)).encoder
        with torch.no_grad():
            bright, dark = (encoder(factor * restored, factor * degraded, Windows(4, 4)) for factor in (1.0, 0.5))
        moved[levels] = float((bright - dark).abs().max() / bright.abs().max())
    assert moved[False] < 0.02
    assert moved[True] > 0.05


def test_the_form_drops_what_a_variant_leaves_nothing_for():
    assert not PTGRM(8, form="pellucid", range_map="sum").settings["added"]
    assert PTGRM(8, form="pellucid", guidance="concatenated-vector").film is None
    with pytest.raises(ValueError, match="film"):
        PTGRM(8, film=True, guidance="concatenated-vector")
    with pytest.raises(ValueError, match="added"):
        PTGRM(8, added=True, range_map="sum")


def test_what_it_was_made_of_makes_it_again():
    for form in ("paper", "reference", "pellucid"):
        module = PTGRM(8, form=form)
        assert PTGRM(**module.settings).settings == module.settings


def test_less_memory_gives_smaller_windows():
    module = PTGRM(16)
    sides = [module._window(memory) for memory in (1, 64 << 20, 1 << 30)]
    assert sides[0] == 16
    assert sides == sorted(set(sides))


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (3, 4), (7, 9)])
def test_the_guided_convolution_equals_its_concatenation(size):
    module = GuidedConvolution(4, 5)
    features, position, prior = torch.randn(2, 4, *size), torch.randn(2, 4, *size), torch.randn(2, 16)
    joined = torch.cat([features, prior[:, :, None, None].expand(-1, -1, *size), position], 1)
    torch.testing.assert_close(
        module(features, prior, position), F.conv2d(joined, module.weight, padding=1), atol=1e-5, rtol=1e-5
    )


def test_per_location_kernels_that_pick_one_tap_shift_the_image():
    features = torch.rand(1, 2, 5, 6)
    kernels = torch.zeros(1, 9, 2, 5, 6)
    kernels[:, 5] = 1  # the tap to the right of the centre
    shifted = convolve_per_location(features, kernels.flatten(1, 2))
    expected = torch.cat([features[..., 1:], features[..., -1:]], dim=3)
    torch.testing.assert_close(shifted, expected)


def test_a_crop_has_the_coordinates_of_its_place_in_the_whole():
    whole = coordinates(torch.Size([1, 1, 12, 20]), None, torch.device("cpu"))
    grid = torch.tensor([[3 / 12, 5 / 20, 9 / 12, 15 / 20]])
    crop = coordinates(torch.Size([1, 1, 6, 10]), grid, torch.device("cpu"))
    torch.testing.assert_close(crop, whole[:, :, 3:9, 5:15], atol=1e-6, rtol=0)


def test_the_prior_and_every_parameter_matter():
    module = randomised(PTGRM(8))
    restored, degraded = torch.rand(2, 1, 3, 16, 16)
    refined = module(restored, degraded, torch.randn(1, 8))
    other = module(restored, degraded, torch.randn(1, 8))
    assert (refined - other).abs().max() > 1e-6
    refined.sum().backward()
    assert [name for name, value in module.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="divisible by 4"):
        PTGRM(8)(torch.rand(1, 3, 6, 8), torch.rand(1, 3, 6, 8), torch.rand(1, 8))
    with pytest.raises(ValueError, match="two images of one size"):
        PTGRM(8)(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 12), torch.rand(1, 8))
