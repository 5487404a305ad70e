"""TextIR against outputs of its authors' networks, and its fusion, seeds and tasks."""

import json

import numpy as np
import pytest
import torch

from pellucid.errors import ModelError
from pellucid.guidance import Guidance
from pellucid.images.lab import lab_of
from pellucid.models.published import recognise
from pellucid.models.tables import build_network
from pellucid.networks import TextIR
from pellucid.networks.textir import TextIRDiscriminator
from support.parity import rule


def waves():
    """The noise that the vectors were made with."""
    for layer, side in enumerate((16, 32, 32, 64, 64)):
        places = torch.arange(side**2, dtype=torch.float64).view(1, 1, side, side)
        yield torch.sin(0.1 * places + layer).float()


@pytest.mark.parametrize("name", ["textir_inpaint", "textir_color", "textir_sr", "textir_disc"])
def test_vectors_of_the_authors_code(shared, name):
    vector = np.load(shared / f"parity/{name}.npz")
    settings, keys = (json.loads(str(vector[key])) for key in ("settings", "keys"))
    plus_one = set(json.loads(str(vector["plus_one"])))
    for case, gain, salt in (("", 1, ""), ("_B", settings["_ruleB"]["gain"], settings["_ruleB"]["salt"])):
        weights = {key: rule(key, shape, gain, salt, plus_one) for key, shape in keys.items()}
        image = torch.from_numpy(vector["input_a"])
        if name == "textir_disc":
            network = TextIRDiscriminator(64, 1 / 16)
            network.load_state_dict(weights)
            found = network(image)
        else:
            kind, own, renamed = recognise(weights)
            network = build_network(kind, own)
            network.load_state_dict(renamed)
            told = torch.from_numpy(vector["cond"])
            found = network.generate(image, told, 64 * settings["in_size"], noises=list(waves()))
        expected = torch.from_numpy(vector[f"output_a{case}"])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
        assert sum(value.numel() for value in network.parameters()) == settings["_params"]


@pytest.mark.parametrize(
    ("task", "size", "count"),
    [
        ("inpainting", 256, 37_879_704),
        ("colour", 256, 37_876_304),
        ("super-resolution", 512, 36_793_117),
        ("super-resolution", 1024, 37_438_882),
    ],
)
def test_sizes_are_the_published_ones(task, size, count):
    with torch.device("meta"):
        assert sum(value.numel() for value in TextIR(task, size).parameters()) == count


def test_the_discriminator_has_the_published_size():
    with torch.device("meta"):
        assert sum(value.numel() for value in TextIRDiscriminator(256).parameters()) == 28_859_521


def small(task, **more):
    torch.manual_seed(0)
    network = TextIR(task, 32, 1 / 32, 8, 4, **more)
    for value in network.parameters():
        value.data += 0.1 * torch.randn(value.shape)
    return network.eval()


@torch.no_grad()
def test_shares_of_the_fusion_are_normalised_and_of_either_sign():
    network, signed = small("inpainting"), small("inpainting", signed=True)
    told = torch.randn(5, 4) * 9
    for one, two in zip(network.condition_scale1, network.condition_scale2, strict=True):
        own, other = network._shares(one(told), two(told))
        torch.testing.assert_close(own**2 + other**2, torch.ones_like(own))
        assert min(float(own.min()), float(other.min())) >= 0
        own, other = signed._shares(one(told), two(told))
        assert min(float(own.min()), float(other.min())) < 0
    fresh = TextIR.tiny()
    own, other = fresh._shares(fresh.condition_scale1[0](told * 0), fresh.condition_scale2[0](told * 0))
    torch.testing.assert_close(own, torch.full_like(own, 0.5**0.5))
    torch.testing.assert_close(other, own)


@torch.no_grad()
def test_each_task_keeps_what_it_must_and_hears_the_words():
    image, words = torch.rand(1, 3, 32, 48), Guidance(vector=torch.randn(1, 4), seed=1)
    other = words.knowing(vector=torch.randn(1, 4))
    holed = image.clone()
    holed[..., 8:16, 8:30] = torch.nan
    filling = small("inpainting")
    found = filling(holed, words)
    assert torch.equal(found[~holed.isnan()], image[~holed.isnan()])
    assert found.isfinite().all()
    colouring = small("colour")
    coloured = colouring(image, words)
    inside = (coloured > 0).all(1) & (coloured < 1).all(1)
    torch.testing.assert_close(lab_of(coloured)[:, 0][inside], lab_of(image)[:, 0][inside], atol=0.1, rtol=0)
    enlarging = small("super-resolution")
    for network, given in ((filling, holed), (colouring, image), (enlarging, image)):
        assert not torch.equal(network(given, words), network(given, other))
        assert torch.equal(network(given, words), network(given, words))
        assert not torch.equal(network(given, words), network(given, words.knowing(seed=2)))
    assert not torch.equal(enlarging(image, words), enlarging(image, words.knowing(told={"factor": 64.0})))
    with pytest.raises(ModelError, match="vectors of 4 numbers"):
        filling(holed, Guidance(vector=torch.zeros(1, 5)))


@pytest.mark.parametrize("settings", [{"task": "deblurring"}, {"size": 100}, {"size": 16}, {"size": 0}])
def test_settings_that_cannot_be(settings):
    with pytest.raises(ValueError, match="must be"):
        TextIR(**settings)
