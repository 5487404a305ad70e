"""Published networks: their sizes, and that each computes its paper's formulas."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pellucid.guidance import NOTHING, Guidance
from pellucid.models.published import PUBLISHED
from pellucid.models.tables import NETWORKS, build_network
from pellucid.networks import IAT, RUAS, SCI, AODNet, DnCNN, PairLIE, PReNet, URetinexNet, ZeroDCE, uretinex_net
from pellucid.networks.iat import ChannelMix


def count(module):
    return sum(value.numel() for value in module.parameters())


def randomised(network):
    """Evaluation mode, no parameter at a special value, statistics of batch normalisations neither 0 nor 1."""
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            nn.init.uniform_(value, 0.5, 1.5) if "running" in key else nn.init.normal_(value, std=0.3)
    return network.eval()


def disturbed(network):
    """As `randomised`, and near the first weights: the values of deep networks would grow beyond all bounds."""
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            value += 0.03 * torch.rand_like(value) if "running" in key else 0.03 * torch.randn_like(value)
    return network.eval()


def zeroed(network):
    for value in network.parameters():
        nn.init.zeros_(value)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (ZeroDCE(), 79_416),  # the paper
        (DnCNN(17), 2 * 64 * 9 + 15 * (64 * 64 * 9 + 2 * 64)),  # section III of the paper; 0.556 M in later tables
        (DnCNN(20), 2 * 64 * 9 + 18 * (64 * 64 * 9 + 2 * 64)),
        (RUAS(), 3_438),  # the paper: 0.003 M
        (SCI().illumination, 258),  # the paper: 0.0003 M
        (PReNet(), 168_963),  # the paper
        (AODNet(), 1_761),  # 0.002 M in later tables
        (PairLIE(), 341_767),  # the paper: 0.342 M
        (IAT(), 91_154),  # the authors' page: 91.15 k
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else str(value),
)
def test_sizes_are_those_published(network, parameters):
    assert count(network) == parameters


GOPRO = {"encoder_blocks": (1, 1, 1, 28), "middle_blocks": 1, "decoder_blocks": (1, 1, 1, 1), "window": 384}
LARGE_SWIN = {"width": 240, "blocks": [6] * 9, "heads": [8] * 9, "narrow": True}
LIGHT_SWIN = {"width": 60, "blocks": [6] * 4, "heads": [6] * 4}


@pytest.mark.parametrize(
    ("name", "settings", "parameters"),
    [  # of the authors' own modules, which the papers' rounded numbers agree with
        ("drsformer", {}, 33_655_424),
        ("drsformer", {"mixtures": False}, 32_610_304),
        ("drunet", {}, 32_640_960),
        ("drunet", {"channels": 1}, 32_638_656),
        ("ffdnet", {}, 852_108),
        ("ffdnet", {"depth": 15, "width": 64, "channels": 1}, 485_316),
        ("grid_dehaze_net", {}, 958_051),
        ("llformer", {}, 24_549_014 - 4 * 2 * 128 - 32 * 32),  # less what nothing uses
        ("mprnet", {}, 20_127_073),
        ("mprnet", {"width": 40, "step": 20, "extra": 16}, 3_637_249),
        ("mprnet", {"width": 80}, 15_741_025),
        ("nafnet", {}, 29_159_715),
        ("nafnet", {"width": 64}, 115_982_915),
        ("nafnet", GOPRO, 17_111_907),
        ("nafnet", {"width": 64, **GOPRO}, 67_888_835),
        ("restormer", {"norm_bias": False}, 26_111_668),
        ("restormer", {"norm_bias": False, "channels": 1}, 26_109_076),
        ("restormer", {"channels": 6}, 26_132_548),
        ("sfnet", {}, 13_271_209 - 4 * (16 + 32 + 64) * 2),  # less what nothing uses
        ("snr_aware", {}, 39_124_099),
        ("swinir", {}, 11_504_163),
        ("swinir", {"channels": 1}, 11_497_681),
        ("swinir", {"window": 7}, 11_492_067),
        ("swinir", {"window": 7, "channels": 1}, 11_485_585),
        ("swinir", {"scale": 2, "enlarging": "shuffle"}, 11_752_487),
        ("swinir", {"scale": 3, "enlarging": "shuffle"}, 11_937_127),
        ("swinir", {"scale": 4, "enlarging": "shuffle"}, 11_900_199),
        ("swinir", {"scale": 2, "enlarging": "direct", **LIGHT_SWIN}, 910_152),
        ("swinir", {"scale": 4, "enlarging": "nearest"}, 11_715_559),
        ("swinir", {"scale": 4, "enlarging": "nearest", **LARGE_SWIN}, 28_013_059),
        ("uformer", {}, 50_880_946),
        ("uformer", {"blocks": [2] * 9}, 20_751_197),
        ("uformer", {"blocks": [2] * 9, "width": 16}, 5_291_853),
        ("uretinex_net", {}, 340_105),
    ],
    ids=str,
)
def test_hosts_have_the_sizes_of_their_authors(name, settings, parameters):
    with torch.device("meta"):
        assert count(build_network(name, settings)) == parameters


@pytest.mark.parametrize("name", sorted(PUBLISHED))
@pytest.mark.parametrize("sides", [(1, 1), (1, 5), (37, 53)])
def test_any_size_comes_back_and_images_of_a_batch_do_not_mix(name, sides):
    network = NETWORKS[name].tiny()
    assert network.contract.scale == 1
    multiple = network.contract.multiple
    network = randomised(network) if multiple == 1 and name != "grid_dehaze_net" else disturbed(network)
    sides = tuple(-(-side // multiple) * multiple for side in sides)
    batch = torch.rand(2, 3, *sides)
    kept = batch.clone()
    with torch.no_grad():
        restored = network(batch)
        assert restored.shape == batch.shape
        assert restored.dtype == torch.float32
        assert restored.isfinite().all()
        alone = torch.cat([network(image[None]) for image in batch])
        torch.testing.assert_close(restored, alone, atol=1e-4 * max(1, float(restored.abs().max())), rtol=1e-4)
    assert torch.equal(batch, kept)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_all_parameters_used_for_the_image_can_be_trained(name):
    network = NETWORKS[name].tiny()
    network(torch.rand(2, 3, 16, 16)).square().mean().backward()
    idle = {key for key, value in network.named_parameters() if value.grad is None}
    # SCI's second network works in the cascade only, and SFNet's smaller images for their own loss.
    others = {"sci": ("calibration.",), "sfnet": ("tails.0.", "tails.1.")}.get(name, ())
    assert all(key.startswith(others) for key in idle)


def convolved(image, weight, bias=None):
    """The zero-padded correlation of (C, H, W) with (D, C, 3, 3), by loops."""
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    result = np.zeros((len(weight), *image.shape[1:]))
    for out, row, column in np.ndindex(result.shape):
        result[out, row, column] = (padded[:, row : row + 3, column : column + 3] * weight[out]).sum()
    return result if bias is None else result + bias[:, None, None]


def test_dncnn_is_a_naive_loop():
    network = randomised(DnCNN(depth=4, width=3))
    state = {key: value.double().numpy() for key, value in network.state_dict().items()}
    image = torch.rand(1, 3, 4, 5)
    with torch.no_grad():
        restored = network(image)
    for channel in range(3):
        plane = image[0, channel : channel + 1].double().numpy()
        features = np.maximum(convolved(plane, state["layers.0.weight"]), 0)
        for layer in (2, 5):
            features = convolved(features, state[f"layers.{layer}.weight"])
            norm = {key: state[f"layers.{layer + 1}.{key}"][:, None, None] for key in
                    ("weight", "bias", "running_mean", "running_var")}  # fmt: skip
            features = (features - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5)
            features = np.maximum(features * norm["weight"] + norm["bias"], 0)
        expected = plane - convolved(features, state["layers.8.weight"])
        np.testing.assert_allclose(restored[0, channel : channel + 1], expected, atol=1e-4)


def test_dncnn_computes_a_grey_picture_once_and_exactly():
    network, seen = randomised(DnCNN.tiny()), []
    network.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    plane, colours = torch.rand(1, 1, 9, 7), torch.rand(1, 3, 9, 7)
    nearly = plane.repeat(1, 3, 1, 1)
    nearly[0, 2, 8, 6] += 1e-6
    with torch.no_grad():
        alone, grey = network(plane), network(plane.repeat(1, 3, 1, 1))
        network(colours), network(nearly)
    assert seen == [(1, 1, 9, 7), (1, 1, 9, 7), (3, 1, 9, 7), (3, 1, 9, 7)]
    assert torch.equal(grey, alone.repeat(1, 3, 1, 1))
    network.train()(plane.repeat(1, 3, 1, 1))
    assert seen[-1] == (3, 1, 9, 7)


def test_dncnn_for_colours_mixes_them():
    network = randomised(DnCNN(depth=3, width=4, channels=3))
    image = torch.rand(1, 3, 6, 6)
    changed = image.clone()
    changed[:, 2] = 0
    assert not torch.equal(network(image)[:, 0], network(changed)[:, 0])


def test_zero_dce_applies_the_papers_curve():
    network = ZeroDCE.tiny()
    image, curves = torch.rand(1, 3, 2, 2), torch.rand(1, 6, 2, 2) * 2 - 1
    bright = network.brighten(image, curves)
    for channel, row, column in itertools.product(range(3), range(2), range(2)):
        value = image[0, channel, row, column].item()
        for step in range(2):
            alpha = curves[0, 3 * step + channel, row, column].item()
            value = value + alpha * value * (1 - value)
        assert bright[0, channel, row, column].item() == pytest.approx(value, abs=1e-6)
    assert bright.amin() >= 0
    assert bright.amax() <= 1


def test_zero_dce_gives_the_maps_that_it_applies():
    network, image = randomised(ZeroDCE.tiny()), torch.rand(1, 3, 5, 6)
    curves = network.curves(image)
    assert curves.shape == (1, 6, 5, 6)
    assert curves.abs().amax() <= 1
    assert torch.equal(network(image), network.brighten(image, curves))


def test_aod_net_is_its_formula():
    network, image = zeroed(AODNet()), torch.rand(1, 3, 4, 4)
    nn.init.constant_(network.convolutions[-1].bias, 2.0)
    torch.testing.assert_close(network(image), (2 * image - 2 + 1).relu())
    nn.init.constant_(network.convolutions[-1].bias, -2.0)  # K is not negative
    torch.testing.assert_close(network(image), torch.ones_like(image))


def test_prenet_recurs_as_an_lstm_cell():
    """On one pixel a convolution is its central weights, so the convolutional LSTM is an ordinary one."""
    network, hidden = randomised(PReNet(width=4, blocks=1, iterations=3)), []
    network.blocks.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0][0, :, 0, 0]))
    image = torch.rand(1, 3, 1, 1)
    with torch.no_grad():
        stages = network.stages(image)
        gates = [network.input_gate, network.forget_gate, network.candidate, network.output_gate]  # torch's order
        weight = torch.cat([gate.weight[:, :, 1, 1] for gate in gates])
        cell = nn.LSTMCell(4, 4)
        cell.load_state_dict(
            {
                "weight_ih": weight[:, :4],
                "weight_hh": weight[:, 4:],
                "bias_ih": torch.cat([gate.bias for gate in gates]),
                "bias_hh": torch.zeros(16),
            }
        )
        state = (torch.zeros(1, 4), torch.zeros(1, 4))
        for index, before in enumerate([image, *stages[:-1]]):
            seen = torch.cat([image, before], 1)[0, :, 0, 0]
            state = cell((network.head.weight[:, :, 1, 1] @ seen + network.head.bias).relu()[None], state)
            torch.testing.assert_close(hidden[index], state[0][0])


def test_prenet_goes_on_where_fewer_stages_end():
    longer, image = randomised(PReNet(width=4, blocks=1, iterations=3)), torch.rand(1, 3, 6, 5)
    shorter = PReNet(width=4, blocks=1, iterations=2).eval()
    shorter.load_state_dict(longer.state_dict())
    assert torch.equal(longer.stages(image)[1], shorter(image))
    assert torch.equal(zeroed(longer)(image), image)


def test_pairlie_mirrors_at_the_border_down_to_one_pixel():
    """Where borders are mirrored, a flat picture stays flat, and its size does not matter."""
    network, colour = randomised(PairLIE.tiny()), torch.rand(1, 3, 1, 1)
    expected = network(colour)
    for sides in ((1, 4), (3, 1), (7, 5)):
        torch.testing.assert_close(network(colour.expand(1, 3, *sides)), expected.expand(1, 3, *sides))


@pytest.mark.parametrize("exponent", [0.0, 0.2, 1.0])
def test_pairlie_puts_together_what_it_splits(exponent):
    network, image = randomised(PairLIE(width=4, exponent=exponent)), torch.rand(1, 3, 6, 5)
    projected, illumination, reflectance = network.split(image)
    assert projected.shape == reflectance.shape == (1, 3, 6, 5)
    assert illumination.shape == (1, 1, 6, 5)
    expected = np.power(illumination.detach().numpy(), exponent) * reflectance.detach().numpy()
    np.testing.assert_allclose(network(image).detach(), expected, rtol=1e-5)


def test_sci_divides_by_its_illumination_and_calibrates():
    """Without weights both networks give half: x = y + 1/2, s = z - 1/2."""
    network, image = zeroed(SCI.tiny()), torch.rand(1, 3, 4, 4)
    first, second, third = network.stages(image)
    torch.testing.assert_close(first.illumination, (image + 0.5).clamp(max=1))
    torch.testing.assert_close(network(image), image / (image + 0.5).clamp(max=1))
    assert torch.equal(first.enhanced, network(image))
    torch.testing.assert_close(second.input, image + first.enhanced - 0.5)
    torch.testing.assert_close(third.input, image + second.enhanced - 0.5)


def test_ruas_starts_warm_and_divides():
    """Without weights every illumination is half, and there is no noise."""
    network, image, seen = zeroed(RUAS.tiny()), torch.rand(1, 3, 4, 5), []
    for cell in network.illumination:
        cell.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    expected = (2 * image).clamp(max=1)
    torch.testing.assert_close(network(image), expected)

    def brightest(picture):
        padded = np.pad(picture.numpy()[0], ((0, 0), (0, 1), (0, 1)))
        return np.max([padded[:, i : i + 4, j : j + 5] for i in (0, 1) for j in (0, 1)], 0)

    np.testing.assert_allclose(seen[0][0], brightest(image))
    np.testing.assert_allclose(seen[1][0], brightest(expected) - 0.5 * (expected - image)[0].numpy(), atol=1e-6)


def test_ruas_can_leave_its_noise_removal_out():
    network, image = randomised(RUAS.tiny()), torch.rand(1, 3, 4, 5)
    plain = RUAS(**network.settings | {"denoise": False}).eval()
    plain.load_state_dict(network.state_dict())
    assert torch.equal(plain(image), network.stages(image)[-1].enhanced)
    assert not torch.equal(plain(image), network(image))


def test_iat_mixes_channels_by_matrix_then_factor_and_offset():
    mix, features = randomised(ChannelMix(4)), torch.randn(2, 4, 3, 2)
    expected = torch.tensordot(features.movedim(1, -1), mix.matrix, dims=[[-1], [-1]]) * mix.scale + mix.offset
    torch.testing.assert_close(mix(features), expected.movedim(-1, 1))


def test_iat_attends_by_softmax():
    branch, image = randomised(IAT.tiny()).global_branch, torch.rand(1, 3, 8, 12)
    with torch.no_grad():
        features = branch.embedding(image)
        tokens = branch.norm_tokens((features + branch.position(features)).flatten(2).transpose(1, 2))[0]
        heads = []
        for part in (slice(0, 4), slice(4, 8)):
            scores = branch.queries[0, :, part] @ (tokens @ branch.key.weight.T)[:, part].T / 2
            heads.append(scores.softmax(1) @ (tokens @ branch.value.weight.T)[:, part])
        answers = branch.project(torch.cat(heads, 1))
        answers = answers + branch.narrow(F.gelu(branch.widen(branch.norm_answers(answers))))
        exponent, matrix = branch(image)
        torch.testing.assert_close(exponent[0], branch.exponent + branch.to_exponent(answers[0]))
        torch.testing.assert_close(matrix[0], branch.matrix + branch.to_matrix(answers[1:]).reshape(3, 3))


def test_iat_is_its_formula():
    network, image = IAT.tiny().eval(), torch.rand(1, 3, 5, 4)
    network.global_branch.exponent.data.fill_(0.5)
    network.global_branch.matrix.data.copy_(torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]))
    factor, offset = network.local_branch(image)
    turned = (image * factor + offset)[:, [1, 2, 0]]
    torch.testing.assert_close(network(image), turned.clamp(1e-8, 1).sqrt())


def test_iat_on_a_tile_is_iat_where_it_has_seen_the_whole_picture():
    network, image = IAT.tiny().eval(), torch.rand(1, 3, 50, 60)
    for layer in (network.global_branch.value, network.global_branch.to_matrix):
        nn.init.normal_(layer.weight)
    tile, inside = image[:, :, 10:40, 15:50], (..., slice(6, -6), slice(6, -6))  # a pixel sees 5 around it
    with torch.no_grad():
        expected = network(image)[:, :, 10:40, 15:50][inside]
        guidance = network.look(image)
        exponent, matrix = network.global_branch(image)
        assert torch.equal(guidance.own["exponent"], exponent)
        assert torch.equal(guidance.own["matrix"], matrix)
        torch.testing.assert_close(network.restore(tile, guidance)[inside], expected)
        torch.testing.assert_close(network(tile, guidance)[inside], expected)
        assert (network(tile)[inside] - expected).abs().max() > 1e-3


def test_networks_that_need_no_whole_picture_are_left_alone():
    network, image = randomised(ZeroDCE.tiny()), torch.rand(1, 3, 8, 8)
    expected = network(image[:, :, :4])
    assert not network.contract.looks
    assert network.look(image) is NOTHING
    known = Guidance(vector=torch.rand(1, 4), seed=3)
    assert network.look(image, known) is known
    assert torch.equal(network.restore(image[:, :, :4], network.look(image, known)), expected)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (DnCNN, {"depth": 1}),
        (DnCNN, {"channels": 2}),
        (ZeroDCE, {"iterations": 0}),
        (PReNet, {"blocks": 0}),
        (PairLIE, {"exponent": -1}),
        (SCI, {"iterations": 0}),
        (RUAS, {"width": 0}),
        (IAT, {"global_width": 10}),
    ],
)
def test_settings_that_cannot_be_are_refused(kind, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        kind(**settings)


def test_uretinex_net_in_tiles_is_the_whole(monkeypatch):
    """The weights by which it weighs its features are those of the whole picture, found in strips of it."""
    network = disturbed(URetinexNet.tiny())
    nn.init.constant_(network.reflectance.squeeze.weight, 1.0)
    nn.init.normal_(network.reflectance.excite.weight)
    nn.init.normal_(network.reflectance.tail.weight)
    image = torch.rand(2, 3, 60, 40)
    image[..., 48:, :] = 0
    monkeypatch.setattr(uretinex_net, "STRIP", 40 * 11)
    guidance = network.look(image)
    assert network.look(image, cut=False) is NOTHING
    with torch.no_grad():
        whole = network(image)
        torch.testing.assert_close(network(image, guidance), whole, atol=1e-6, rtol=1e-5)
        # The decomposition reaches 4 pixels, each round 8, and the adjustment 8 more: 36.
        torch.testing.assert_close(
            network(image[..., :48, :], guidance)[..., :8, :], whole[..., :8, :], atol=1e-6, rtol=1e-5
        )
        of_part = network.look(image[..., :48, :])
    assert (of_part.own["weights"] - guidance.own["weights"]).abs().max() > 1e-3
