"""Vectors on disk: the same ones, computed once, and never stale."""

import os
import pickle
import subprocess
import sys
import threading
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pellucid.errors import ModelError, SettingsError
from pellucid.models.priors import find_prior
from pellucid.networks import External, PReNet
from pellucid.priors import Cached, Joined, ModuleFeatures, Prior, RandomVectors, Student
from pellucid.priors.cache import prior_identity
from pellucid.priors.contract import FrozenPrior, unit_rms


class Projection(FrozenPrior):
    """A small prior that counts the views it has seen: not in itself, for that would be a setting of its."""

    seen = 0

    def __init__(self, width=7):
        super().__init__("projection", width, (6, 5))
        self.layer = nn.Linear(90, width)
        self.freeze()

    @torch.no_grad()
    def encode(self, view):
        Projection.seen += len(view)
        return unit_rms(self.layer(view.flatten(1).to(self.layer.weight.dtype)))

    def maps(self, image):
        return self.prepare(image)


@pytest.fixture
def prior():
    Projection.seen = 0
    return Projection()


def test_it_is_the_prior_in_its_stead(prior, tmp_path):
    cached = Cached(prior, tmp_path / "new" / "folder")
    assert isinstance(cached, Prior)
    shape = (cached.name, cached.width, cached.size, cached.view_channels)
    assert shape == (prior.name, prior.width, prior.size, prior.view_channels) == ("projection", 7, (6, 5), 3)
    images = torch.rand(4, 3, 20, 31, requires_grad=True)
    assert torch.equal(cached.prepare(images), prior.prepare(images))
    assert torch.equal(cached.maps(images), prior.maps(images).half().float())
    vectors = cached(images)
    assert vectors.dtype == torch.float32
    assert not vectors.requires_grad
    with pytest.raises(ModelError, match="statistics: this prior has no feature map"):
        Cached(find_prior("statistics"), tmp_path).maps(images)


def test_maps_are_computed_once_where_they_are_small(prior, tmp_path, monkeypatch):
    images = torch.rand(3, 3, 20, 31)
    vector, maps = Cached(prior, tmp_path)(images), Cached(prior, tmp_path).maps(images)
    assert torch.equal(maps, prior.maps(images).half().float())
    second = Cached(prior, tmp_path)
    monkeypatch.setattr(Projection, "maps", lambda self, image: pytest.fail("computed again"))
    assert torch.equal(second.maps(images.flip(0)), maps.flip(0))
    assert torch.equal(second(images), vector)  # kept beside, under another key
    assert (second.computed, second.found) == (0, 6)


def test_large_maps_and_maps_that_overflow_are_as_the_prior_has_them(prior, tmp_path, monkeypatch):
    images, large = torch.rand(1, 3, 20, 31), torch.rand(1, 70, 200, 200)
    assert large.half()[0].nbytes > 4 << 20
    for expected in (large, torch.full((1, 2, 3, 3), 1e6)):
        for _ in range(2):
            cached = Cached(prior, tmp_path)
            monkeypatch.setattr(Projection, "maps", lambda self, image, expected=expected: expected)
            assert torch.equal(cached.maps(images), expected)
            assert cached.computed == 1


@pytest.mark.parametrize("spec", [None, "statistics", "snr", "random:9", "joined(snr, zeros:4)"])
def test_vectors_are_the_same_bit_for_bit_and_computed_once(tmp_path, prior, spec):
    prior = find_prior(spec) if spec else prior
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
    first = Cached(find_prior("joined(mobilenet_v2, statistics)", weights=weights), tmp_path)
    expected = first.prior(images)
    assert torch.equal(first(images), expected)
    second = Cached(find_prior("joined(mobilenet_v2, statistics)", weights=weights), tmp_path)
    assert torch.equal(second(images), expected)
    assert second.computed == 0


def test_a_second_run_does_not_call_the_prior(prior, tmp_path):
    images = torch.rand(5, 3, 20, 31)
    Cached(prior, tmp_path)(images)
    assert Projection.seen == 5
    Cached(prior, tmp_path)(images)
    assert Projection.seen == 5


def test_only_missing_views_are_computed_and_equal_ones_once(prior, tmp_path):
    images = torch.rand(5, 3, 20, 31)
    expected = prior(images)
    cached = Cached(prior, tmp_path)
    cached(images[[1, 3]])
    Projection.seen = 0
    torch.testing.assert_close(cached(images[[0, 1, 2, 2, 3, 0]]), expected[[0, 1, 2, 2, 3, 0]])
    assert Projection.seen == 2
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
    priors += [RandomVectors(7), RandomVectors(7, seed=1), find_prior("statistics"), find_prior("snr")]
    identities = [prior_identity(one) for one in priors]
    assert len(set(identities)) == len(priors)
    assert identities[3] == prior_identity(features("0"))


