"""R inside a network: the right layer is found, refined, and the network itself is left as it was."""

import json
import threading

import pytest
import torch
from naive import naive_features, randomised
from torch import nn

import pellucid
from pellucid.errors import ModelError, SettingsError
from pellucid.guidance import Guidance
from pellucid.layers import find_layer, replaced
from pellucid.models.refinements import build_refinement, refinement_name
from pellucid.networks import IAT, Deconvolution, External, NAFNet, PromptIR, UNet
from pellucid.priors import Student, Zeros
from pellucid.refinement import ABLATIONS, Boosted, FeatureRefinement
from pellucid.restoration.restorer import Restorer

INSIDE = {name: settings for name, settings in ABLATIONS.items() if name != "snr-mask"} | {"default": {}}


class Hosted(nn.Module):
    """A network whose layers do what a refined layer must not."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 4, 3, padding=1)
        self.shared = nn.LeakyReLU()
        self.pair = Pair()
        self.unused = nn.Conv2d(4, 4, 1)
        self.pooled = nn.AdaptiveAvgPool2d(1)
        self.tail = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, image):
        features, _ = self.pair(self.shared(self.head(image)))
        return self.tail(self.shared(features) * self.pooled(features))


class Pair(nn.Module):
    def forward(self, features):
        return features, features


def boosted(network, prior=None, **settings):
    return pellucid.boost(network, prior or Zeros(8), refinement="ptgrm-features", **settings)


def awake(boosted):
    """Its refinement away from the identity, its network as it was."""
    randomised(boosted.refinement)
    return boosted.eval()


def student(width=8):
    return Student(width, 32, (4,), (4,)).freeze()


# --- the layer


@pytest.mark.parametrize(
    ("network", "name", "channels"),
    [
        (UNet((8, 12, 20), (1, 1, 1)), "encoders.2", 20),
        (NAFNet.tiny(), "middle", 32),
        (External(UNet((8, 12), (1, 1))), "network.encoders.1", 12),
        (External(UNet((8, 12), (1, 1), channels=1), channels=1), "network.encoders.1", 12),
        (nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1)), "1", 6),
        (Hosted(), "head", 4),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_the_deepest_layer_is_found(network, name, channels):
    layer = find_layer(network)
    assert (layer.name, layer.channels) == (name, channels)


@pytest.mark.parametrize("channels", [1, 6])
def test_it_is_found_in_grey_and_dual_pixel_networks(channels):
    network = nn.Sequential(nn.Conv2d(channels, 5, 3, stride=2, padding=1), nn.Conv2d(5, 12, 1), nn.PixelShuffle(2))
    assert find_layer(network).name == "1"


def test_looking_for_it_changes_nothing():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout2d(), nn.Conv2d(4, 3, 1))
    network[2].eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    drawn = torch.get_rng_state()
    find_layer(network)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [module.training for module in network] == [True, True, False, True]
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("encoder.1", r"unknown layer of UNet 'encoder.1'; did you mean 'encoders.1'"),
        ("zzz", r"unknown layer of UNet 'zzz'; known: .*encoders"),
        ("", "unknown layer of UNet ''"),
    ],
)
def test_a_wrong_name_is_answered_with_the_near_ones(name, message):
    network = UNet((8, 16), (4, 4))
    with pytest.raises(SettingsError, match=message) as caught:
        boosted(network, layer=name)
    assert len(str(caught.value)) < 300
    with pytest.raises(SettingsError, match=message):
        Boosted(network, Zeros(8), FeatureRefinement(8, channels=16, layer=name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pair", "gives a tuple; name one that gives one map, once: .*'head'"),
        ("shared", "runs 2 times"),
        ("unused", "does not run"),
    ],
)
def test_modules_that_are_no_layer_are_refused(name, message):
    with pytest.raises(SettingsError, match=f"layer '{name}' of Hosted {message}"):
        boosted(Hosted(), layer=name)
    forced = Boosted(Hosted(), Zeros(8), FeatureRefinement(8, channels=4, layer=name))
    with pytest.raises(ModelError, match=f"layer '{name}' of Hosted (gave tuple|ran twice|did not run)"):
        forced(torch.rand(1, 3, 8, 8))
    assert not any(module._forward_hooks for module in forced.network.modules())


def test_networks_without_a_layer_are_named():
    with pytest.raises(ModelError, match="Identity: no feature map found"):
        boosted(nn.Identity())
    with pytest.raises(ModelError, match=r"Linear: cannot be run to find its layers"):
        boosted(nn.Linear(7, 7))


# --- the refinement of a map


@pytest.mark.parametrize("name", INSIDE)
def test_it_agrees_with_a_naive_derivation(name):
    settings = INSIDE[name] | ({"width": 24} if name == "large" else {})
    module = randomised(FeatureRefinement(10, channels=7, layer="x", **settings))
    deep = torch.randn(2, 7, 3, 6) * 30
    feature = torch.randn(2, 10, *((2, 2) if module.takes_maps else ()))
    with torch.no_grad():
        refined = module(deep, feature)
    torch.testing.assert_close(refined.double(), naive_features(module, deep, feature), atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 3)])
def test_untrained_it_returns_the_map_bit_for_bit(name, size):
    module = FeatureRefinement(10, channels=7, layer="x", **INSIDE[name])
    deep = torch.randn(2, 7, *size)
    assert torch.equal(module(deep, torch.randn(2, 10, *((2, 2) if module.takes_maps else ()))), deep)


@pytest.mark.parametrize(
    ("channels", "prior", "parameters"), [(256, 512, 658_324), (384, 512, 664_980), (512, 512, 671_636)]
)
def test_parameters(channels, prior, parameters):
    """The middle of R (350,100, and T_m and T_c of 147,456 each), and 52 for each channel of the map."""
    module = FeatureRefinement(prior, channels=channels, layer="x")
    core = 672_170 - (864 + 4608 + 64) - (18_432 + 2_320 + 870)  # the default's, without R_e and R_d
    assert sum(value.numel() for value in module.parameters()) == core + 52 * channels == parameters


@pytest.mark.parametrize("channels", [64, 512, 2048])
@pytest.mark.parametrize("prior", [512, 1280, 4096])
def test_it_stays_under_a_million_parameters(channels, prior):
    module = FeatureRefinement(prior, channels=channels, layer="x")
    assert sum(value.numel() for value in module.parameters()) < 1_000_000


def test_every_parameter_and_the_prior_matter():
    module = randomised(FeatureRefinement(8, channels=5, layer="x"))
    deep = torch.randn(1, 5, 6, 6)
    refined = module(deep, torch.randn(1, 8))
    assert (refined - module(deep, torch.randn(1, 8))).abs().max() > 1e-6
    refined.sum().backward()
    assert [key for key, value in module.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_a_map_keeps_its_type_and_belongs_to_its_image():
    module = randomised(FeatureRefinement(8, channels=5, layer="x"))
    deep, feature = torch.randn(4, 5, 3, 3), torch.randn(2, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert module(deep.bfloat16(), feature).dtype == torch.bfloat16
    with torch.no_grad():
        together = module(deep, feature)
        apart = torch.cat([module(deep[:2], feature[:1].expand(2, -1)), module(deep[2:], feature[1:].expand(2, -1))])
    torch.testing.assert_close(together, apart)
    with pytest.raises(ModelError, match=r"layer 'x': .* maps \(3, 5, h, w\), got \(4, 5, 3, 3\)"):
        module(deep, torch.randn(3, 8))
    with pytest.raises(ModelError, match=r"maps \(2, 5, h, w\), got \(4, 6, 3, 3\)"):
        module(torch.randn(4, 6, 3, 3), feature)


def test_wrong_settings_are_said():
    with pytest.raises(SettingsError, match="needs the degraded image"):
        build_refinement("ptgrm-features", {"channels": 4, "layer": "x", "range_map": "snr"})
    with pytest.raises(SettingsError, match="layer"):
        build_refinement("ptgrm-features", {"channels": 4})


# --- a network refined inside


@pytest.mark.parametrize("size", [(1, 1), (33, 53)])
def test_untrained_the_network_gives_what_it_gives(size):
    network = UNet.tiny().eval()
    image = torch.rand(2, 3, *size)
    inside = boosted(network)
    refined, restored = inside(image, both=True)
    assert inside.network is network
    assert torch.equal(refined, restored)
    torch.testing.assert_close(restored, pellucid.boost(network, Zeros(8))(image, both=True)[1], atol=0, rtol=0)


def test_it_is_the_network_with_one_map_replaced():
    network = UNet((8, 16), (1, 1)).eval()
    inside = awake(boosted(network, student()))
    image = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        refined, restored = inside(image, both=True)
        head = network.encoders[0](network.head(image))
        deep = network.encoders[1](network.downsamples[0](head))
        changed = inside.refinement(deep, inside.prior(image))
        expected = image + network.tail(network.decoders[0](network.upsamples[0](changed) + head))
        assert torch.equal(restored, network(image))
    torch.testing.assert_close(refined, expected)
    assert (refined - restored).abs().max() > 1e-4


def test_outside_its_call_the_network_is_untouched():
    network = UNet.tiny().eval()
    image = torch.rand(1, 3, 16, 16)
    before, calls = network(image), []
    network.encoders[1].register_forward_hook(lambda *_: calls.append(1))
    inside = awake(boosted(network))
    calls.clear()
    inside(image, both=True)
    assert len(calls) == 2  # the user's own hook still sees both passes
    assert torch.equal(network(image), before)
    assert [len(module._forward_hooks) for module in network.modules() if module._forward_hooks] == [1]
    with pytest.raises(RuntimeError, match="broken"), replaced(network, "encoders.1", broken):
        network(image)
    assert torch.equal(network(image), before)


def broken(features):
    raise RuntimeError("broken")


def test_another_thread_runs_the_network_itself():
    network = UNet.tiny().eval()
    image = torch.rand(1, 3, 16, 16)
    plain, found = network(image), []

    def elsewhere(features):
        thread = threading.Thread(target=lambda: found.append(network(image)))
        thread.start()
        thread.join()
        return features * 0

    with torch.no_grad(), replaced(network, "encoders.1", elsewhere):
        replaced_result = network(image)
    assert torch.equal(found[0], plain)
    assert not torch.equal(replaced_result, plain)


@pytest.mark.parametrize("freeze", [True, False])
def test_both_train_or_the_refinement_alone(freeze):
    network = UNet.tiny()
    inside = boosted(network, student(), freeze_network=freeze).train()
    refined, restored = inside(torch.rand(1, 3, 16, 16), both=True)
    assert restored.requires_grad != freeze
    (refined.square().mean() + restored.square().mean()).backward()
    assert inside.refinement.decoder.weight.grad.any()
    assert all((value.grad is None) == freeze for value in network.parameters())
    assert all(value.grad is None for value in inside.prior.parameters())


def test_normalisations_learn_once_in_a_step_and_from_refined_maps():
    """Though the network runs twice."""
    hosts = []
    for both in (True, False):
        torch.manual_seed(3)
        host = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.Upsample(scale_factor=2)
        )
        host.append(nn.Conv2d(8, 3, 1))
        inside = awake(boosted(host, student(), layer="0")).train()
        inside(torch.rand(2, 3, 16, 16), both=both)
        hosts.append(host)
    assert hosts[0][2].num_batches_tracked == 1
    assert torch.equal(hosts[0][2].running_mean, hosts[1][2].running_mean)
    assert hosts[0][2].running_mean.any()
    assert hosts[0][2].track_running_stats


def test_a_crop_has_its_place_in_the_whole():
    inside = awake(boosted(UNet.tiny(), student()))
    crop, whole = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 40, 40)
    view = inside.prior.prepare(whole)
    with torch.no_grad():
        here, there = (
            inside(crop, Guidance(view=view, grid=torch.tensor([grid])))
            for grid in ([0.0, 0.0, 0.4, 0.4], [0.6, 0.6, 1.0, 1.0])
        )
    assert (here - there).abs().max() > 1e-6


@pytest.mark.parametrize("network", [IAT, PromptIR, Deconvolution])
@pytest.mark.parametrize("size", [(40, 56), (37, 53)])
def test_a_network_that_looks_is_refined_inside_as_when_it_is_called(network, size):
    host = network.tiny()
    if isinstance(host, IAT):  # untrained, its global branch does not listen to its features
        nn.init.normal_(host.global_branch.value.weight)
    inside = awake(boosted(host, student())).eval()
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        direct = inside.restore(image, inside.look(image, cut=False)).clamp(0, 1)
    restored = Restorer(inside, tile=0, precision="float32").restore_image(image)
    torch.testing.assert_close(restored, direct, atol=1e-5, rtol=0)
    assert (restored - Restorer(inside.network, tile=0, precision="float32").restore_image(image)).abs().max() > 1e-6


@pytest.mark.parametrize("name", ["deconvolution", "promptir"])
def test_the_network_alone_is_told_of_the_whole_as_the_refined_one_is(name):
    network = {"deconvolution": Deconvolution, "promptir": PromptIR}[name].tiny().eval()
    inside = awake(boosted(network, student())).eval()
    whole = torch.rand(1, 3, 64, 64) * torch.linspace(0, 1, 64)
    tile = whole[..., :32, :32]
    with torch.no_grad():
        guidance = inside.look(whole)
        refined, restored = inside(tile, guidance, both=True)
        expected = network.restore(tile, network.look(whole))
        assert (expected - network(tile)).abs().max() > 1e-5  # what is told makes a difference
        torch.testing.assert_close(refined, inside.restore(tile, guidance))
        torch.testing.assert_close(inside.restore(tile, inside.for_network_alone(guidance)), expected)
    torch.testing.assert_close(restored, expected)


def test_grey_networks_and_those_that_see_colours_one_by_one():
    image = torch.rand(2, 1, 16, 16)
    grey = boosted(UNet((8, 16), (1, 1), channels=1))
    torch.testing.assert_close(*grey(image, both=True), atol=0, rtol=0)
    one_by_one = awake(boosted(External(UNet((8, 16), (1, 1), channels=1), channels=1), student()))
    refined = one_by_one(image.expand(-1, 3, -1, -1).contiguous())
    torch.testing.assert_close(refined[:, 0], refined[:, 2])
    torch.testing.assert_close(refined[:1], one_by_one(image[:1].expand(-1, 3, -1, -1).contiguous()))


def test_networks_that_return_several_images():
    class Several(nn.Module):
        def __init__(self):
            super().__init__()
            self.unet = UNet.tiny()

        def forward(self, image):
            restored = self.unet(image)
            return [image, restored, restored.mean()]

    inside = awake(boosted(External(Several(), multiple=2)))
    image = torch.rand(1, 3, 17, 16)
    refined, restored = inside(image, both=True)
    assert inside.refinement.layer == "network.unet.encoders.1"
    assert refined.shape == restored.shape == image.shape
    assert (refined - restored).abs().max() > 1e-4


def test_its_settings_build_it_again():
    network = UNet.tiny().eval()
    inside = awake(boosted(network, student()))
    assert refinement_name(inside.refinement) == "ptgrm-features"
    settings = json.loads(json.dumps(inside.refinement.settings))
    assert (settings["layer"], settings["channels"]) == ("encoders.1", 16)
    with torch.device("meta"):
        again = build_refinement("ptgrm-features", settings)
    again.load_state_dict(inside.refinement.state_dict(), assign=True)
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(Boosted(network, inside.prior, again.eval())(image), inside(image))
