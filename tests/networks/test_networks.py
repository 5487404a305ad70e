"""Networks: contracts, published sizes, homogeneity, and foreign classes."""

import json
import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pellucid.checkpoints import load_weights, read_weights
from pellucid.errors import ModelError, SettingsError
from pellucid.guidance import NOTHING, Guidance
from pellucid.models.tables import NETWORKS, build_network, network_name
from pellucid.networks import Experts, External, Guided, NAFNet, UNet
from pellucid.networks.nafnet import ChannelNorm, NAFBlock


def count(module):
    return sum(value.numel() for value in module.parameters())


@pytest.mark.parametrize("kind", [UNet, NAFNet])
@pytest.mark.parametrize("sides", [(1, 1), (2, 3)])
def test_sizes_are_kept_at_multiples(kind, sides):
    network = kind.tiny().eval()
    height, width = (side * network.contract.multiple for side in sides)
    assert network(torch.rand(2, 3, height, width)).shape == (2, 3, height, width)
    assert network.contract.scale == 1


def test_nafnet_has_the_published_size():
    """NAFNet-width32 of the paper's code for SIDD (encoder 2, 2, 4, 8, middle 12, decoder 2, 2, 2, 2) has 29.16 M
    parameters."""
    assert round(count(NAFNet(32, (2, 2, 4, 8), 12, (2, 2, 2, 2))) / 1e6, 2) == 29.16


def test_unet_has_the_size_that_its_shape_says():
    """DRUNet's widths 64 to 512 with 4 blocks a scale: 32.64 M, of which the noise map's input channel (64 x 9) is not
    ours."""
    assert round((count(UNet((64, 128, 256, 512), (4, 4, 4, 4))) + 64 * 9) / 1e6, 2) == 32.64


def test_a_bias_free_unet_is_homogeneous():
    network, image = UNet.tiny().eval(), torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(network(3.5 * image), 3.5 * network(image), rtol=1e-4, atol=1e-5)


def test_biases_of_zero_change_nothing_and_others_do():
    """A U-Net with biases takes the weights of one without, and then tells dark photographs from bright ones by
    learning."""
    plain, image = UNet.tiny().eval(), torch.rand(1, 3, 16, 16)
    biased = UNet((8, 16), (1, 1), bias=True).eval()
    assert "bias" not in plain.settings
    biased.load_state_dict(plain.state_dict())
    assert torch.equal(biased(image), plain(image))
    nn.init.constant_(biased.encoders[0][0].first.bias, 0.5)
    assert not torch.allclose(biased(2 * image), 2 * biased(image), atol=1e-3)
    again = build_network("unet", biased.settings)
    again.load_state_dict(biased.state_dict())
    assert torch.equal(again(image), biased(image))


def test_a_smooth_unet_leaves_no_grid_on_a_plain_surface():
    """Nothing but the border tells one pixel of a plain surface from the next; the taps of a transposed convolution
    do."""
    spread = []
    for smooth in (False, True):
        network = UNet((8, 16, 24), (1, 1, 1), bias=True, smooth=smooth).eval()
        assert network.settings.get("smooth", False) is smooth
        again = build_network("unet", network.settings)
        again.load_state_dict(network.state_dict())
        inner = again(torch.full((1, 3, 96, 96), 0.3))[:, :, 40:56, 40:56]
        spread.append(float((inner - inner[:, :, :1, :1]).detach().abs().max()))
    assert spread[0] > 1e-3
    assert spread[1] < 1e-6


def test_a_margin_is_mirrored_and_cut_off():
    """What a network sees beyond the image is the image in a mirror, as with a larger picture that goes on so."""
    plain, image = UNet((8, 16), (1, 1), bias=True).eval(), torch.rand(1, 3, 12, 8)
    framed = build_network("unet", plain.settings | {"margin": 4}).eval()
    framed.load_state_dict(plain.state_dict())
    larger = torch.from_numpy(np.pad(image.numpy(), ((0, 0), (0, 0), (4, 4), (4, 4)), mode="reflect"))
    torch.testing.assert_close(framed(image), plain(larger)[:, :, 4:-4, 4:-4])
    assert framed(torch.rand(1, 3, 2, 2)).shape == (1, 3, 2, 2)
    for margin in (3, -2):
        with pytest.raises(ValueError, match="margin"):
            UNet((8, 16), (1, 1), margin=margin)


def test_a_smooth_unet_takes_the_mean_of_transposed_taps():
    """With four equal taps both grow alike but for the interpolation, which a plain surface does not show."""
    rough, smooth = (UNet((8, 16, 24), (1, 1, 1), bias=True, smooth=smooth).eval() for smooth in (False, True))
    for name, value in rough.named_parameters():
        if name.startswith("upsamples") and name.endswith("weight"):
            nn.init.constant_(value, 0.0)
            value.data += torch.randn(*value.shape[:2], 1, 1)
    smooth.load_state_dict(rough.state_dict())
    plain = torch.full((1, 3, 96, 96), 0.3)
    inner = (slice(None), slice(None), slice(40, 56), slice(40, 56))
    torch.testing.assert_close(smooth(plain)[inner], rough(plain)[inner], atol=1e-4, rtol=1e-4)
    smooth.load_state_dict(smooth.state_dict())
    biasless = UNet((8, 16), (1, 1))
    UNet((8, 16), (1, 1), bias=True, smooth=True).load_state_dict(biasless.state_dict())


