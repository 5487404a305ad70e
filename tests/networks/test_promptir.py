"""PromptIR: its published sizes, a naive derivation by its authors' keys, its prompts, and what tiles are told."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from naive_restormer import Naive, drawn, promptir_shapes, resized
from torch import nn

import pellucid
from pellucid import boost
from pellucid.errors import SettingsError
from pellucid.guidance import NOTHING, Guidance
from pellucid.models.file import describe_model
from pellucid.models.load import load_model
from pellucid.models.published import recognise
from pellucid.models.save import save_model
from pellucid.models.tables import build_network
from pellucid.networks import Experts, PromptIR, Restormer, UNet, promptir
from pellucid.networks.promptir import PromptGeneration
from pellucid.recipes import load_tree
from pellucid.restoration.restorer import Restorer
from pellucid.training.settings import read_recipe

SMALL = {
    "width": 4,
    "blocks": (1, 2, 1, 1),
    "refinement": 2,
    "heads": (1, 1, 2, 4),
    "widths": (10, 6, 4),
    "sides": (2, 3, 5),
    "components": 3,
}
UNUSED = ("chnl_reduce", "reduce_noise_channel_")


def count(module):
    return sum(value.numel() for value in module.parameters())


def seen_weights(network):
    """A list that every prompt of the network adds the weights to that it is given."""
    given = []
    for prompt in network.prompts:
        prompt.register_forward_pre_hook(lambda _, inputs: given.append(inputs[1]))
    return given


@pytest.fixture(scope="module")
def published():
    """The paper's network, without values."""
    with torch.device("meta"):
        return PromptIR()


@pytest.fixture
def network():
    """A small one, whose prompts' weights differ from picture to picture."""
    made = PromptIR.tiny().eval()
    for prompt in made.prompts:
        nn.init.normal_(prompt.generation.weigh.weight, std=3)
    return made.requires_grad_(False)


def test_it_has_the_published_size(published):
    """35,592,263 by the authors' code, of which 215,296 belong to six convolutions that nothing calls."""
    shapes = promptir_shapes()
    theirs = sum(int(np.prod(shape)) for shape in shapes.values())
    unused = sum(int(np.prod(shape)) for key, shape in shapes.items() if key.startswith(UNUSED))
    assert (theirs, unused) == (35_592_263, 215_296)
    assert count(published) == theirs - unused
    names = ("generation", "interaction", "project")
    parts = [sum(count(getattr(prompt, name)) for prompt in published.prompts) for name in names]
    assert [round(part / 1e6, 2) for part in parts] == [3.48, 7.56, 0.21]


def test_the_authors_file_is_recognised_at_full_size(published):
    with torch.device("meta"):
        weights = {f"net.{key}": torch.empty(shape) for key, shape in promptir_shapes().items()}
    name, settings, ours = recognise(weights)
    assert name == "promptir"
    assert settings | {"prompts": True} == published.settings
    assert sum(value.numel() for value in ours.values()) == 35_376_967


def test_channels_are_those_published(published):
    assert [tuple(p.generation.components.shape) for p in published.prompts] == [
        (5, 320, 16, 16),
        (5, 128, 32, 32),
        (5, 64, 64, 64),
    ]
    assert [p.generation.weigh.in_features for p in published.prompts] == [384, 192, 96]
    assert [p.interaction.qkv.in_channels for p in published.prompts] == [704, 320, 160]
    assert [p.interaction.heads for p in published.prompts] == [4, 4, 4]
    assert [p.project.out_channels for p in published.prompts] == [192, 192, 96]
    assert (published.upsamples[0][0].in_channels, published.joins[0].in_channels) == (192, 288)


def test_authors_weights_give_the_papers_formulas():
    weights = drawn(promptir_shapes(**SMALL))
    name, settings, ours = recognise(weights)
    network = build_network(name, settings).eval()
    network.load_state_dict(ours)
    naive, image = Naive(weights), torch.rand(2, 3, 16, 24)
    with torch.no_grad():
        restored = network(image)
    assert (restored - image).abs().max() > 0.1
    torch.testing.assert_close(restored.double(), naive.run(image), atol=1e-5, rtol=1e-5)
    for found, expected in zip(network.prompt_weights(image), naive.mixed, strict=True):
        torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


