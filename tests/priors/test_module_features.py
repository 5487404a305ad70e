"""Priors from a layer of any network."""

import copy
import pickle
import threading

import pytest
import torch
from torch import nn

from pellucid.errors import ModelError
from pellucid.layers import find_layer, watched
from pellucid.networks import NAFNet, UNet
from pellucid.priors import ModuleFeatures, Prior


class Restorer(nn.Module):
    """A U-Net of one level, with a squeeze-and-excitation at the bottom whose single pixel is no feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 6, 3, padding=1)
        self.down = nn.Conv2d(6, 8, 2, stride=2)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())
        self.middle = nn.Sequential(nn.Conv2d(8, 10, 3, padding=1), nn.ReLU())
        self.up = nn.Sequential(nn.Conv2d(10, 24, 1), nn.PixelShuffle(2))
        self.tail = nn.Conv2d(6, 3, 3, padding=1)

    def bottom(self, image):
        features = self.down(self.head(image))
        return self.middle(features * self.gate(features))

    def forward(self, image):
        return image + self.tail(self.up(self.bottom(image)).mul_(2))


def unit(vector):
    return vector / vector.square().mean(1, keepdim=True).sqrt()


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (20, 90)])
def test_the_vector_is_the_pooled_bottom_of_the_network(size):
    network = Restorer()
    prior = ModuleFeatures(network, name="restorer:file", size=(16, 24))
    assert isinstance(prior, Prior)
    assert (prior.layer, prior.width, prior.name, prior.module) == ("middle", 10, "restorer:file", network)
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        expected = network.bottom(prior.prepare(image))
    torch.testing.assert_close(prior(image), unit(expected.mean((2, 3))))
    torch.testing.assert_close(prior.maps(image), expected)


@pytest.mark.parametrize("network", [UNet(widths=(4, 8, 12), blocks=(1, 2, 1)), NAFNet(width=4)])
def test_the_bottom_of_our_own_networks_is_found(network):
    multiple = network.contract.multiple
    side = 4 * multiple
    prior = ModuleFeatures(network, name="restorer", size=(side, side))
    maps = prior.maps(torch.rand(1, 3, side, side))
    assert maps.shape[2:] == (side // multiple,) * 2
    assert maps.shape[1] == prior.width > 4
    assert prior.layer.count(".") <= 1


def test_without_levels_it_is_the_last_features_before_the_image():
    body = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 5, 3, padding=1), nn.Conv2d(5, 3, 1))
    assert find_layer(nn.Sequential(body, nn.Sigmoid())).name == "0.2"


def test_a_layer_can_be_named_and_what_follows_in_place_does_not_change_it():
    network = Restorer()
    prior = ModuleFeatures(network, "up", name="restorer", size=(16, 16))
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        expected = network.up(network.bottom(prior.prepare(image)))
    torch.testing.assert_close(prior.maps(image), expected)


def test_the_range_of_the_network_is_respected():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1))
    prior = ModuleFeatures(network, "0", name="symmetric", size=(8, 8), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(prior.maps(image), network[0](2 * prior.prepare(image) - 1))


class Colours(nn.Module):
    """Treats the colours one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 6, 3, stride=2)
        self.tail = nn.ConvTranspose2d(6, 1, 2, stride=2)

    def forward(self, image):
        return self.tail(self.features(image.reshape(-1, 1, *image.shape[2:])))


def test_colours_one_by_one_give_the_mean_of_their_features():
    network = Colours()
    prior = ModuleFeatures(network, name="grey", size=(9, 9))
    image = torch.rand(2, 3, 9, 9)
    view = prior.prepare(image)
    with torch.no_grad():
        expected = torch.stack([network.features(view[:, c : c + 1]) for c in range(3)]).mean(0)
    torch.testing.assert_close(prior.maps(image), expected)


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, stride=4)
        self.mix = nn.Linear(6, 5)

    def forward(self, image):
        tokens = self.patches(image).flatten(2).transpose(1, 2)
        return {"tokens": (self.mix(tokens), None)}