class Stretch(nn.Module):
    """A foreign module whose plain attributes, of any kind, decide what it gives; it prints none of them."""

    def __init__(self, **settings):
        super().__init__()
        vars(self).update(settings)

    def forward(self, image):
        return image * torch.arange(1, 5)[:, None, None] if image.shape[1] == 4 else image.repeat(1, 2, 1, 1)[:, :4]


def seen_by(network, layer=""):
    """A prior of a layer of a network with weights that are the same each time."""
    return ModuleFeatures(network, layer, name="network", size=(8, 8))


def seeded(build):
    torch.manual_seed(0)
    return build()


@dataclass
class Options:
    gain: float = 1.0


@pytest.mark.parametrize(
    "builds",
    [
        [lambda: External(nn.Conv2d(3, 3, 1)), lambda: External(nn.Conv2d(3, 3, 1), low=-1, high=1)],
        [lambda: PReNet(4, 1, iterations=2), lambda: PReNet(4, 1, iterations=3)],
        [lambda: Stretch(gain=1), lambda: Stretch(gain=2), lambda: Stretch(gain=None), lambda: Stretch()],
        [lambda: Stretch(kernel=torch.ones(2)), lambda: Stretch(kernel=torch.tensor([1.0, 1.5]))],
        [lambda: Stretch(parts=[1, {"a": (2, [3])}]), lambda: Stretch(parts=[1, {"a": (2, [4])}])],
        [lambda: Stretch(act=torch.relu), lambda: Stretch(act=torch.sigmoid), lambda: Stretch(act=nn.ReLU)],
        [lambda: Stretch(act=partial(torch.clamp, min=0)), lambda: Stretch(act=partial(torch.clamp, min=1))],
        [lambda: Stretch(options=Options()), lambda: Stretch(options=Options(2.0))],
        [lambda: Stretch(options=SimpleNamespace(gain=1)), lambda: Stretch(options=SimpleNamespace(gain=2))],
    ],
)
def test_settings_that_nothing_prints_are_part_of_the_identity(builds):
    identities = [prior_identity(seen_by(seeded(build))) for build in builds]
    assert len(set(identities)) == len(builds)
    # A run that is resumed builds its prior anew, and one in another process has it unpickled.
    assert identities == [prior_identity(seen_by(seeded(build))) for build in builds]
    prior = seen_by(seeded(builds[0]))
    assert prior_identity(pickle.loads(pickle.dumps(deepcopy(prior)))) == identities[0]


def test_the_identity_is_the_same_in_every_process():
    """Texts are hashed otherwise in each, and so sets and what is made of them come in another order."""
    code = (
        "from pellucid.networks import External, PReNet\n"
        "from pellucid.models.priors import find_prior\n"
        "from pellucid.priors import ModuleFeatures\n"
        "from pellucid.priors.cache import prior_identity\n"
        "import torch\n"
        "torch.manual_seed(0)\n"
        "network = External(PReNet(4, 1, iterations=2), low=-1)\n"
        "network.names = set('abcdefgh')\n"
        "prior = ModuleFeatures(network, '', name='network', size=(8, 8))\n"
        "print(prior_identity(prior), prior_identity(find_prior('joined(degradations, random:9)')))\n"
    )
    run = partial(subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len({run(env={**os.environ, "PYTHONHASHSEED": seed}).stdout for seed in ("1", "2")}) == 1


def test_a_setting_changed_after_the_first_call_is_noticed(tmp_path):
    network = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)))
    prior = ModuleFeatures(network, "0", name="network", size=(4, 4))
    other = ModuleFeatures(network, "1", name="network", size=(4, 4))
    cached, images = Cached(prior, tmp_path), torch.rand(2, 3, 9, 9)
    first = cached(images)
    assert torch.equal(first, prior(images))
    prior.layer = "1"
    assert torch.equal(cached(images), other(images))
    assert not torch.equal(cached(images), first)
    prior.layer = "0"
    assert torch.equal(cached(images), first)
    assert (cached.computed, cached.found) == (4, 4)


def test_a_cached_member_is_the_same_however_much_it_has_found(prior, tmp_path):
    joined = Joined(Cached(prior, tmp_path / "member"), find_prior("statistics"))
    cached, images = Cached(joined, tmp_path), torch.rand(2, 3, 9, 9)
    for _ in range(3):
        cached(images)
    assert (cached.computed, cached.found) == (2, 4)


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
    priors = [prior, find_prior("statistics"), RandomVectors(7)]
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
    priors = [prior, find_prior("joined(statistics, snr)"), ModuleFeatures(network, name="network", size=(4, 4))]
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