def test_a_state_with_some_biases_missing_is_refused():
    network = UNet((8, 16), (1, 1), bias=True)
    state = network.state_dict()
    del state["tail.bias"]
    with pytest.raises(RuntimeError, match=r"tail\.bias"):
        network.load_state_dict(state)


def test_channel_norm_is_layer_norm():
    features = torch.randn(2, 6, 3, 4)
    norm = ChannelNorm(6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    expected = nn.functional.layer_norm(features.permute(0, 2, 3, 1), (6,), norm.weight, norm.bias, 1e-6).permute(
        0, 3, 1, 2
    )
    torch.testing.assert_close(norm(features), expected, atol=1e-5, rtol=1e-5)


def test_a_new_naf_block_is_the_identity_and_then_is_not():
    block, features = NAFBlock(4), torch.randn(1, 4, 5, 5)
    assert torch.equal(block(features), features)
    nn.init.ones_(block.scale_space)
    assert not torch.allclose(block(features), features)


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"external", "results"}))
def test_settings_rebuild_the_same_network(name):
    first = {**NETWORKS, "experts": Experts, "guided": Guided}[name].tiny().eval()
    second = build_network(name, json.loads(json.dumps(first.settings))).eval()
    second.load_state_dict(first.state_dict())
    assert second.contract == first.contract
    assert second.settings == first.settings
    image = torch.rand(1, 3, 2 * first.contract.multiple, first.contract.multiple)
    width = first.contract.vector
    told = NOTHING if width is None else Guidance(vector=torch.randn(1, width))
    assert torch.equal(first(image, told), second(image, told))
    assert network_name(second) == name


def test_unknown_networks_and_settings_are_named():
    with pytest.raises(SettingsError, match=r"unknown network 'unett'; did you mean 'unet'"):
        build_network("unett")
    with pytest.raises(SettingsError, match="depth"):
        build_network("unet", {"depth": 3})
    with pytest.raises(SettingsError, match="one entry per scale"):
        build_network("unet", {"widths": [8, 16], "blocks": [1]})


class Doubler(nn.Module):
    """A foreign network: grey, on 0..255, with a dictionary of two outputs."""

    def __init__(self, gain=1.0):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, image):
        assert image.shape[1] == 1
        assert image.max() > 2
        return {"coarse": image[:, :, ::2, ::2], "fine": [image * self.gain]}


class Colour(nn.Module):
    def forward(self, image):
        return image[:, :, 1:]


@pytest.fixture
def foreign(monkeypatch):
    module = types.ModuleType("somebodys_networks")
    module.Doubler, module.Colour, module.function = Doubler, Colour, dict
    monkeypatch.setitem(sys.modules, "somebodys_networks", module)
    return "somebodys_networks"


def test_external_adapts_channels_ranges_and_outputs(foreign):
    network = External(f"{foreign}:Doubler", {"gain": 0.5}, channels=1, high=255)
    image = torch.rand(2, 3, 6, 8) * 0.5 + 0.5
    torch.testing.assert_close(network(image), image * 0.5)


def test_external_errors_say_what_is_wrong(foreign):
    with pytest.raises(SettingsError, match=r"package\.module:Class"):
        External("somewhere")
    with pytest.raises(SettingsError, match="cannot import 'no_such_package'"):
        External("no_such_package:Network")
    with pytest.raises(SettingsError, match=r"did you mean 'Doubler'"):
        External(f"{foreign}:Dobler")
    with pytest.raises(SettingsError, match="refused its arguments"):
        External(f"{foreign}:Doubler", {"volume": 11})
    with pytest.raises(SettingsError, match=r"not a torch\.nn\.Module"):
        External(f"{foreign}:function")
    with pytest.raises(ModelError, match=r"expected an output of shape \(1, 3, 4, 4\), got \(1, 3, 3, 4\)"):
        External(f"{foreign}:Colour")(torch.rand(1, 3, 4, 4))


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"params": s}, lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}}]
)
def test_weights_come_out_of_their_wrappings(tmp_path, wrap):
    source, target = UNet.tiny(), UNet.tiny()
    torch.save(wrap(source.state_dict()), tmp_path / "weights.pth")
    load_weights(target, tmp_path / "weights.pth")
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))


def test_bad_weights_are_explained(tmp_path):
    network = UNet.tiny()
    with pytest.raises(ModelError, match="no such weights file"):
        load_weights(network, tmp_path / "missing.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(ModelError, match=r"text\.pth: not a readable weights file"):
        read_weights(tmp_path / "text.pth")
    save_file({"other": torch.zeros(2), "head.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(
        ModelError, match=r"missing .*1 unknown \(other\).*1 of another shape \(head\.weight is \(1,\), expected"
    ):
        load_weights(network, tmp_path / "other.safetensors")


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle ran')",))


def test_a_pickle_never_runs(tmp_path):
    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(ModelError, match="not a readable weights file"):
        read_weights(tmp_path / "bomb.pth")