def test_tokens_are_averaged_and_have_no_maps():
    network = Tokens()
    prior = ModuleFeatures(network, "mix", name="tokens", size=(8, 12))
    image = torch.rand(1, 3, 8, 12)
    with torch.no_grad():
        expected = network(prior.prepare(image))["tokens"][0].mean(1)
    torch.testing.assert_close(prior(image), unit(expected))
    with pytest.raises(ModelError, match="layer 'mix' gives no feature map"):
        prior.maps(image)
    # The whole network's dictionary is searched for its first tensor.
    torch.testing.assert_close(ModuleFeatures(network, "", name="tokens", size=(8, 12))(image), unit(expected))


def test_it_is_frozen_and_no_gradient_flows():
    network = Restorer()
    network.middle.insert(1, nn.Dropout(0.5))
    network.train()
    prior = ModuleFeatures(network, name="restorer", size=(16, 16))
    prior.train()
    assert not network.training
    assert not any(parameter.requires_grad for parameter in prior.parameters())
    image = torch.rand(2, 3, 16, 16, requires_grad=True)
    assert not prior(image).requires_grad
    assert not prior.maps(image).requires_grad
    assert torch.equal(prior(image), prior(image))
    torch.testing.assert_close(prior(image), torch.cat([prior(one[None]) for one in image]))


def test_half_precision_gives_float32_near_the_same():
    prior = ModuleFeatures(Restorer(), name="restorer", size=(16, 16))
    image = torch.rand(1, 3, 16, 16)
    expected = prior(image)
    for half in (copy.deepcopy(prior).bfloat16(), ModuleFeatures(Restorer().bfloat16(), name="half", size=(16, 16))):
        assert half(image).dtype == half.maps(image).dtype == torch.float32
    torch.testing.assert_close(copy.deepcopy(prior).bfloat16()(image), expected, rtol=0.05, atol=0.05)


def test_copies_and_pickles_see_their_own_layers():
    prior = ModuleFeatures(Restorer(), name="restorer", size=(16, 16))
    image = torch.rand(1, 3, 16, 16)
    expected = prior(image)
    for other in (copy.deepcopy(prior), pickle.loads(pickle.dumps(prior))):
        nn.init.zeros_(prior.module.head.weight)
        assert torch.equal(other(image), expected)


def test_threads_that_share_a_prior_do_not_mix_their_images():
    prior = ModuleFeatures(Restorer(), name="restorer", size=(16, 16))
    images = [torch.rand(1, 3, 16, 16) for _ in range(4)]
    expected = [prior(image) for image in images]
    wrong = []

    def work(index):
        wrong.extend(index for _ in range(20) if not torch.allclose(prior(images[index]), expected[index], atol=1e-5))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_who_watches_a_module_sees_its_own_thread_alone():
    network = Restorer()
    with watched({"bottom": network.middle}) as seen:
        other = threading.Thread(target=network, args=(torch.rand(1, 3, 16, 16),))
        other.start()
        other.join()
        assert seen == []
        network(torch.rand(2, 3, 8, 8))
    assert [(name, tuple(output.shape)) for name, _, output in seen] == [("bottom", (2, 10, 4, 4))]
    assert not any(module._forward_hooks for module in network.modules())


def test_what_cannot_be_is_said_in_a_line():
    with pytest.raises(ModelError, match="unknown layer of Restorer 'midle'; did you mean 'middle'"):
        ModuleFeatures(Restorer(), "midle", name="restorer", size=(16, 16))
    with pytest.raises(
        ModelError, match=r"unknown layer of Restorer 'xyz'; known: down, gate, .*head, middle, tail, up and 5 more"
    ):
        ModuleFeatures(Restorer(), "xyz", name="restorer", size=(16, 16))
    with pytest.raises(ModelError, match=r"Conv2d: cannot be run to find its layers \(.*2 channels.*\)"):
        find_layer(nn.Conv2d(2, 8, 3))
    with pytest.raises(ModelError, match=r"Conv2d fails on an RGB image of 8 x 8"):
        ModuleFeatures(nn.Conv2d(1, 8, 3), "", name="grey", size=(8, 8))
    with pytest.raises(ModelError, match=r"Sequential: no feature map found .*; name the module"):
        find_layer(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Sigmoid()))
    with pytest.raises(ModelError, match=r"Sequential: no feature map found .*; name the module"):
        ModuleFeatures(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1)), name="restorer", size=(8, 8))
    network = Restorer()
    network.spare = nn.Linear(2, 2)
    with pytest.raises(ModelError, match="restorer: layer 'spare' gives no features"):
        ModuleFeatures(network, "spare", name="restorer", size=(16, 16))
