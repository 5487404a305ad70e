"""Restormer: its published size, a naive derivation by its authors' keys, and what its statistics allow."""

import numpy as np
import pytest
import torch
from naive_restormer import Naive, drawn, restormer_shapes
from torch import nn

import pellucid
from pellucid.models.published import recognise
from pellucid.models.tables import build_network
from pellucid.networks import Restormer
from pellucid.networks.restormer import TransposedAttentionBlock, VarianceNorm
from pellucid.restoration.restorer import Restorer

SMALL = {"width": 4, "blocks": (1, 2, 1, 1), "refinement": 2, "heads": (1, 1, 2, 4), "expansion": 2.66}
VARIANTS = [{}, {"bias": True}, {"norm_bias": False}, {"channels": 1}]


def count(module):
    return sum(value.numel() for value in module.parameters())


def test_it_has_the_published_size():
    """26.13 M parameters in the paper's table of complexity, and by the shapes of its authors' files."""
    with torch.device("meta"):
        network = Restormer()
    shapes = restormer_shapes(48, (4, 6, 6, 8), 4, (1, 2, 4, 8), 2.66)
    assert count(network) == sum(int(np.prod(shape)) for shape in shapes.values()) == 26_126_644


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_authors_weights_give_the_papers_formulas(variant):
    weights = drawn(restormer_shapes(**SMALL, **variant))
    name, settings, ours = recognise(weights)
    network = build_network(name, settings).eval()
    network.load_state_dict(ours)
    assert type(network) is Restormer
    image = torch.rand(2, variant.get("channels", 3), 8, 16)
    with torch.no_grad():
        restored = network(image)
    assert (restored - image).abs().max() > 0.1
    torch.testing.assert_close(restored.double(), Naive(weights).run(image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_settings_are_read_off_the_authors_weights(variant):
    settings = recognise({f"net.{key}": value for key, value in drawn(restormer_shapes(**SMALL, **variant)).items()})[1]
    asked = {"bias": False, "norm_bias": True, "channels": 3, "expansion": 2.66, "refinement_blocks": 2} | variant
    assert {key: settings[key] for key in asked} == asked
    assert Restormer(**settings).settings == settings


@pytest.mark.parametrize("expansion", [1.0, 2.0, 2.66, 3.5, 8 / 3])
def test_expansions_are_found_from_the_hidden_channels(expansion):
    weights = restormer_shapes(**SMALL | {"expansion": expansion})
    found = recognise({key: torch.empty(shape, device="meta") for key, shape in weights.items()})
    assert found is not None
    assert found[1]["expansion"] == pytest.approx(expansion, abs=0.05)


def test_a_network_for_dual_pixels_is_a_stranger():
    weights = drawn(restormer_shapes(**SMALL)) | {"skip_conv.weight": torch.zeros(8, 4, 1, 1)}
    assert recognise(weights) is None


def test_a_file_of_the_authors_restores_any_picture(tmp_path):
    torch.save({"params": drawn(restormer_shapes(**SMALL))}, tmp_path / "deraining.pth")
    restorer = pellucid.load(tmp_path / "deraining.pth", precision="float32")
    for shape in ((37, 53, 3), (37, 53, 1), (1, 1, 3)):
        picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        assert restorer(picture).shape == shape


def test_a_network_for_grey_images_restores_each_colour_on_its_own():
    network = Restormer(**Restormer.tiny().settings | {"channels": 1}).eval()
    image = torch.rand(2, 3, 16, 8)
    with torch.no_grad():
        apart = torch.cat([network(image[:, channel : channel + 1]) for channel in range(3)], 1)
        torch.testing.assert_close(network(image), apart)
    assert Restorer(network, precision="float32")(torch.rand(1, 1, 5, 9)).shape == (1, 1, 5, 9)


def test_the_attention_of_parts_is_that_of_the_whole():
    block, features = TransposedAttentionBlock(6, 2, 2.0), torch.randn(2, 6, 5, 9)
    mixed = block.mix(features)
    products = block.products(mixed[..., :4]) + block.products(mixed[..., 4:])
    torch.testing.assert_close(block.finish(features, mixed, block.attention(products)), block(features))


def test_attention_forgets_where_things_are():
    """The matrix of MDTA is a sum over places: shuffling them changes nothing."""
    block, mixed = TransposedAttentionBlock(6, 2, 2.0), torch.randn(1, 18, 5, 9)
    order = torch.randperm(45)
    shuffled = mixed.flatten(2)[..., order].reshape(mixed.shape)
    torch.testing.assert_close(block.attention(block.products(shuffled)), block.attention(block.products(mixed)))


def test_black_pictures_have_an_attention():
    block = TransposedAttentionBlock(4, 1, 2.0)
    attention = block.attention(block.products(torch.zeros(1, 12, 3, 3)))
    torch.testing.assert_close(attention, torch.full((1, 1, 4, 4), 0.25))


def test_without_its_last_layer_it_is_the_identity():
    network, image = Restormer.tiny(), torch.rand(1, 3, 8, 16)
    nn.init.zeros_(network.tail.weight)
    assert torch.equal(network(image), image)


def test_every_parameter_is_trained():
    network = Restormer(**Restormer.tiny().settings | {"bias": True})
    network(torch.rand(2, 3, 16, 16)).square().mean().backward()
    assert [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize("norm", [nn.LayerNorm(48), VarianceNorm(48)], ids=["with biases", "without"])
def test_normalisation_and_attention_keep_their_digits_in_bfloat16(norm):
    features = (torch.randn(1, 7, 48) * 0.01 + 3).bfloat16()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        torch.testing.assert_close(norm(features).bfloat16(), norm(features.float()).bfloat16())
        block = TransposedAttentionBlock(6, 2, 2.0)
        mixed = torch.randn(1, 18, 40, 50).bfloat16()
        products = block.products(mixed)
        attention = block.attention(products)
    assert products.dtype == attention.dtype == torch.float32
    torch.testing.assert_close(products, block.products(mixed.float()))
    torch.testing.assert_close(attention.sum(-1), torch.ones(1, 2, 3))


def test_bfloat16_changes_little():
    network, image = Restormer.tiny().eval(), torch.rand(1, 3, 40, 48)
    with torch.no_grad():
        exact = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(image)
    assert rounded.dtype == torch.float32
    assert (rounded - exact).square().mean().sqrt() < 0.02 * (exact - image).square().mean().sqrt()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": [1, 1]}, "one entry per scale"),
        ({"blocks": [1], "heads": [1]}, "two at least"),
        ({"width": 0}, "width"),
        ({"width": 9, "heads": [1, 1, 1, 1]}, "even"),
        ({"channels": 0}, "channels"),
        ({"refinement_blocks": -1}, "refinement_blocks"),
        ({"heads": [1, 2, 5, 8]}, "5 heads for 192 channels"),
        ({"expansion": 0.001}, "expansion"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        Restormer(**settings)
