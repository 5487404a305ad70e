"""Boosting foreign networks: nothing of theirs is touched, every size works, and what does not fit is said."""

import pytest
import torch
from torch import nn

import pellucid
from pellucid.errors import ModelError, SettingsError
from pellucid.networks import External, UNet
from pellucid.priors import Student, Zeros
from pellucid.refinement import PTGRM, Boosted
from pellucid.restoration.restorer import Restorer


class InPlace(nn.Module):
    """A network that writes into its input."""

    def forward(self, image):
        return image.add_(0.1)


def randomised(boosted, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in boosted.refinement.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.03)
    return boosted.eval()


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (33, 53), (37, 41)])
def test_untrained_it_returns_what_the_network_returns(size):
    network = nn.Conv2d(3, 3, 3, padding=1)
    boosted = pellucid.boost(network, Zeros(8))
    image = torch.rand(2, 3, *size)
    refined, restored = boosted(image, both=True)
    assert boosted.network is network
    assert torch.equal(restored, network(image))
    torch.testing.assert_close(refined, restored, atol=1e-6, rtol=0)
    torch.testing.assert_close(boosted(image), refined)


@pytest.mark.parametrize("size", [(33, 53), (37, 41), (64, 64)])
def test_called_directly_or_by_a_restorer_it_gives_the_same(size):
    torch.manual_seed(0)
    boosted = randomised(Boosted(UNet((8, 16, 16), (1, 1, 1)), Student(8, 32, (4,), (4,)).freeze(), PTGRM(8)))
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        direct = boosted(image).clamp(0, 1)
    torch.testing.assert_close(Restorer(boosted, precision="float32", tile=0)(image), direct, atol=1e-5, rtol=0)


def test_a_network_that_works_in_place_does_no_harm():
    image = torch.rand(1, 3, 200, 50) * 0.5
    kept = image.clone()
    refined, restored = pellucid.boost(InPlace(), Zeros(8))(image, both=True)
    assert torch.equal(image, kept)
    torch.testing.assert_close(restored, kept + 0.1)
    torch.testing.assert_close(refined, kept + 0.1)
    torch.testing.assert_close(Restorer(InPlace(), strength=0.5)(image), kept + 0.05)
    torch.testing.assert_close(Restorer(InPlace(), tile=64)(image), kept + 0.1)
    assert torch.equal(image, kept)


def test_a_frozen_network_keeps_its_statistics_and_gets_no_gradient():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    before = network[1].running_mean.clone()
    boosted = pellucid.boost(network, Zeros(8), freeze_network=True)
    boosted(torch.rand(2, 3, 8, 8))
    boosted.train()
    boosted(torch.rand(2, 3, 8, 8)).sum().backward()
    assert torch.equal(network[1].running_mean, before)
    assert network[0].weight.grad is None
    assert boosted.refinement.decoder.out.weight.grad is not None


def test_a_crop_is_refined_with_the_view_of_its_whole():
    """Giving the whole image as the view must be the same as letting the prior see it."""
    boosted = randomised(pellucid.boost(nn.Identity(), Student(8, 32, (4,), (4,)).freeze()))
    image = torch.rand(1, 3, 16, 16)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    with torch.no_grad():
        same = boosted(image, view=boosted.prior.prepare(image), grid=whole)
        other = boosted(image, view=boosted.prior.prepare(1 - image), grid=whole)
        elsewhere = boosted(image, view=boosted.prior.prepare(image), grid=whole / 2)
        torch.testing.assert_close(same, boosted(image))
    assert (same - other).abs().max() > 1e-6
    assert (same - elsewhere).abs().max() > 1e-6


def test_networks_that_do_not_fit_are_named_with_a_remedy_that_works():
    class Pair(nn.Module):
        def forward(self, image):
            return [image[:, :, ::2, ::2], image]

    class Half(nn.Module):
        def forward(self, image):
            return image[:, :, ::2, ::2]

    with pytest.raises(ModelError, match=r"Pair: expected an image .* got list; pellucid\.networks\.External"):
        pellucid.boost(Pair(), Zeros(8))(torch.rand(1, 3, 8, 8))
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(pellucid.boost(External(Pair()), Zeros(8))(image), image)
    with pytest.raises(ModelError, match=r"got \(1, 3, 4, 4\)"):
        pellucid.boost(Half(), Zeros(8))(image)


def test_attributes_of_other_meaning_are_left_alone():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3, 1, 1))

        def forward(self, image):
            return image * self.scale

    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(pellucid.boost(Scaled(), Zeros(8))(image), image)
    torch.testing.assert_close(Restorer(Scaled())(image), image)


def test_wrong_calls():
    with pytest.raises(SettingsError, match="unknown prior"):
        pellucid.boost(nn.Identity(), "clipp")
    with pytest.raises(SettingsError, match="built already"):
        pellucid.boost(nn.Identity(), Zeros(8), weights="somewhere")
    network = nn.Identity()
    network.scale = 2
    with pytest.raises(ModelError, match="scales by 2"):
        pellucid.boost(network, Zeros(8))
