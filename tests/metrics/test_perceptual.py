"""LPIPS with random weights: its equation written out, its invariants, its published sizes, its files.

The published weights are not at hand, so no published number is compared here.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from skimage import data
from torch import nn

from pellucid.errors import ModelError, SettingsError
from pellucid.metrics import LPIPS, load_lpips
from pellucid.metrics.perceptual import BACKBONES


def weights(network, seed=0):
    """Random weights of the right shapes, as the two files hold them."""
    torch.manual_seed(seed)
    features = nn.Sequential(*BACKBONES[network].layers()).state_dict()
    backbone = {f"features.{name}": value for name, value in features.items()}
    heads = {f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1) for i, width in enumerate(BACKBONES[network].widths)}
    return backbone, heads


@pytest.fixture
def clean():
    return torch.from_numpy(data.astronaut()[100:164, 180:244] / 255).permute(2, 0, 1)[None].float()


def test_the_equation_written_out(clean):
    backbone, heads = weights("alex")
    restored = clean.flip(-1)
    mean, deviation = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])

    def features(image):
        x = (2 * image - 1 - mean[:, None, None]) / deviation[:, None, None]
        for index, stride, padding, pool in ((0, 4, 2, 0), (3, 1, 2, 1), (6, 1, 1, 1), (8, 1, 1, 0), (10, 1, 1, 0)):
            x = F.max_pool2d(x, 3, 2) if pool else x
            weight, bias = backbone[f"features.{index}.weight"], backbone[f"features.{index}.bias"]
            x = F.conv2d(x, weight, bias, stride, padding).relu()
            yield F.normalize(x, dim=1)

    expected = sum(
        F.conv2d((a - b) ** 2, heads[f"lin{i}.model.1.weight"]).mean().item()
        for i, (a, b) in enumerate(zip(features(restored), features(clean), strict=True))
    )
    assert LPIPS("alex", backbone, heads)(restored, clean).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("network", BACKBONES)
def test_invariants(network, clean):
    distance = LPIPS(network, *weights(network))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    degraded = torch.cat([clean + strength * noise for strength in (0, 0.02, 0.1, 0.3)])
    values = distance(degraded, clean.expand_as(degraded))
    assert values.shape == (4,)
    assert values[0].item() == pytest.approx(0, abs=1e-9)
    assert (values.diff() > 0).all()
    torch.testing.assert_close(distance(clean.expand_as(degraded), degraded), values)
    assert not any(parameter.requires_grad for parameter in distance.parameters())


def test_gradients_are_numbers_even_where_nothing_is_seen(clean):
    backbone, heads = weights("alex")
    for bias in (0.1, -100):
        changed = {name: torch.full_like(v, bias) if "bias" in name else v for name, v in backbone.items()}
        restored = clean.flip(-1).requires_grad_()
        LPIPS("alex", changed, heads)(restored, clean).sum().backward()
        assert restored.grad.isfinite().all()
        assert restored.grad.any() == (bias > 0)


@pytest.mark.parametrize(
    ("network", "parameters", "heads", "key"),
    [
        ("alex", 2_469_696, 1152, "features.10.weight"),
        ("vgg", 14_714_688, 1472, "features.28.weight"),
        ("squeeze", 722_496, 2240, "features.12.expand3x3.weight"),
    ],
)
def test_published_sizes(network, parameters, heads, key):
    backbone, linear = weights(network)
    assert sum(value.numel() for value in backbone.values()) == parameters
    assert sum(value.numel() for value in linear.values()) == heads
    assert key in backbone


@pytest.mark.parametrize("network", BACKBONES)
def test_too_small(network):
    distance, least = LPIPS(network, *weights(network)), BACKBONES[network].least
    assert distance(torch.rand(1, 3, least, least), torch.rand(1, 3, least, least)).isfinite().all()
    with pytest.raises(ValueError, match=f"each side needs {least}"):
        distance(torch.rand(1, 3, least - 1, 64), torch.rand(1, 3, least - 1, 64))
    # The least is the least: one pixel fewer leaves nothing at the last layer.
    with pytest.raises(RuntimeError):
        distance.features(torch.rand(1, 3, least - 1, 64))
    with pytest.raises(ValueError, match="expected two"):
        distance(torch.rand(1, 1, 64, 64), torch.rand(1, 1, 64, 64))


def test_files_of_both_kinds(tmp_path, clean):
    backbone, heads = weights("squeeze")
    expected = LPIPS("squeeze", backbone, heads)(clean.flip(-1), clean)
    # torchvision's files hold a classifier too.
    backbone["classifier.1.weight"] = torch.rand(4, 512, 1, 1)
    torch.save(backbone, tmp_path / "squeezenet.pth")
    save_file(heads, tmp_path / "häupter.safetensors")
    loaded = load_lpips(tmp_path / "squeezenet.pth", str(tmp_path / "häupter.safetensors"), "squeeze")
    assert torch.equal(loaded(clean.flip(-1), clean), expected)


def test_missing_and_broken_files(tmp_path):
    backbone, _ = weights("alex")
    missing, good, bad = tmp_path / "alexnet.pth", tmp_path / "good.pth", tmp_path / "bad.pth"
    torch.save(backbone, good)
    with pytest.raises(ModelError, match=r"weights of AlexNet as torchvision .* no file .*alexnet\.pth"):
        load_lpips(missing, missing)
    with pytest.raises(ModelError, match=r"heads of LPIPS v0\.1 for alex.* no file"):
        load_lpips(good, missing)
    for content in (b"", b"not weights", good.read_bytes()[:1000]):
        bad.write_bytes(content)
        with pytest.raises(ModelError, match=r"bad\.pth: not a readable weights file") as caught:
            load_lpips(bad, good)
        assert "\n" not in str(caught.value)
        bad.with_suffix(".safetensors").write_bytes(content)
        with pytest.raises(ModelError, match="not a readable weights file"):
            load_lpips(bad.with_suffix(".safetensors"), good)
    torch.save([1, 2], bad)
    with pytest.raises(ModelError, match="no dictionary of tensors"):
        load_lpips(bad, good)


def test_a_pickle_runs_no_code(tmp_path):
    torch.save({"features.0.weight": np.random.default_rng}, tmp_path / "code.pth")
    with pytest.raises(ModelError, match="not a readable weights file"):
        load_lpips(tmp_path / "code.pth", tmp_path / "code.pth")


def test_weights_of_something_else():
    backbone, heads = weights("alex")
    with pytest.raises(SettingsError, match="unknown network of LPIPS 'alexnet'; did you mean 'alex'"):
        LPIPS("alexnet", backbone, heads)
    with pytest.raises(ModelError, match=r"VGG-16: features\.0\.weight has the shape"):
        LPIPS("vgg", backbone, heads)
    with pytest.raises(ModelError, match=r"AlexNet: features\.0\.weight is missing"):
        LPIPS("alex", {}, heads)
    with pytest.raises(ModelError, match=r"it has no features\.99\.bias"):
        LPIPS("alex", backbone | {"features.99.bias": torch.zeros(1)}, heads)
    with pytest.raises(ModelError, match=r"heads of LPIPS v0\.1 for alex: lin3\.model\.1\.weight is missing"):
        LPIPS("alex", backbone, {name: value for name, value in heads.items() if "lin3" not in name})
