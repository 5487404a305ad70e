"""Priors from any classifier."""

import sys
import threading
import types

import pytest
import torch
from torch import nn

from pellucid.errors import MissingExtraError, ModelError, SettingsError
from pellucid.models.priors import find_prior
from pellucid.priors import ClassifierPrior, whole_view


class Linearly(nn.Module):
    """In the style of torchvision's residual networks; ends in log-probabilities, which must not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 6, 1), nn.Sigmoid())
        self.last = nn.Conv2d(6, 10, 3, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(nn.Dropout(0.5), nn.Linear(10, 7))

    def features(self, pixels):
        features = self.stem(pixels)
        return self.last(features * self.gate(features))

    def forward(self, pixels):
        return self.fc(self.pool(self.features(pixels)).flatten(1)).log_softmax(1)


class Pointwise(nn.Module):
    """In the style of SqueezeNet: the classes are maps, and pooled last."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, stride=2)
        self.classifier = nn.Sequential(nn.Conv2d(8, 5, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1))

    def forward(self, pixels):
        return self.classifier(self.features(pixels)).flatten(1)


class Tokens(nn.Module):
    """All tokens go through the head, and are averaged after."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 8, stride=8)
        self.head = nn.Linear(6, 4)

    def forward(self, pixels):
        return self.head(self.patches(pixels).flatten(2).transpose(1, 2)).mean(1)


MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)


def unit(vector):
    return vector / vector.square().mean(1, keepdim=True).sqrt()


def pixels_of(prior, image):
    """The classifier's input, spelled out."""
    view = prior.prepare(image)
    return torch.stack([(view[:, c] - MEAN[c]) / STD[c] for c in range(3)], 1)


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (20, 90)])
def test_the_vector_is_the_pooled_input_of_the_last_linear_layer(size):
    module = Linearly().eval()
    prior = ClassifierPrior(module, name="linearly", size=(24, 32), mean=MEAN, std=STD)
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        features = module.features(pixels_of(prior, image))
    assert prior.width == 10
    torch.testing.assert_close(prior(image), unit(features.mean((2, 3))))
    torch.testing.assert_close(prior.maps(image), features)


def test_the_vector_of_a_convolutional_head_is_the_average_of_its_input():
    module = Pointwise().eval()
    prior = ClassifierPrior(module, name="pointwise", size=(24, 24), mean=MEAN, std=STD)
    image = torch.rand(2, 3, 30, 20)
    with torch.no_grad():
        features = module.features(pixels_of(prior, image))
    assert prior.width == 8
    torch.testing.assert_close(prior(image), unit(features.mean((2, 3))))
    torch.testing.assert_close(prior.maps(image), features)


def test_tokens_are_averaged_and_have_no_maps():
    module = Tokens().eval()
    prior = ClassifierPrior(module, name="tokens", size=(16, 24), mean=MEAN, std=STD)
    image = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        expected = module.patches(pixels_of(prior, image)).mean((2, 3))
    torch.testing.assert_close(prior(image), unit(expected))
    with pytest.raises(ModelError, match="no feature map"):
        prior.maps(image)


def test_bgr_turns_the_channels_after_normalising_them():
    prior = ClassifierPrior(Pointwise(), name="pointwise", size=(8, 8), mean=MEAN, std=STD, bgr=True)
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(prior.normalise(prior.prepare(image)), pixels_of(prior, image)[:, [2, 1, 0]])


def test_the_head_can_be_named():
    prior = ClassifierPrior(Linearly(), name="linearly", size=(24, 24), head="gate.1")
    assert prior.width == 6
    assert prior(torch.rand(1, 3, 9, 9)).shape == (1, 6)


def test_a_prior_stays_frozen_and_still():
    prior = ClassifierPrior(Linearly(), name="linearly", size=(24, 24))
    image = torch.rand(2, 3, 30, 30)
    before = prior(image)
    nn.Sequential(prior).train()
    assert not prior.training
    assert not any(module.training for module in prior.modules())
    assert not any(parameter.requires_grad for parameter in prior.parameters())
    after = prior(image.requires_grad_())
    assert not after.requires_grad
    assert torch.equal(before, after)  # neither dropout nor batch statistics


def test_a_batch_gives_what_its_images_give():
    prior = ClassifierPrior(Linearly(), name="linearly", size=(24, 24))
    images = torch.rand(3, 3, 31, 17)
    torch.testing.assert_close(prior(images), torch.cat([prior(image[None]) for image in images]))


