"""Published networks with their authors' weights, and the numbers that they are known for."""

import numpy as np
import pytest
import torch

import pellucid
from pellucid import images
from pellucid.checkpoints import read_weights
from pellucid.errors import ModelError
from pellucid.metrics import luma, psnr
from pellucid.models.published import recognise
from pellucid.models.tables import NETWORKS, build_network

FILES = {
    "aod_net": "aod_net",
    "dncnn_b": "dncnn",
    "dncnn_s15": "dncnn",
    "dncnn_s25": "dncnn",
    "dncnn_s50": "dncnn",
    "iat_lol_v1": "iat",
    "pairlie": "pairlie",
    "prenet_rain100h": "prenet",
    "prenet_rain100l": "prenet",
    "ruas_lol": "ruas",
    "sci_difficult": "sci",
    "sci_easy": "sci",
    "sci_medium": "sci",
    "zero_dce": "zero_dce",
}
"""The weights files of the shared folder, and the networks that they belong to."""


def published_network(shared, name, **settings):
    network, known, weights = recognise(read_weights(shared / f"weights/{name}.safetensors"))
    module = build_network(network, known | settings)
    module.load_state_dict(weights)
    return module.eval()


@pytest.mark.parametrize("name", sorted(FILES))
def test_real_files_load_and_restore(shared, name):
    restorer = pellucid.load(shared / f"weights/{name}.safetensors", precision="float32")
    assert type(restorer.network) is NETWORKS[FILES[name]]
    degraded = images.read(shared / "data/eval/lol_eval15/low/1.png").pixels[:, :, 100:137, 200:253]
    restored = restorer(degraded)
    assert restored.shape == degraded.shape
    assert not torch.equal(restored, degraded)
    with torch.no_grad():
        torch.testing.assert_close(restored, restorer.network(degraded).clamp(0, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", sorted(FILES))
def test_bfloat16_changes_little(shared, name):
    """Where autocast would lose visibly, networks keep it out: no pixel's error reaches two levels of 8 bits on
    average."""
    network = published_network(shared, name)
    degraded = images.read(shared / "data/eval/lol_eval15/low/1.png").pixels[:, :, 100:164, 200:264]
    with torch.no_grad():
        exact = network(degraded)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(degraded)
    assert rounded.dtype == torch.float32
    assert (rounded - exact).clamp(-1, 1).square().mean().sqrt() < 2 / 255


def test_real_priors_are_not_taken_for_networks(shared):
    with pytest.raises(ModelError, match="weights of the prior squeezenet1_0, no network that restores"):
        pellucid.load(shared / "weights/prior_squeezenet1_0_imagenet.safetensors")


def pairs(shared, name):
    folder = shared / "data/eval" / name
    low, high = {"lol_eval15": ("low", "high"), "rain100h": ("rain", "clean"), "sots_indoor": ("hazy", "clean")}[name]
    for path in sorted((folder / low).iterdir()):
        yield images.read(path).pixels, images.read(folder / high / path.name).pixels


def noisy(shared, name, sigma):
    for path in sorted((shared / "data/eval" / name).iterdir()):
        clean = images.read(path).pixels[:, :1]
        noise = np.random.RandomState(0).normal(0, sigma / 255, clean.shape[2:])
        yield (clean.double() + torch.from_numpy(noise)).float(), clean


def score(network, cases, *, luma_only=False, truncated=False):
    scores = []
    with torch.no_grad():
        for degraded, clean in cases:
            restored = network(degraded).clamp(0, 1)
            if truncated:  # many authors' scripts write files so
                restored = torch.floor(restored * 255 + 1e-4) / 255
            if luma_only:
                restored, clean = luma((restored * 255).round() / 255), luma(clean)
            scores.append(psnr(restored, clean).item())
    return sum(scores) / len(scores)


def test_sci_has_its_published_number(shared):
    """LOL: 14.78 dB, as later papers have it of files that the authors' script wrote."""
    network = published_network(shared, "sci_medium")
    assert score(network, pairs(shared, "lol_eval15"), truncated=True) == pytest.approx(14.78, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings", "data", "expected", "tolerance", "how"),
    [
        ("zero_dce", {}, "lol_eval15", 14.86, 0.01, {}),
        ("iat_lol_v1", {}, "lol_eval15", 23.38, 0.01, {}),  # the paper
        ("pairlie", {"exponent": 0.14}, "lol_eval15", 19.51, 0.01, {"truncated": True}),  # the paper
        ("ruas_lol", {}, "lol_eval15", 16.40, 0.01, {"truncated": True}),  # later papers
        ("prenet_rain100h", {}, "rain100h", 29.46, 0.1, {"luma_only": True}),  # the paper, of all 100; these are 30
        ("aod_net", {}, "sots_indoor", 19.06, 0.6, {}),  # RESIDE's table, all 500; these are 20
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_networks_have_their_published_numbers(shared, name, settings, data, expected, tolerance, how):
    network = published_network(shared, name, **settings)
    assert score(network, pairs(shared, data), **how) == pytest.approx(expected, abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "sigma", "expected"),
    [  # of these very weights, in their repository's table; the paper's own are up to 0.03 dB higher
        ("dncnn_s15", "set12", 15, 32.837),
        ("dncnn_s25", "set12", 25, 30.404),
        ("dncnn_s50", "set12", 50, 27.165),
        ("dncnn_b", "set12", 25, 30.344),
        ("dncnn_s25", "bsd68", 25, 29.21),
    ],
)
def test_dncnn_has_its_published_numbers(shared, name, data, sigma, expected):
    network = published_network(shared, name)
    assert score(network, noisy(shared, data, sigma)) == pytest.approx(expected, abs=0.03)