def test_a_checkpoint_of_lightning_loads_and_is_kept(tmp_path):
    weights = drawn(promptir_shapes(**SMALL))
    checkpoint = {"epoch": 119, "state_dict": {f"net.{key}": value for key, value in weights.items()}}
    torch.save(checkpoint, tmp_path / "model.ckpt")
    assert describe_model(tmp_path / "model.ckpt").network["name"] == "promptir"
    network = load_model(tmp_path / "model.ckpt").module
    assert torch.equal(network.prompts[0].generation.components, weights["prompt3.prompt_param"][0])
    assert torch.equal(network.prompts[2].interaction.qkv.weight, weights["noise_level1.attn.qkv.weight"])
    save_model(network, tmp_path / "ours.safetensors", recipe={}, card={})
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(load_model(tmp_path / "ours.safetensors").module(image), network(image))


@pytest.mark.parametrize("change", ["another", "fewer", "shape"])
def test_a_file_that_differs_is_a_strangers(change):
    weights = drawn(promptir_shapes(**SMALL))
    if change == "another":
        weights["prompt4.prompt_param"] = torch.zeros(1, 3, 4, 5, 5)
    elif change == "fewer":
        del weights["noise_level2.norm2.body.bias"]
    else:
        weights["prompt1.conv3x3.weight"] = torch.zeros(4, 4, 1, 1)
    assert recognise(weights) is None


@pytest.mark.parametrize("size", [(5, 5), (1, 1), (2, 9), (12, 7)])
def test_a_prompt_is_a_mixture_brought_to_the_features_size(size):
    generation = PromptGeneration(4, 3, 2, 5).requires_grad_(False)
    generation.smooth.weight.zero_()[[0, 1], [0, 1], 1, 1] = 1  # passes the mixture on
    features, weights = torch.randn(2, 4, *size), torch.rand(2, 3)
    mixed = torch.zeros(2, 2, 5, 5)
    for sample in range(2):
        for index in range(3):
            mixed[sample] += weights[sample, index] * generation.components[index]
    prompt = generation(features, weights)
    torch.testing.assert_close(prompt, resized(mixed, *size), atol=1e-5, rtol=1e-5)
    if size == (5, 5):  # as at the training crop
        torch.testing.assert_close(prompt, mixed)


def test_weights_are_of_the_picture_and_say_what_is_mixed(network):
    dark, bright = torch.rand(1, 3, 16, 24) * 0.1, torch.rand(1, 3, 16, 24)
    given, found = seen_weights(network), network.prompt_weights(torch.cat([dark, bright]))
    given.clear()
    network(bright)
    assert [tuple(scale.shape) for scale in found] == [(2, 3)] * 3
    for scale, used in zip(found, given, strict=True):
        torch.testing.assert_close(scale.sum(1), torch.ones(2))
        torch.testing.assert_close(scale[1:], used)
        assert (scale[0] - scale[1]).abs().max() > 1e-3


def test_every_component_counts(network):
    image = torch.rand(1, 3, 16, 16)
    before = network(image)
    for prompt in network.prompts:
        for index in range(3):
            kept = prompt.generation.components.clone()
            prompt.generation.components[index] += 1
            assert (network(image) - before).abs().max() > 1e-6
            prompt.generation.components.copy_(kept)


