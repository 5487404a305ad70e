"""Boosting foreign networks: nothing of theirs is touched, every size works, and what does not fit is said."""

import pytest
import skimage.data
import torch
from torch import nn

import pellucid
from pellucid.diagnosis import diagnosis_prior
from pellucid.errors import ModelError, SettingsError
from pellucid.guidance import Guidance
from pellucid.images.padding import pad_to
from pellucid.models.priors import find_prior
from pellucid.models.save import save_model
from pellucid.networks import External, UNet
from pellucid.priors import ModuleFeatures, RandomVectors, Student, Zeros
from pellucid.refinement import ABLATIONS, PTGRM, Boosted
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
        same = boosted(image, Guidance(view=boosted.prior.prepare(image), grid=whole))
        other = boosted(image, Guidance(view=boosted.prior.prepare(1 - image), grid=whole))
        elsewhere = boosted(image, Guidance(view=boosted.prior.prepare(image), grid=whole / 2))
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
    with pytest.raises(SettingsError, match="prior_width follows from the prior; leave it out"):
        pellucid.boost(nn.Identity(), "statistics", prior_width=7)
    for prior, kind in ((None, "NoneType"), (nn.Conv2d(3, 3, 1), "Conv2d"), (3, "int")):
        with pytest.raises(
            SettingsError, match=rf"expected a prior or its name, got {kind}; .*ModuleFeatures\(network"
        ):
            pellucid.boost(nn.Identity(), prior)
    with pytest.raises(
        SettingsError, match=r"a torch\.nn\.Module, got builtin_function_or_method; call a function from"
    ):
        pellucid.boost(torch.relu, Zeros(8))
    with pytest.raises(SettingsError, match="layer must be the dotted name of a module of UNet, got 3"):
        pellucid.boost(UNet((4, 4), (1, 1)), Zeros(8), refinement="ptgrm-features", layer=3)
    with pytest.raises(SettingsError, match="unknown refinement"):
        pellucid.boost(nn.Identity(), Zeros(8), refinement=PTGRM(8))
    network = nn.Identity()
    network.scale = 2
    with pytest.raises(ModelError, match="scales by 2"):
        pellucid.boost(network, Zeros(8))


# --- networks of other channels, other ranges and other outputs


class Grey(nn.Module):
    """A grey network: half as bright."""

    def forward(self, image):
        assert image.shape[1] == 1
        return image / 2


class DualPixel(nn.Module):
    """Two views to one image: the sharper half of each, so to say."""

    def forward(self, image):
        assert image.shape[1] == 6
        return torch.cat([image[:, :1], image[:, 4:]], 1)


class Watched(Zeros):
    """A prior that keeps what it was shown."""

    def prepare(self, image):
        self.shown = image
        return super().prepare(image)


@pytest.mark.parametrize("size", [(1, 1), (37, 41)])
def test_a_grey_network_is_refined_in_grey(size):
    image, prior = torch.rand(2, 1, *size), Watched(8)
    boosted = pellucid.boost(Grey(), prior)
    refined, restored = boosted(image, both=True)
    assert torch.equal(restored, image / 2)
    torch.testing.assert_close(refined, restored, atol=1e-6, rtol=0)
    assert torch.equal(prior.shown, image.repeat(1, 3, 1, 1))
    randomised(boosted)
    with torch.no_grad():
        refined = boosted(image)
        colours = pellucid.boost(nn.Identity(), prior)
        colours.refinement = boosted.refinement
        expected = colours.refine(
            image.repeat(1, 3, 1, 1) / 2, image.repeat(1, 3, 1, 1), Guidance(vector=torch.zeros(2, 8))
        )
    assert refined.shape == image.shape
    torch.testing.assert_close(refined, expected.mean(1, keepdim=True))


def test_two_views_are_refined_to_one_image():
    views, prior = torch.rand(2, 6, 13, 18), Watched(8)
    boosted = pellucid.boost(DualPixel(), prior)
    refined, restored = boosted(views, both=True)
    assert torch.equal(restored, torch.stack([views[:, 0], views[:, 4], views[:, 5]], 1))
    torch.testing.assert_close(refined, restored, atol=1e-6, rtol=0)
    mean = (views[:, :3] + views[:, 3:]) / 2
    torch.testing.assert_close(prior.shown, mean)
    randomised(boosted)
    with torch.no_grad():
        torch.testing.assert_close(boosted(views), boosted.refine(restored, mean, Guidance(vector=torch.zeros(2, 8))))


@pytest.mark.parametrize("shape", [(1, 2, 8, 8), (1, 4, 8, 8), (3, 8, 8)])
def test_other_channels_are_refused(shape):
    with pytest.raises(ModelError, match=r"takes RGB .*, grey .* or the two views .*, got \("):
        pellucid.boost(nn.Identity(), Zeros(8))(torch.rand(shape))


