"""The controls must be what they say: nothing, something arbitrary, something of another image."""

import pytest
import torch
from torch.nn import functional as F

from pellucid.errors import ModelError
from pellucid.priors import RandomVectors, Shuffled, Statistics, Zeros, unit_rms
from pellucid.priors.contract import FrozenPrior


class Colour(FrozenPrior):
    """A prior whose vector is the mean colour, and so known."""

    def __init__(self) -> None:
        super().__init__("colour", 3, (8, 8))
        self.freeze()

    def encode(self, view):
        return unit_rms(view.mean((2, 3)))

    def maps(self, image):
        return torch.cat([self.prepare(image), self.prepare(image).square()], 1)


def test_zeros_are_zeros():
    assert torch.equal(Zeros(5)(torch.rand(2, 3, 37, 53)), torch.zeros(2, 5))
    assert Zeros(5).name == "zeros:5"


def test_random_vectors_are_fixed_per_image_and_of_unit_size():
    images = torch.rand(6, 3, 16, 16)
    vectors = RandomVectors(512)(images)
    assert torch.equal(vectors, RandomVectors(512)(images))
    assert torch.equal(vectors[2:3], RandomVectors(512)(images[2:3]))
    torch.testing.assert_close(vectors.square().mean(1), torch.ones(6))
    assert not torch.equal(vectors, RandomVectors(512, seed=1)(images))


def test_random_vectors_of_different_images_are_unrelated():
    # Independent vectors of 2048 numbers have a cosine of 0 with a standard deviation of 1/45.
    vectors = F.normalize(RandomVectors(2048)(torch.rand(8, 3, 16, 16)))
    cosines = (vectors @ vectors.T)[~torch.eye(8, dtype=torch.bool)]
    assert cosines.abs().max() < 6 / 45


def test_random_vectors_do_not_hang_on_the_last_bits():
    image = torch.rand(1, 3, 40, 40)
    assert torch.equal(RandomVectors(64)(image), RandomVectors(64)(image * (1 + 1e-7)))


def test_shuffled_gives_a_vector_of_the_bank_but_not_the_images_own():
    images = torch.rand(12, 3, 8, 8) * 0.2 + torch.rand(12, 3, 1, 1) * 0.8
    prior = Colour()
    own = prior(images)
    shuffled = Shuffled(prior, own)
    noisy = images + torch.randn(images.shape) * 0.02
    for given in (images, noisy):
        vectors = shuffled(given)
        chosen = torch.cdist(vectors, own).argmin(1)
        torch.testing.assert_close(vectors, own[chosen])
        assert (chosen != torch.arange(12)).all()
    assert len(set(chosen.tolist())) > 3  # not one vector for all
    assert torch.equal(shuffled(images), shuffled(images))
    assert torch.equal(shuffled(images)[4:5], shuffled(images[4:5]))
    assert shuffled.name == "shuffled colour"


def test_shuffled_with_two_gives_the_other():
    images = torch.stack([torch.full((3, 4, 4), 0.5), torch.rand(3, 1, 1).expand(3, 4, 4)])
    own = Colour()(images)
    torch.testing.assert_close(Shuffled(Colour(), own)(images), own.flip(0))


def test_maps_of_zeros_are_zeros():
    assert torch.equal(Zeros(5).maps(torch.rand(2, 3, 37, 53)), torch.zeros(2, 5, 1, 1))


def test_random_maps_are_fixed_per_image_and_of_unit_size():
    images, prior = torch.rand(6, 3, 16, 20), RandomVectors(40)
    maps = prior.maps(images)
    assert maps.shape == (6, 40, 8, 8)
    torch.testing.assert_close(maps.square().mean((1, 2, 3)), torch.ones(6))
    assert torch.equal(maps, RandomVectors(40).maps(images))
    assert torch.equal(maps[2:3], prior.maps(images[2:3]))
    assert torch.equal(maps, prior.maps(prior.prepare(images)))  # training has only the views
    assert torch.equal(maps, prior.maps(images * (1 + 1e-7)))
    assert not torch.equal(maps, RandomVectors(40, seed=1).maps(images))
    # Of different images, and of different places of one, unrelated: 2560 and 40 numbers.
    whole = F.normalize(maps.flatten(1))
    assert (whole @ whole.T)[~torch.eye(6, dtype=torch.bool)].abs().max() < 6 / 2560**0.5
    places = F.normalize(maps[0].flatten(1), dim=0)
    assert (places.T @ places)[~torch.eye(64, dtype=torch.bool)].abs().mean() < 2 / 40**0.5


def test_shuffled_gives_maps_of_the_bank_but_not_the_images_own():
    images = torch.rand(12, 3, 8, 8) * 0.2 + torch.rand(12, 3, 1, 1) * 0.8
    own = Colour().maps(images)
    shuffled = Shuffled(Colour(), own)
    unit = own / own.square().mean((1, 2, 3), keepdim=True).sqrt()
    for given in (images, images + torch.randn(images.shape) * 0.02, F.interpolate(images, (24, 16))):
        maps = shuffled.maps(given)
        chosen = torch.cdist(maps.flatten(1), unit.flatten(1)).argmin(1)
        torch.testing.assert_close(maps, unit[chosen])
        assert (chosen != torch.arange(12)).all()
    assert len(set(chosen.tolist())) > 3
    assert torch.equal(shuffled.maps(images), shuffled.maps(images))
    assert torch.equal(shuffled.maps(images)[4:5], shuffled.maps(images[4:5]))


def test_a_bank_is_of_vectors_or_of_maps():
    images = torch.rand(3, 3, 8, 8)
    with pytest.raises(ModelError, match="shuffled colour: its bank holds vectors, not maps"):
        Shuffled(Colour(), Colour()(images)).maps(images)
    with pytest.raises(ModelError, match="shuffled colour: its bank holds maps, not vectors"):
        Shuffled(Colour(), Colour().maps(images))(images)
    prior = Statistics()
    with pytest.raises(ModelError, match="statistics: this prior has no feature map"):
        Shuffled(prior, torch.rand(3, 2, 4, 4)).maps(images)


@pytest.mark.parametrize("bank", [torch.zeros(1, 3), torch.zeros(4, 5), torch.zeros(3), torch.zeros(1, 3, 2, 2)])
def test_a_bank_of_another_shape_is_refused(bank):
    with pytest.raises(ValueError, match="expected a bank"):
        Shuffled(Colour(), bank)


@pytest.mark.parametrize("kind", [Zeros, RandomVectors])
def test_a_vector_has_at_least_one_number(kind):
    with pytest.raises(ValueError, match="width=0"):
        kind(0)