def test_all_parameters_are_trained():
    network = PromptIR(**PromptIR.tiny().settings | {"bias": True, "interaction_kernel": 3})
    network(torch.rand(2, 3, 16, 16)).square().mean().backward()
    assert [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_without_its_last_layer_it_is_the_identity(network):
    image = torch.rand(1, 3, 8, 16)
    network.tail.weight.zero_()
    assert torch.equal(network(image), image)


def test_without_prompts_it_is_restormer():
    plain, restormer = PromptIR(**PromptIR.tiny().settings | {"prompts": False}), Restormer.tiny()
    plain.load_state_dict(restormer.state_dict())
    image = torch.rand(2, 3, 16, 24)
    assert torch.equal(plain(image), restormer(image))
    assert plain.prompt_weights(image) == []
    assert not plain.contract.looks
    assert plain.look(image) is NOTHING
    assert torch.equal(plain.restore(image[..., :16], plain.look(image)), restormer(image[..., :16]))


def test_prompts_have_a_control_of_equal_parameters(published):
    with torch.device("meta"):
        plain = PromptIR(prompts=False, blocks=(4, 6, 6, 13))
    assert 0.99 < count(plain) / count(published) <= 1


def test_recipes_say_the_published_network_and_a_fair_control():
    full, small, plain = (load_tree(f"promptir{suffix}") for suffix in ("", "-small", "-small-without-prompts"))
    recipes = [read_recipe(tree, tree["name"]) for tree in (full, small, plain)]
    with torch.device("meta"):
        networks = [build_network(recipe.network.name, recipe.network.settings) for recipe in recipes]
    assert count(networks[0]) == 35_376_967
    assert [len(network.prompts) for network in networks] == [3, 3, 0]
    assert count(networks[2]) == pytest.approx(count(networks[1]), rel=0.01)
    assert (count(networks[1]), count(networks[2])) == (1_169_968, 1_163_279)  # as their comments say
    assert recipes[1].data == recipes[2].data
    assert recipes[1].train == recipes[2].train
    for network, recipe in zip(networks[:2], recipes[:2], strict=True):  # in training nothing is resized
        assert network.settings["prompt_sides"] == [recipe.data.crop // factor for factor in (8, 4, 2)]


def test_tiles_are_given_the_weights_of_the_whole_picture(network):
    image = torch.rand(1, 3, 32, 40)
    image[..., 20:] *= 0.1
    expected, given = network.prompt_weights(image), seen_weights(network)
    guidance = network.look(image)
    for left in (0, 24):
        given.clear()
        network.restore(image[..., left : left + 16], guidance)
        assert all(torch.equal(*pair) for pair in zip(given[-3:], expected, strict=True))
    given.clear()
    network(image[..., :16])
    assert all((used - whole).abs().max() > 1e-3 for used, whole in zip(given, expected, strict=True))


def test_a_picture_that_is_not_cut_sees_for_itself(network, monkeypatch):
    image = torch.rand(1, 3, 21, 130)
    padded = nn.functional.pad(image, (0, 6, 0, 3), mode="reflect")
    expected = network(padded)
    monkeypatch.setattr(network, "prompt_weights", lambda _: pytest.fail("asked"))
    known = Guidance(vector=torch.rand(1, 4))
    assert network.look(image, known, cut=False) is known
    assert torch.equal(network.restore(padded, network.look(image, cut=False)), expected)
    restored = Restorer(network, tile=192, precision="float32").restore_image(image)
    torch.testing.assert_close(restored, expected[:, :, :21, :130].clamp(0, 1), atol=1e-5, rtol=0)


def test_the_whole_picture_is_asked_once(network, monkeypatch):
    asked, ask, image = [], network.prompt_weights, torch.rand(1, 3, 80, 200)
    expected, given = ask(image), seen_weights(network)
    monkeypatch.setattr(network, "prompt_weights", lambda picture: (asked.append(picture), ask(picture))[1])
    guidance = network.look(image)
    for left in (0, 16, 32):
        network.restore(image[..., left : left + 16], guidance)
    assert len(asked) == 1
    assert asked[0] is image
    asked.clear()
    given.clear()
    Restorer(network, tile=64, precision="float32").restore_image(image)
    assert [tuple(picture.shape) for picture in asked] == [(1, 3, 80, 200)]
    of_tiles = given[-3 * 8 :]  # two rows of four tiles; before them the network looked
    for scale, weights in enumerate(expected):
        for used in of_tiles[scale::3]:
            torch.testing.assert_close(used, weights, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scales", [2, 3, 4])
def test_any_number_of_scales(scales):
    short = {"blocks": [1] * scales, "heads": [1] * scales, "prompt_widths": [4] * (scales - 1)}
    network = PromptIR(**PromptIR.tiny().settings | short | {"prompt_sides": [2] * (scales - 1)})
    multiple = network.contract.multiple
    image = torch.rand(1, 3, 2 * multiple, multiple)
    assert multiple == 2 ** (scales - 1)
    assert network(image).shape == image.shape
    assert len(network.prompt_weights(image)) == scales - 1


def test_large_pictures_are_looked_at_in_parts(network, monkeypatch):
    monkeypatch.setattr(promptir, "SIDE", 16)
    image = torch.rand(1, 3, 27, 200)
    sizes, logits = [], []
    network.embed.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape[2:])))
    found = network.prompt_weights(image)
    assert sizes == [(16, 16)] * 8
    network.prompts[0].generation.weigh.register_forward_hook(lambda _, inputs, output: logits.append(output))
    for top in (0, 11):
        for left in (0, 61, 122, 184):
            network.prompt_weights(image[:, :, top : top + 16, left : left + 16])
    torch.testing.assert_close(found[0], (sum(logits) / 8).softmax(1))


