"""Specs: every name builds, wrong ones say what is right, and nothing heavy is imported before it is needed."""

import subprocess
import sys

import pytest
import torch

from pellucid.errors import SettingsError
from pellucid.models.priors import PRIORS, find_prior
from pellucid.priors import RandomVectors


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
        ("zeros", "expected zeros:WIDTH"),
        ("zeros:", "expected zeros:WIDTH"),
        ("zeros:0", "expected zeros:WIDTH"),
        ("zeros:-3", "expected zeros:WIDTH"),
        ("zeros:8:1", "expected zeros:WIDTH"),
        ("random:wide", "expected random:WIDTH"),
        ("random:8:1:2", "expected random:WIDTH"),
        ("statistics:all", "'statistics' takes nothing after a colon, got 'all'"),
        ("snr:5", "'snr' takes nothing after a colon, got '5'"),
        ("restorer:model.safetensors", r"ModuleFeatures\(network"),
    ],
)
def test_wrong_specs_say_what_is_right(spec, message):
    with pytest.raises(SettingsError, match=message):
        find_prior(spec)


def test_weights_for_a_prior_that_has_none_are_refused():
    with pytest.raises(SettingsError, match=r"'zeros' takes no file of weights, got x\.safetensors"):
        find_prior("zeros:8", weights="x.safetensors")


def test_other_builders_come_before_our_own_and_into_joined_priors():
    asked = []

    def restorer(file, weights):
        asked.append((file, weights))
        return RandomVectors(5)

    more = {"restorer": restorer}
    assert find_prior("restorer:C:/a b.safetensors", more=more).width == 5
    assert find_prior("joined(restorer:model.pth, statistics)", more=more).width == 5 + 41
    assert asked == [("C:/a b.safetensors", None), ("model.pth", None)]
    with pytest.raises(SettingsError, match="did you mean 'restorer'"):
        find_prior("restoren:x", more=more)


def test_importing_priors_imports_nothing_heavy():
    code = "import sys, pellucid.priors; print(*{'transformers', 'diffusers', 'torchvision', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
