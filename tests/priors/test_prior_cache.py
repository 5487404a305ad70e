"""Vectors on disk: the same ones, computed once, and never stale."""

import pickle
import threading

import pytest
import torch
from torch import nn

from pellucid.errors import ModelError, SettingsError
from pellucid.priors import Cached, ModuleFeatures, Prior, RandomVectors, Student, Zeros, build_prior
from pellucid.priors.cache import prior_identity
from pellucid.priors.protocol import FrozenPrior, unit_rms


class Projection(FrozenPrior):
    """A small prior that counts the views it has seen."""

    def __init__(self, width=7):
        super().__init__("projection", width, (6, 5))
        self.seen = 0
        self.layer = nn.Linear(90, width)
        self.freeze()

    @torch.no_grad()
    def encode(self, view):
        self.seen += len(view)
        return unit_rms(self.layer(view.flatten(1).to(self.layer.weight.dtype)))

    def maps(self, image):
        return self.prepare(image)


@pytest.fixture
def prior():
    return Projection()


def test_it_is_the_prior_in_its_stead(prior, tmp_path):
    cached = Cached(prior, tmp_path / "new" / "folder")
    assert isinstance(cached, Prior)
    shape = (cached.name, cached.width, cached.size, cached.view_channels)
    assert shape == (prior.name, prior.width, prior.size, prior.view_channels) == ("projection", 7, (6, 5), 3)
    images = torch.rand(4, 3, 20, 31, requires_grad=True)
    assert torch.equal(cached.prepare(images), prior.prepare(images))
    assert torch.equal(cached.maps(images), prior.maps(images))
    vectors = cached(images)
    assert vectors.dtype == torch.float32
    assert not vectors.requires_grad
    with pytest.raises(ModelError, match="zeros:3: this prior has no feature map"):
        Cached(Zeros(3), tmp_path).maps(images)


@pytest.mark.parametrize("spec", [None, "statistics", "snr", "random:9", "joined(snr, zeros:4)"])
def test_vectors_are_the_same_bit_for_bit_and_computed_once(tmp_path, prior, spec):
    prior = build_prior(spec) if spec else prior
    images = torch.rand(5, 3, 20, 31)
    expected = prior(images)
    first = Cached(prior, tmp_path)
    assert torch.equal(first(images), expected)
    assert (first.computed, first.found) == (5, 0)
    second = Cached(prior, tmp_path)
    assert torch.equal(second(images), expected)
    assert (second.computed, second.found) == (0, 5)
    # One by one, in another order.
    assert torch.equal(torch.cat([second(image[None]) for image in images.flip(0)]), expected.flip(0))
    assert second.computed == 0


def test_true_weights_are_computed_once(tmp_path, shared):
    weights = shared / "weights/prior_mobilenet_v2_imagenet.safetensors"
    images = torch.rand(2, 3, 60, 80)
    first = Cached(build_prior("joined(mobilenet_v2, statistics)", weights=weights), tmp_path)
    expected = first.prior(images)
    assert torch.equal(first(images), expected)
    second = Cached(build_prior("joined(mobilenet_v2, statistics)", weights=weights), tmp_path)
    assert torch.equal(second(images), expected)
    assert second.computed == 0


def test_a_second_run_does_not_call_the_prior(prior, tmp_path):
    images = torch.rand(5, 3, 20, 31)
    Cached(prior, tmp_path)(images)
    assert prior.seen == 5
    Cached(prior, tmp_path)(images)
    assert prior.seen == 5


def test_only_missing_views_are_computed_and_equal_ones_once(prior, tmp_path):
    images = torch.rand(5, 3, 20, 31)
    expected = prior(images)
    cached = Cached(prior, tmp_path)
    cached(images[[1, 3]])
    prior.seen = 0
    torch.testing.assert_close(cached(images[[0, 1, 2, 2, 3, 0]]), expected[[0, 1, 2, 2, 3, 0]])
    assert prior.seen == 2
    assert (cached.computed, cached.found) == (2 + 2, 4)


def test_other_content_is_another_vector(prior, tmp_path):
    cached = Cached(prior, tmp_path)
    view = torch.rand(1, 3, 6, 5)
    cached.encode(view)
    other = view.clone()
    other[0, 1, 2, 3] = torch.nextafter(other[0, 1, 2, 3], torch.tensor(2.0))
    cached.encode(other)
    assert cached.computed == 2
    # The same bytes in another memory layout are the same content.
    cached.encode(view.contiguous(memory_format=torch.channels_last))
    assert cached.computed == 2


def flip_one_bit(prior):
    weight = prior.layer.weight
    with torch.no_grad():
        weight.view(torch.int32)[3, 4] ^= 1


def test_one_bit_of_the_weights_is_another_prior(prior, tmp_path):
    images = torch.rand(3, 3, 20, 31)
    cached = Cached(prior, tmp_path)
    cached(images)
    before = prior_identity(prior)
    flip_one_bit(prior)
    assert prior_identity(prior) != before
    assert torch.equal(cached(images), prior(images))  # noticed although the object is the same
    assert cached.computed == 6
    flip_one_bit(prior)
    assert prior_identity(prior) == before
    cached(images)
    assert cached.computed == 6


