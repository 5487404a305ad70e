"""Adapters: the identity at first, what they promise, merged, saved, loaded, and refused by another base."""

import pytest
import torch
from torch import nn

from pellucid.diffusion.adapters import ADAPTERS, Butterfly, LowRank, adapt, energy, load_adapter, merge, save_adapter
from pellucid.diffusion.network import Generative
from pellucid.errors import ModelError, SettingsError

SETTINGS = {"lora": {"rank": 4, "alpha": 8.0}, "boft": {"block": 4, "factors": 2}}


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.SiLU(), nn.Conv2d(32, 16, 1))


def turned(weight, factors=2, block=4):
    torch.manual_seed(3)
    adapter = Butterfly(weight, block, factors)
    with torch.no_grad():
        adapter.skews.normal_(std=0.7)
    return adapter


@pytest.mark.parametrize("factors", [1, 2, 3])
def test_a_butterfly_is_orthogonal_and_more_than_its_blocks(factors):
    weight = torch.randn(5, 64, dtype=torch.float64)
    matrix = turned(weight, factors).matrix().detach().double()
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(64, dtype=torch.float64), atol=1e-5, rtol=0)
    # Each input reaches block ** factors outputs: more than with any number of factors of block diagonals.
    assert ((matrix.abs() > 1e-7).sum(0) == 4**factors).all()
    torch.testing.assert_close(turned(weight, factors)(weight.float()).double(), weight @ matrix.T, atol=1e-5, rtol=0)


def test_turning_keeps_the_energy_of_neurons_and_a_low_rank_change_does_not():
    weight = torch.randn(32, 16)
    before = energy(weight)
    assert energy(turned(weight)(weight).detach()) == pytest.approx(float(before), rel=1e-4)
    low = LowRank(weight, 4)
    nn.init.normal_(low.up)
    assert energy(low(weight).detach()) != pytest.approx(float(before), rel=1e-3)


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_an_adapter_begins_as_nothing_learns_merges_and_comes_back(kind, tmp_path):
    base, image = net(), torch.randn(2, 16, 8, 8)
    plain = base(image).detach()
    names = adapt(base, kind, **SETTINGS[kind])
    assert names == ["0", "2"]
    torch.testing.assert_close(base(image), plain, atol=1e-5, rtol=0)
    trainable = [value for value in base.parameters() if value.requires_grad]
    assert 0 < sum(value.numel() for value in trainable) < sum(value.numel() for value in net().parameters()) / 2
    optimizer = torch.optim.Adam(trainable, lr=0.05)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = (base(image) - plain.flip(0)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    learnt = base(image).detach()
    save_adapter(base, tmp_path / "adapter.safetensors", kind=kind, settings=SETTINGS[kind])
    fresh = net()
    load_adapter(fresh, tmp_path / "adapter.safetensors")
    torch.testing.assert_close(fresh(image), learnt, atol=1e-6, rtol=0)
    merge(base)
    assert sorted(base.state_dict()) == sorted(net().state_dict())
    torch.testing.assert_close(base(image), learnt, atol=2e-5, rtol=0)
    with pytest.raises(ModelError, match="another base"):
        load_adapter(net(seed=1), tmp_path / "adapter.safetensors")


def test_a_generative_network_is_adapted_whole(tmp_path):
    network = Generative.tiny()
    assert "denoiser.unet.encoders.0.0.first" in adapt(network, "lora", ("first", "second"), rank=2)
    assert all(
        value.requires_grad == ("parametrizations.weight.0" in name) for name, value in network.named_parameters()
    )
    with pytest.raises(ModelError, match="no adapters"):
        save_adapter(Generative.tiny(), tmp_path / "none.safetensors", kind="lora", settings={})


@pytest.mark.parametrize(
    ("kind", "targets", "settings", "message"),
    [
        ("lorra", (), {}, "did you mean 'lora'"),
        ("lora", ("0",), {"rank": 99}, "rank lies in"),
        ("boft", ("0",), {"block": 5}, "cannot be cut"),
        ("lora", ("to_q",), {}, "no layer has such a name"),
    ],
)
def test_what_cannot_be_adapted_is_said(kind, targets, settings, message):
    with pytest.raises(SettingsError, match=message):
        adapt(net(), kind, targets, **settings)


def test_other_files_are_no_adapters(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="not a readable"):
        load_adapter(net(), tmp_path / "bad.safetensors")