def test_threads_that_share_a_prior_do_not_mix_their_images():
    prior = ClassifierPrior(Linearly(), name="linearly", size=(24, 24))
    images = [torch.rand(1, 3, 24, 24) for _ in range(4)]
    expected = [prior(image) for image in images]
    wrong = []

    def work(index):
        for _ in range(20):
            if not torch.allclose(prior(images[index]), expected[index], atol=1e-5):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_is_no_classifier_is_refused():
    with pytest.raises(ModelError, match="neither a linear layer"):
        ClassifierPrior(nn.Conv2d(3, 3, 3), name="filter")
    with pytest.raises(ModelError, match="'nowhere'"):
        ClassifierPrior(Linearly(), name="linearly", head="nowhere")


def test_a_head_that_never_runs_is_reported():
    module = Linearly()
    module.unused = nn.Linear(3, 2)
    with pytest.raises(ModelError, match="never runs its layer 'unused'"):
        ClassifierPrior(module, name="linearly", size=(24, 24))(torch.rand(1, 3, 24, 24))


def test_without_torchvision_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=r"pellucid\[torchvision\]"):
        find_prior("torchvision:resnet50")


@pytest.mark.parametrize("model", ["squeezenet1_1", "resnet18"])
def test_a_classifier_of_the_true_torchvision(model, tmp_path):
    try:
        models = pytest.importorskip("torchvision.models")
    except RuntimeError as error:
        pytest.skip(f"this torchvision is not for this torch: {error}")
    torch.manual_seed(0)
    module, image = models.get_model(model, weights=None).eval(), torch.rand(2, 3, 100, 80)
    torch.save(module.state_dict(), tmp_path / "weights.pth")
    prior = find_prior(f"torchvision:{model}", weights=tmp_path / "weights.pth")
    taken = models.get_model_weights(model).DEFAULT.transforms()
    pixels = whole_view(image, (224, 224)) - torch.tensor(taken.mean)[:, None, None]
    pixels /= torch.tensor(taken.std)[:, None, None]
    with torch.no_grad():
        if model == "squeezenet1_1":
            features = module.features(pixels)
        else:
            stem = module.maxpool(module.relu(module.bn1(module.conv1(pixels))))
            features = module.layer4(module.layer3(module.layer2(module.layer1(stem))))
        torch.testing.assert_close(prior(image), unit(features.mean((2, 3))))
    assert (prior.size, prior.width) == ((224, 224), features.shape[1])


def test_a_torchvision_of_another_torch_is_said_to_be_one(monkeypatch, tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('operator does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.delitem(sys.modules, "torchvision.models", raising=False)
    with pytest.raises(ModelError, match=r"does not fit this torch \(.*operator does not exist"):
        find_prior("torchvision:resnet50")


@pytest.fixture
def torchvision(monkeypatch):
    """A stand-in with the three functions of torchvision.models that are called."""
    default = types.SimpleNamespace(
        url="https://example.org/linearly.pth",
        transforms=lambda: types.SimpleNamespace(crop_size=[24], mean=list(MEAN), std=list(STD)),
    )

    def get_model(name, weights, **settings):
        if weights is not None:
            raise OSError("no network")
        return Linearly()

    models = types.ModuleType("torchvision.models")
    models.list_models = lambda module: ["linearly", "other"]
    models.get_model_weights = lambda name: types.SimpleNamespace(DEFAULT=default)
    models.get_model = get_model
    package = types.ModuleType("torchvision")
    package.models = models
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)


@pytest.mark.usefixtures("torchvision")
def test_torchvision_with_a_local_file(tmp_path):
    module = Linearly().eval()
    torch.save(module.state_dict(), tmp_path / "linearly.pth")
    prior = find_prior("torchvision:linearly", weights=tmp_path / "linearly.pth")
    image = torch.rand(1, 3, 40, 30)
    assert (prior.name, prior.width, prior.size) == ("torchvision:linearly", 10, (24, 24))
    with torch.no_grad():
        torch.testing.assert_close(prior(image), unit(module.features(pixels_of(prior, image)).mean((2, 3))))


@pytest.mark.usefixtures("torchvision")
def test_torchvision_says_what_it_lacks(tmp_path):
    with pytest.raises(SettingsError, match="did you mean 'linearly'"):
        find_prior("torchvision:linearli")
    with pytest.raises(SettingsError, match="torchvision:resnet50"):
        find_prior("torchvision")
    with pytest.raises(ModelError, match=r"give a local copy of https://example\.org"):
        find_prior("torchvision:linearly")
    with pytest.raises(ModelError, match=r"gone\.pth: no such weights file"):
        find_prior("torchvision:linearly", weights=tmp_path / "gone.pth")
