"""Specs: every name builds, wrong ones say what is right, and nothing heavy is imported before it is needed."""

import subprocess
import sys

import pytest
import torch

from pellucid.errors import SettingsError
from pellucid.priors import PRIORS, build_prior


@pytest.mark.parametrize(("spec", "width"), [("zeros:512", 512), ("random:64", 64), ("random:64:3", 64)])
def test_a_priors_name_builds_it_again(spec, width):
    prior = build_prior(spec)
    assert (prior.name, prior.width) == (spec, width)
    image = torch.rand(2, 3, 9, 9)
    assert torch.equal(prior(image), build_prior(prior.name)(image))


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
    ],
)
def test_wrong_specs_say_what_is_right(spec, message):
    with pytest.raises(SettingsError, match=message):
        build_prior(spec)


def test_weights_for_a_prior_that_has_none_are_refused():
    with pytest.raises(SettingsError, match=r"'zeros' takes no file of weights, got x\.safetensors"):
        build_prior("zeros:8", weights="x.safetensors")


def test_importing_priors_imports_nothing_heavy():
    code = "import sys, pellucid.priors; print(*{'transformers', 'torchvision', 'PIL', 'timm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
