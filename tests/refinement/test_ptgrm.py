"""PTG-RM against the paper: sizes, an independent derivation of every equation, and invariance to strips."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pellucid.refinement import PTGRM
from pellucid.refinement.attention import convolve_per_location
from pellucid.refinement.guidance import GuidedConvolution, coordinates
from pellucid.refinement.windows import Windows


def randomised(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The module with every parameter away from its initial value, so that no term of an equation vanishes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.05)
    return module.eval()


def count(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_the_reference_has_the_published_number_of_parameters():
    assert count(PTGRM.reference()) == 671_735


def test_the_paper_form_adds_only_the_mask():
    assert count(PTGRM()) == 671_735 + 3 * (16 * 9 + 1)


@pytest.mark.parametrize("prior_width", [1, 512, 768, 1024, 1280, 2048, 4096])
def test_it_stays_under_a_million_parameters_for_any_prior(prior_width):
    assert count(PTGRM(prior_width)) < 1_000_000


def test_untrained_it_returns_the_restored_image():
    restored, degraded = torch.rand(2, 2, 3, 20, 28)
    refined = PTGRM(8)(restored, degraded, torch.randn(2, 8))
    torch.testing.assert_close(refined, restored, atol=1e-6, rtol=0)


# --- the equations, derived a second time, naively, in float64 and with concatenations and loops as the paper writes them


def naive(module: PTGRM, restored, degraded, g):
    w = {key: value.double() for key, value in module.state_dict().items()}
    restored, degraded, g = restored.double(), degraded.double(), g.double()
    reference = module.form == "reference"

    def conv(x, name, stride=1):
        weight = w[f"{name}.weight"]
        return F.conv2d(x, weight, w.get(f"{name}.bias"), stride=stride, padding=weight.shape[-1] // 2)

    def lrelu(x):
        return torch.where(x > 0, x, 0.1 * x)

    def instance_norm(x, name):
        mean = x.mean((2, 3), keepdim=True)
        deviation = ((x - mean) ** 2).mean((2, 3), keepdim=True).add(1e-5).sqrt()
        return (x - mean) / deviation * w[f"{name}.weight"].view(1, -1, 1, 1) + w[f"{name}.bias"].view(1, -1, 1, 1)

    def linear(x, name):
        return x @ w[f"{name}.weight"].T

    def prior_map(name):
        return linear(lrelu(linear(g, f"{name}.0")), f"{name}.2")

    def position(name, h, ww):
        rows, columns = np.meshgrid(np.linspace(-1, 1, h), np.linspace(-1, 1, ww), indexing="ij")
        grid = torch.from_numpy(np.stack([rows, columns]))[None].expand(len(g), 2, h, ww)
        return conv(lrelu(conv(grid, f"{name}.0")), f"{name}.2")

    def concatenated(x, vector, place):
        return torch.cat([x, vector[:, :, None, None].expand(-1, -1, *x.shape[2:]), place], 1)

    def layer_norm(x, name):
        mean = x.mean(1, keepdim=True)
        deviation = ((x - mean) ** 2).mean(1, keepdim=True).add(1e-5).sqrt()
        return (x - mean) / deviation * w[f"{name}.weight"].view(1, -1, 1, 1) + w[f"{name}.bias"].view(1, -1, 1, 1)

    def depthwise(x, name):
        weight = w[f"{name}.weight"]
        return torch.cat([F.conv2d(x[:, i : i + 1], weight[i : i + 1], padding=1) for i in range(x.shape[1])], 1)

    def restormer_block(x, name):
        y = depthwise(conv(layer_norm(x, f"{name}.attention_norm"), f"{name}.qkv"), f"{name}.qkv_depthwise")
        q, k, v = (part.flatten(2) for part in y.chunk(3, 1))
        q, k = q / q.norm(dim=2, keepdim=True), k / k.norm(dim=2, keepdim=True)
        attention = torch.softmax(q @ k.transpose(1, 2) * w[f"{name}.temperature"].view(1, 1, 1), -1)
        x = x + conv((attention @ v).view_as(x), f"{name}.attention_out")
        y = depthwise(conv(layer_norm(x, f"{name}.gate_norm"), f"{name}.gate_in"), f"{name}.gate_depthwise")
        one, other = y.chunk(2, 1)
        return x + conv(0.5 * one * (1 + torch.erf(one / 2**0.5)) * other, f"{name}.gate_out")

    f = conv(torch.cat([restored, degraded], 1), "encoder.first")
    f = conv(lrelu(instance_norm(f, "encoder.first_norm")), "encoder.second", stride=2)
    f = conv(instance_norm(f, "encoder.second_norm"), "encoder.third", stride=2)
    h, ww = f.shape[2:]
    guided = concatenated(f, prior_map("range_prior"), position("range_position", h, ww))
    m = torch.sigmoid(conv(lrelu(F.conv2d(guided, w["range_map.guided.weight"], padding=1)), "range_map.out"))
    f_s = f + conv(conv(f, "short_range.first").clamp_min(0), "short_range.second")
    f_l = f
    for index in range(len(module.long_range)):
        f_l = restormer_block(f_l, f"long_range.{index}")
    f_hat = m * f_l + (1 - m) * f_s if reference else m * f_s + (1 - m) * f_l

    t = prior_map("attention_prior")
    pooled = torch.cat([f_hat.mean((2, 3)), t], 1)
    m_c = torch.sigmoid(linear(lrelu(linear(pooled, "channel_attention.hidden")), "channel_attention.out"))
    guided = concatenated(f_hat, t, position("attention_position", h, ww))
    guided = F.conv2d(guided, w["spatial_attention.kernels.guided.weight"], padding=1)
    c_p = conv(lrelu(guided), "spatial_attention.kernels.out")
    filtered = torch.zeros_like(f_hat)
    for row in range(h):
        for column in range(ww):
            for tap in range(9):
                y = min(max(row + tap // 3 - 1, 0), h - 1)
                x = min(max(column + tap % 3 - 1, 0), ww - 1)
                kernel = c_p[:, tap * 16 : (tap + 1) * 16, row, column]
                filtered[:, :, row, column] += f_hat[:, :, y, x] * kernel
    m_s = torch.sigmoid(conv(lrelu(filtered), "spatial_attention.out"))
    f_bar = conv(torch.cat([f_hat * m_c[:, :, None, None], f_hat * m_s], 1), "fusion") + f_hat

    for name in ("decoder.grow_first", "decoder.grow_second"):
        f_bar = lrelu(F.pixel_shuffle(conv(f_bar, name), 2))
    maps = conv(lrelu(conv(f_bar, "decoder.full")), "decoder.out")
    if reference:
        return restored.clamp(0, 1) + maps
    return degraded + (restored - degraded) * (1 + maps[:, :3]) + maps[:, 3:]


@pytest.mark.parametrize("form", ["paper", "reference"])
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
@pytest.mark.parametrize("form", ["paper", "reference"])
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