@pytest.mark.parametrize(("length", "count"), [(1, 1), (128, 1), (129, 2), (256, 2), (500, 4), (9999, 4)])
def test_parts_reach_from_border_to_border(length, count):
    starts = promptir._starts(length)
    assert len(starts) == count
    assert starts[0] == 0
    assert starts[-1] + 128 == max(length, 128)
    if length <= 512:
        assert all(after - before <= 128 for before, after in pairwise(starts))


def test_refined_features_and_tiles_go_together(network):
    boosted = boost(network, "zeros:8", refinement="ptgrm-features")
    image = torch.rand(1, 3, 80, 90)
    restored = Restorer(boosted, tile=64, precision="float32")(image)
    torch.testing.assert_close(restored, Restorer(network, tile=64, precision="float32")(image))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (37, 53), (70, 150)])
def test_any_picture_goes_through_the_restorer(channels, size):
    network = PromptIR(**PromptIR.tiny().settings | {"channels": channels})
    restorer = Restorer(network, tile=64, precision="float32")
    for shape in ((*size, 3), (*size, 1)):
        picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        assert restorer(picture).shape == shape
    if size == (37, 53):
        image = torch.rand(1, 3, *size)
        padded = nn.functional.pad(image, (0, 3, 0, 3), mode="reflect")
        with torch.no_grad():
            expected = network(padded)[:, :, :37, :53].clamp(0, 1)
        torch.testing.assert_close(restorer(image), expected, atol=1e-5, rtol=0)


def test_a_network_for_grey_images_restores_each_colour_on_its_own():
    network = PromptIR(**PromptIR.tiny().settings | {"channels": 1}).eval()
    image = torch.rand(2, 3, 16, 24)
    with torch.no_grad():
        apart = torch.cat([network(image[:, channel : channel + 1]) for channel in range(3)], 1)
        torch.testing.assert_close(network(image), apart)
        assert network.restore(image[..., :16], network.look(image)).shape == (2, 3, 16, 16)
    assert [tuple(scale.shape) for scale in network.prompt_weights(image)] == [(6, 3)] * 3


def test_as_an_expert_a_network_for_grey_images_is_told_of_each_colour():
    network = PromptIR(**PromptIR.tiny().settings | {"channels": 1}).eval()
    experts = Experts([network, UNet((4, 8), (1, 1))], [None, None], prior_width=4).eval()
    nn.init.zeros_(experts.gate[2].weight)
    experts.gate[2].bias.data = torch.tensor([9.0, 0.0])
    images = torch.rand(2, 3, 16, 24)
    with torch.no_grad():
        expected = network.restore(images[..., :16], network.look(images))
        found = experts.restore(images[..., :16], experts.look(images, Guidance(vector=torch.rand(2, 4))))
    torch.testing.assert_close(found, expected)


def test_images_of_a_batch_do_not_mix(network):
    batch = torch.rand(3, 3, 16, 8)
    kept = batch.clone()
    torch.testing.assert_close(network(batch), torch.cat([network(image[None]) for image in batch]))
    assert torch.equal(batch, kept)


def test_bfloat16_changes_little_and_weights_stay_float32(network):
    image = torch.rand(1, 3, 40, 48)
    exact, weights = network(image), network.prompt_weights(image)
    given = seen_weights(network)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(image)
    assert rounded.dtype == torch.float32
    assert (rounded - exact).square().mean().sqrt() < 0.05 * (exact - image).square().mean().sqrt()
    for used, expected in zip(given, weights, strict=True):
        assert used.dtype == torch.float32
        torch.testing.assert_close(used, expected, atol=0.03, rtol=0)
        torch.testing.assert_close(used.sum(1), torch.ones(1), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt_widths": [8, 8]}, "one entry for each of 3 scales"),
        ({"prompt_sides": [0, 8, 8]}, "prompt_sides"),
        ({"components": 0}, "components"),
        ({"interaction_kernel": 2}, "interaction_kernel 1 or 3"),
        ({"interaction_heads": 7}, "7 heads for 704 channels"),
        ({"depth": 3}, "depth"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with torch.device("meta"), pytest.raises(SettingsError, match=message):
        build_network("promptir", settings)


def test_weights_files_of_pellucid_go_through_the_door(tmp_path):
    network = PromptIR.tiny().eval()
    save_model(network, tmp_path / "small.safetensors", recipe={}, card={"about": "a test"})
    restorer = pellucid.load(tmp_path / "small.safetensors", precision="float32")
    assert type(restorer.network) is PromptIR
    assert restorer.network.settings == network.settings
    picture = np.zeros((37, 53, 3), np.uint8)
    assert restorer(picture).shape == picture.shape