def test_what_a_network_restores_must_have_the_channels_of_a_picture():
    with pytest.raises(ModelError, match=r"expected an image of shape \(1, 3, 8, 8\), got \(1, 6, 8, 8\)"):
        pellucid.boost(nn.Identity(), Zeros(8))(torch.rand(1, 6, 8, 8))
    with pytest.raises(ModelError, match=r"expected an image of shape \(1, 3, 8, 8\), got \(1, 1, 8, 8\)"):
        pellucid.boost(nn.Conv2d(3, 1, 1), Zeros(8))(torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 255.0)])
def test_networks_of_another_range_are_refined_in_ours(low, high):
    class Brighter(nn.Module):
        """A tenth of its range brighter; what it sees must lie in that range."""

        def forward(self, image):
            assert low <= image.min() <= image.max() <= high
            assert image.max() - image.min() > 0.5 * (high - low)
            return [image, (image + 0.1 * (high - low), {"curves": image.mean()})]

    image = torch.rand(1, 3, 9, 14)
    boosted = pellucid.boost(External(Brighter(), low=low, high=high), Zeros(8))
    refined, restored = boosted(image, both=True)
    torch.testing.assert_close(restored, image + 0.1, atol=1e-5, rtol=0)
    torch.testing.assert_close(refined, image + 0.1, atol=1e-5, rtol=0)


def test_gradients_reach_a_network_that_returns_several_images():
    class Several(nn.Module):
        def __init__(self):
            super().__init__()
            self.curves = nn.Conv2d(3, 3, 1)

        def forward(self, image):
            curves = self.curves(image)
            return image, image + curves, curves.repeat(1, 2, 1, 1)

    network = Several()
    seen = []
    network.curves.register_forward_hook(lambda module, inputs, output: seen.append(output))
    boosted = pellucid.boost(External(network), Zeros(8))
    refined, restored = boosted(torch.rand(2, 3, 8, 8), both=True)
    assert len(seen) == 1
    (
        refined.mean() + restored.mean() + seen[0].square().mean()
    ).backward()  # as a network's own loss without references
    assert network.curves.weight.grad.any()
    assert boosted.refinement.decoder.out.bias.grad.any()


# --- the prior's maps


class Mapped(Zeros):
    """A prior whose maps are the view itself, and more of it."""

    def __init__(self):
        super().__init__(8)
        self.size = (6, 10)

    def maps(self, image):
        view = self.prepare(image)
        return torch.cat([view, view.square()], 1)


def test_maps_take_the_vectors_place():
    prior = Mapped()
    boosted = randomised(pellucid.boost(nn.Identity(), prior, guidance="concatenated-maps"))
    assert boosted.refinement.prior_width == 6
    image = torch.rand(2, 3, 24, 40)
    with torch.no_grad():
        feature = boosted.look(image).maps
        refined = boosted(image)
        assert feature.shape == (2, 6, 6, 10)
        torch.testing.assert_close(refined, boosted.refinement(image, image, prior.maps(image)))
        torch.testing.assert_close(boosted(image, Guidance(view=prior.prepare(image))), refined, atol=1e-5, rtol=0)
        other = boosted(image, Guidance(view=prior.prepare(image.flip(3))))
    assert (refined - other).abs().max() > 1e-6


def test_an_ablation_is_built_by_its_name():
    boosted = pellucid.boost(nn.Identity(), Zeros(8), **ABLATIONS["without-position"], form="reference")
    assert boosted.refinement.settings["position"] is False
    assert boosted.refinement.settings["form"] == "reference"
    with pytest.raises(SettingsError, match="unknown refinement 'ptgrn'; did you mean 'ptgrm'"):
        pellucid.boost(nn.Identity(), Zeros(8), refinement="ptgrn")
    with pytest.raises(SettingsError, match="unknown setting 'widht'; did you mean 'width'"):
        pellucid.boost(nn.Identity(), Zeros(8), widht=8)


def test_a_real_priors_maps_guide(shared):
    prior = find_prior("mobilenet_v2", weights=shared / "weights" / "prior_mobilenet_v2_imagenet.safetensors")
    boosted = randomised(pellucid.boost(nn.Identity(), prior, guidance="concatenated-maps"))
    assert boosted.refinement.prior_width == 1280
    image = torch.from_numpy(skimage.data.astronaut()[100:196, 150:310]).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        refined, restored = boosted(image, both=True)
        cropped = boosted(image, Guidance(view=prior.prepare(image)))
    assert (refined - restored).abs().max() > 1e-4
    torch.testing.assert_close(cropped, refined, atol=1e-4, rtol=0)


# --- priors that are made of more than a prior


def test_a_diagnosis_guides_by_its_name():
    boosted = pellucid.boost(nn.Identity(), "diagnosis", width=4)
    image = torch.rand(1, 3, 40, 30)
    assert torch.equal(boosted.look(image).vector, diagnosis_prior()(image))
    assert boosted(image).shape == image.shape


