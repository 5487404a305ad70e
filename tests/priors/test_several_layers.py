"""Several layers as one prior, against the network run layer by layer; by name, joined, cached, and in R."""

import pytest
import torch
from torch.nn import functional as F

from pellucid.errors import ModelError, SettingsError
from pellucid.models.priors import find_prior
from pellucid.priors import Cached, Prior
from pellucid.priors.imagenet import SqueezeNet
from pellucid.refinement import PTGRM

SPEC = "layers(squeezenet1_0, features.7, features.12)"


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "weights.pt"
    torch.save(SqueezeNet().state_dict(), path)
    return path


def test_it_is_what_the_layers_give_one_over_the_other(weights):
    prior, alone = find_prior(SPEC, weights=weights), find_prior("squeezenet1_0", weights=weights)
    assert isinstance(prior, Prior)
    assert (prior.name, prior.width, prior.size) == (SPEC, 256 + 512, alone.size)
    images = torch.rand(2, 3, 60, 90)
    pixels = alone.normalise(alone.prepare(images))
    early, late = alone.module.features[:8](pixels), alone.module.features[:13](pixels)
    assert early.shape[1:] == (256, 27, 27)
    means = [features.mean((2, 3)) for features in (early, late)]
    expected = torch.cat([one / one.square().mean(1, keepdim=True).sqrt() for one in means], 1)
    torch.testing.assert_close(prior(images), expected)
    maps = prior.maps(images)
    assert maps.shape == (2, 768, 28, 28)
    wide = [F.interpolate(one, (28, 28), mode="bilinear") for one in (early, late)]
    for part, one in zip(maps.split([256, 512], 1), wide, strict=True):
        torch.testing.assert_close(part, one / one.square().mean((1, 2, 3), keepdim=True).sqrt())


def test_maps_larger_than_28_are_averaged_down(weights):
    prior, alone = (
        find_prior(name, weights=weights) for name in ("layers(squeezenet1_0, features.0)", "squeezenet1_0")
    )
    image = torch.rand(1, 3, 60, 90)
    given = alone.module.features[0](alone.normalise(alone.prepare(image)))
    pooled = F.adaptive_avg_pool2d(given, 28)
    torch.testing.assert_close(prior.maps(image), pooled / pooled.square().mean().sqrt())


def test_it_is_kept_and_joined_like_others(weights, tmp_path):
    prior, image = find_prior(SPEC, weights=weights), torch.rand(2, 3, 50, 40)
    for _ in range(2):
        cached = Cached(prior, tmp_path / "kept")
        assert torch.equal(cached(image), prior(image))
        assert torch.equal(cached.maps(image), prior.maps(image).half().float())
    assert cached.computed == 0
    joined = find_prior(f"joined({SPEC}, statistics)", weights=weights)
    torch.testing.assert_close(joined(image)[:, :768], prior(image))


def test_r_takes_its_maps_and_sees_them_where_they_lie(weights):
    prior = find_prior(SPEC, weights=weights)
    refinement = PTGRM(prior.width, form="pellucid", guidance="concatenated-maps")
    torch.nn.init.normal_(refinement.decoder.out.weight)
    maps = prior.maps(torch.rand(1, 3, 64, 64))
    # Rows in another order: maps of the same size, by which R scales them.
    below, above = maps[:, :, [*range(16), *range(27, 15, -1)]], maps[:, :, [*range(11, -1, -1), *range(12, 28)]]
    picture, grid = torch.rand(1, 3, 32, 32), torch.tensor([[0.0, 0.0, 0.5, 0.5]])  # the upper left quarter
    with torch.no_grad():
        refined, same, other = (refinement(picture, picture, seen, grid=grid) for seen in (maps, below, above))
    torch.testing.assert_close(refined, same)
    assert (refined - other).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("layers(squeezenet1_0)", r"expected layers\(A, LAYER, ...\)"),
        ("layers(statistics, mean)", "layers are those of a classifier or of restorer:FILE"),
    ],
)
def test_malformed_specs_say_how_to_write_them(spec, message, weights):
    with pytest.raises(SettingsError, match=message):
        find_prior(spec, weights=None if "statistics" in spec else weights)


@pytest.mark.parametrize(
    ("layer", "message"),
    [("features.40", "unknown layer of SqueezeNet 'features.40'"), ("classifier.99", "unknown layer")],
)
def test_layers_that_there_are_not_are_named(layer, message, weights):
    with pytest.raises(ModelError, match=message):
        find_prior(f"layers(squeezenet1_0, {layer})", weights=weights)