def test_whatever_changes_a_vector_changes_the_identity(prior, tmp_path):
    def features(layer, mean=0.0):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1))
        return ModuleFeatures(network, layer, name="network", size=(4, 4), mean=(mean,) * 3)

    torch.manual_seed(0)
    other_name, other_size = Projection(), Projection()
    for one in (other_name, other_size):
        one.load_state_dict(prior.state_dict())
    other_name.name, other_size.size = "other", (5, 6)
    priors = [prior, other_name, other_size, features("0"), features("1"), features("0", 0.5), Student(7, size=32)]
    priors += [RandomVectors(7), RandomVectors(7, seed=1), build_prior("statistics"), build_prior("snr")]
    identities = [prior_identity(one) for one in priors]
    assert len(set(identities)) == len(priors)
    assert identities[3] == prior_identity(features("0"))


def test_converted_priors_are_noticed(prior, tmp_path):
    images = torch.rand(3, 3, 20, 31)
    cached = Cached(prior, tmp_path)
    exact = cached(images)
    cached.bfloat16()
    rough = cached(images)
    assert torch.equal(rough, prior(images))
    assert not torch.equal(rough, exact)
    loaded = Cached(prior.float(), tmp_path)
    loaded(images)
    assert loaded.computed == 3  # float32 again, but no longer the same numbers


def test_mixed_precision_around_it_changes_nothing(prior, tmp_path):
    images = torch.rand(3, 3, 20, 31)
    expected = prior(images)
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(prior(images), expected)
        assert torch.equal(Cached(prior, tmp_path)(images), expected)


def test_float16_is_the_same_in_every_run_and_kept_apart(prior, tmp_path):
    images = torch.rand(3, 3, 20, 31)
    exact = Cached(prior, tmp_path)(images)
    half = Cached(prior, tmp_path, precision="float16")
    vectors = half(images)
    assert half.computed == 3
    assert vectors.dtype == torch.float32
    assert torch.equal(vectors, exact.half().float())
    assert torch.equal(Cached(prior, tmp_path, precision="float16")(images), vectors)
    assert torch.equal(Cached(prior, tmp_path)(images), exact)
    with pytest.raises(SettingsError, match="float32 or float16, got 'int8'"):
        Cached(prior, tmp_path, precision="int8")


def test_priors_share_a_folder(prior, tmp_path):
    images = torch.rand(3, 3, 20, 31)
    priors = [prior, build_prior("statistics"), RandomVectors(7)]
    for one in priors:
        Cached(one, tmp_path)(images)
    for one in priors:
        cached = Cached(one, tmp_path)
        assert torch.equal(cached(images), one(images))
        assert cached.computed == 0


def test_many_views_at_once(tmp_path):
    cached = Cached(RandomVectors(2), tmp_path)
    views = torch.rand(1203, 3, 8, 8)
    expected = cached.encode(views)
    assert torch.equal(cached.encode(views), expected)
    assert (cached.computed, cached.found) == (1203, 1203)


def test_what_is_not_finite_is_not_kept(prior, tmp_path):
    cached = Cached(prior, tmp_path)
    view = torch.rand(2, 3, 6, 5)
    view[0, 0, 0, 0] = torch.nan
    for computed in (2, 3):
        assert cached.encode(view).isnan().any(1).tolist() == [True, False]
        assert cached.computed == computed


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_vectors_come_back_to_where_the_views_are(prior, tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1))
    priors = [prior, build_prior("joined(statistics, snr)"), ModuleFeatures(network, name="network", size=(4, 4))]
    images = torch.rand(3, 3, 20, 31)
    for one in priors:
        expected = one(images)
        cached = Cached(one, tmp_path).cuda()
        for _ in range(2):
            vectors = cached(images.cuda())
            assert vectors.is_cuda
            torch.testing.assert_close(vectors.cpu(), expected, rtol=1e-3, atol=1e-3)


def test_it_travels_to_another_process(prior, tmp_path):
    images = torch.rand(3, 3, 20, 31)
    cached = Cached(prior, tmp_path)
    expected = cached(images)
    other = pickle.loads(pickle.dumps(cached))
    assert torch.equal(other(images), expected)
    assert other.computed == cached.computed


def test_threads_share_one(prior, tmp_path):
    cached = Cached(prior, tmp_path)
    images = torch.rand(24, 3, 9, 9)
    expected = torch.cat([prior(image[None]) for image in images])
    wrong = []

    def work(offset):
        for index in range(24):
            place = (index + offset) % 24
            if not torch.equal(cached(images[place, None]), expected[place, None]):
                wrong.append(place)

    threads = [threading.Thread(target=work, args=(6 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_students_training_ends(tmp_path):
    student = Student(4, size=32, channels=[4], texture=[4])
    cached = Cached(student, tmp_path)
    cached.train()
    assert not student.training
    assert not any(parameter.requires_grad for parameter in student.parameters())