def test_a_restorer_guides_by_its_file(tmp_path):
    network = UNet((4, 8), (1, 1))
    save_model(network, tmp_path / "model.safetensors", recipe={}, card={})
    boosted = pellucid.boost(nn.Identity(), f"restorer:{tmp_path / 'model.safetensors'}", width=4)
    image = torch.rand(1, 3, 40, 30)
    expected = ModuleFeatures(network.eval(), name="itself")(image)
    torch.testing.assert_close(boosted.look(image).vector, expected)
    joined = pellucid.boost(nn.Identity(), f"joined(statistics, {boosted.prior.name})", width=4)
    torch.testing.assert_close(joined.look(image).vector[:, 41:], expected)


# --- networks and images that are out of the ordinary


def test_an_empty_batch_is_refused():
    for shape in ((0, 3, 8, 8), (0, 1, 8, 8)):
        with pytest.raises(ModelError, match=r"takes one image or more, got a batch of none: \(0, "):
            pellucid.boost(nn.Identity(), "statistics")(torch.rand(shape))


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("refinement", ["ptgrm", "ptgrm-features"])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (3, 3)])
def test_tiny_images_are_refined(mode, refinement, size):
    boosted = pellucid.boost(UNet((4, 8), (1, 1)), Zeros(8), refinement=refinement)
    getattr(boosted, mode)()
    image = torch.rand(1, 3, *size)
    refined, restored = boosted(image, both=True)
    torch.testing.assert_close(refined, restored, atol=1e-6, rtol=0)
    assert refined.shape == image.shape


def test_a_network_that_takes_no_tiny_images_is_named_with_a_remedy_that_works():
    network = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, 3, 7))
    image = torch.rand(1, 3, 2, 3)
    with pytest.raises(ModelError, match=r"Sequential fails on an image of 2 x 3 \(.*External\(network, multiple=16\)"):
        pellucid.boost(network, Zeros(8))(image)
    refined = pellucid.boost(External(network, multiple=16), Zeros(8))(image)
    torch.testing.assert_close(refined, network(pad_to(image, 16, 16))[:, :, :2, :3], atol=1e-6, rtol=0)
    with pytest.raises(RuntimeError, match="channels"):  # no question of size
        pellucid.boost(network, Zeros(8))(torch.rand(1, 1, 32, 32))


@pytest.mark.parametrize("refinement", ["ptgrm", "ptgrm-features"])
@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float64, 1e-5), (torch.bfloat16, 0.1)])
def test_a_network_of_another_precision_is_refined_in_that_of_the_image(refinement, precision, tolerance):
    torch.manual_seed(0)
    network = UNet((4, 8), (1, 1))
    boosted = randomised(pellucid.boost(network, RandomVectors(8), refinement=refinement))
    image = torch.rand(2, 3, 12, 18).to(precision).float()
    with torch.no_grad():
        expected, restored = boosted(image, both=True)
        network.to(precision)
        for given in (image, image.to(precision)):
            found = boosted(given, both=True)
            assert found[0].dtype == found[1].dtype == given.dtype
            torch.testing.assert_close(found[0].float(), expected, atol=tolerance, rtol=0)
            torch.testing.assert_close(found[1].float(), restored, atol=tolerance, rtol=0)
    made = pellucid.boost(network, RandomVectors(8), refinement=refinement)
    assert {value.dtype for value in made.refinement.parameters()} == {torch.float32}
    made.train()(image).mean().backward()
    assert all(value.grad is not None for value in network.parameters())


def test_a_compiled_network_is_not_refined_inside():
    network = UNet((4, 8), (1, 1)).eval()
    compiled = torch.compile(network, backend="eager")
    with pytest.raises(
        SettingsError, match=r"before torch\.compile, and compile R alone, with boosted\.refinement\.compile"
    ):
        pellucid.boost(compiled, Zeros(8), refinement="ptgrm-features")
    pellucid.boost(compiled, Zeros(8))  # its result is refined like any other's
    boosted = randomised(pellucid.boost(network, RandomVectors(8), refinement="ptgrm-features"))
    image = torch.rand(1, 3, 12, 18)
    with torch.no_grad():
        expected = boosted(image)
        boosted.refinement.compile(backend="eager")
        torch.testing.assert_close(boosted(image), expected)
        network.compile(backend="eager")
        network(image)
        with pytest.raises(ModelError, match="did not run; a network that is compiled runs past it"):
            boosted(image)
    with pytest.raises(SettingsError, match=r"before torch\.compile"):
        pellucid.boost(network, Zeros(8), refinement="ptgrm-features")


def test_a_boosted_network_is_not_boosted_again():
    boosted = pellucid.boost(UNet((4, 8), (1, 1)), Zeros(8))
    with pytest.raises(ModelError, match=r"boosted already.*boosted\.network"):
        pellucid.boost(boosted, Zeros(8))
