"""Several priors as one: every member must get exactly its own view."""

import pytest
import torch
from torch import nn

from pellucid.errors import ModelError, SettingsError
from pellucid.models.priors import find_prior
from pellucid.priors import Cached, ClassifierPrior, Joined, Prior, Shuffled, Student, Zeros
from pellucid.priors.contract import FrozenPrior, unit_rms
from pellucid.priors.imagenet import MobileNetV2, SqueezeNet


class Colours(FrozenPrior):
    """Mean colours of the view's four quarters; it has maps."""

    def __init__(self, size):
        super().__init__(f"colours:{size[0]}x{size[1]}", 12, size)
        self.freeze()

    def encode(self, view):
        return unit_rms(nn.functional.adaptive_avg_pool2d(view, 2).flatten(1))

    def maps(self, image):
        return self.prepare(image)


def members():
    student = Student(5, size=32, channels=[4], texture=[4])
    return Colours((8, 12)), find_prior("statistics"), student, Colours((20, 10)), find_prior("snr")


@pytest.mark.parametrize("size", [(1, 1), (37, 53)])
def test_the_vectors_are_those_of_the_members_end_to_end(size):
    parts = members()
    prior = Joined(*parts)
    assert isinstance(prior, Prior)
    assert prior.name == "joined(colours:8x12, statistics, student, colours:20x10, snr)"
    assert prior.width == 12 + 41 + 5 + 12 + 257
    images = torch.rand(3, 3, *size)
    view = prior.prepare(images)
    assert view.shape == (3, prior.view_channels, *prior.size)
    assert view.min() >= 0
    assert view.max() <= 1
    expected = torch.cat([part(images) for part in parts], 1)
    assert torch.equal(prior.encode(view), expected)
    assert torch.equal(prior(images), expected)
    torch.testing.assert_close(prior(images).square().mean(1), torch.ones(3))
    # Views of images of other sizes go into one batch.
    other = prior.prepare(torch.rand(1, 3, 9, 80))
    torch.testing.assert_close(prior.encode(torch.cat([view, other]))[:3], expected)


def test_maps_are_brought_to_one_size():
    prior = Joined(*members())
    maps = prior.maps(torch.full((2, 3, 37, 53), 0.5))
    assert maps.shape == (2, 3 + 3 + 1, 37, 53)
    torch.testing.assert_close(maps[:, :6], torch.full((2, 6, 37, 53), 0.5))
    image = torch.rand(1, 3, 128, 30)
    maps = prior.maps(image)
    assert maps.shape == (1, 7, 64, 30)
    own = find_prior("snr").maps(image)
    torch.testing.assert_close(maps[:, 6], own[:, 0].reshape(1, 64, 2, 30).mean(2))
    # One of the wanted size is passed on as it is.
    alike = Joined(Colours((8, 12)), Colours((8, 12)), find_prior("statistics"))
    assert torch.equal(alike.maps(image), Colours((8, 12)).maps(image).repeat(1, 2, 1, 1))
    with pytest.raises(ModelError, match="none of these priors has a feature map"):
        Joined(Student(5, size=32), find_prior("statistics")).maps(image)


def test_it_is_frozen():
    prior = Joined(*members())
    prior.train()
    assert not any(module.training for module in prior.modules())
    assert not any(parameter.requires_grad for parameter in prior.parameters())
    assert not prior(torch.rand(1, 3, 9, 9, requires_grad=True)).requires_grad


def test_joined_priors_can_be_shuffled_and_cached(tmp_path):
    prior = find_prior("joined(statistics, snr)")
    images = torch.rand(12, 3, 8, 8) * torch.rand(12, 3, 1, 1)
    images[..., :1, :1] = 0  # the first pixel says nothing
    own = prior(images)
    shuffled = Shuffled(prior, own)(images)
    chosen = torch.cdist(shuffled, own).argmin(1)
    torch.testing.assert_close(shuffled, own[chosen])
    assert (chosen != torch.arange(12)).all()
    assert len({(index - place) % 12 for place, index in enumerate(chosen.tolist())}) > 3
    cached = Cached(prior, tmp_path)
    assert torch.equal(cached(images), own)
    assert torch.equal(cached(images), own)
    assert cached.computed == 12


def test_specs_build_joined_priors_again():
    prior = find_prior(" joined( zeros:3 ,joined(statistics,random:4:1), snr)")
    assert prior.name == "joined(zeros:3, joined(statistics, random:4:1), snr)"
    image = torch.rand(1, 3, 9, 9)
    expected = torch.cat([find_prior(spec)(image) for spec in ("zeros:3", "statistics", "random:4:1", "snr")], 1)
    assert torch.equal(prior(image), expected)
    assert torch.equal(find_prior(prior.name)(image), expected)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("joined", r"expected joined\(A, B, ...\)"),
        ("joined:statistics", r"expected joined\(A, B, ...\)"),
        ("joined(statistics)", "malformed prior"),
        ("joined(statistics, )", "malformed prior"),
        ("joined(statistics, snr", "malformed prior"),
        ("joined(statistics, snr))", "malformed prior"),
        ("joined(statistics), snr)", "malformed prior"),
        ("joined(statistics, (snr)", "malformed prior"),
        ("joined(statistics, nsr)", "unknown prior 'nsr'; did you mean 'snr'"),
        ("joined(statistics, zeros)", "expected zeros:WIDTH"),
    ],
)
def test_wrong_specs_say_what_is_right(spec, message):
    with pytest.raises(SettingsError, match=message):
        find_prior(spec)


def test_one_prior_is_not_joined():
    with pytest.raises(ValueError, match="two priors at least, got 1"):
        Joined(Zeros(3))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    mobilenet = MobileNetV2()
    mobilenet.features[0][1].running_var.fill_(0.5)  # as training leaves it: ones are a sign of converted weights
    torch.save(mobilenet.state_dict(), folder / "mobile.pth")
    torch.save(SqueezeNet().state_dict(), folder / "squeeze.pth")
    return folder / "mobile.pth", folder / "squeeze.pth"


def test_a_file_goes_to_the_one_member_that_reads_one(files):
    prior = find_prior("joined(statistics, mobilenet_v2:torchvision)", weights=files[0])
    assert isinstance(prior.priors[1], ClassifierPrior)
    assert prior.width == 41 + 1280


def test_files_go_to_the_members_they_are_for(files):
    spec = "joined(mobilenet_v2:torchvision, squeezenet1_0:torchvision)"
    both = {"squeezenet1_0:torchvision": files[1], "mobilenet_v2:torchvision": files[0]}
    assert find_prior(spec, weights=both).width == 1280 + 512
    alone = {"mobilenet_v2:torchvision": files[0]}
    assert find_prior("mobilenet_v2:torchvision", weights=alone).width == 1280
    with pytest.raises(
        SettingsError, match=r"which prior reads .*mobile\.pth\? .* \{mobilenet_v2:torchvision: FILE, sq"
    ):
        find_prior(spec, weights=files[0])
    with pytest.raises(SettingsError, match="prior 'squeezenet1_0' needs a file"):
        find_prior(spec, weights=alone)
    with pytest.raises(SettingsError, match="unknown prior that reads a file of weights 'squeezenet1_0'; did you mean"):
        find_prior(spec, weights={"squeezenet1_0": files[1]})
    with pytest.raises(SettingsError, match=r"joined\(statistics, snr\)' takes no file of weights"):
        find_prior("joined(statistics, snr)", weights=files[0])
