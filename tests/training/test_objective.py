"""What is minimised: sums written as text, equation (8), networks' own losses, and vectors that are withheld."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from pellucid.data.batches import Batch
from pellucid.errors import SettingsError
from pellucid.guidance import NOTHING, Guidance
from pellucid.losses import charbonnier, dissimilarity, sci, zero_dce
from pellucid.models.refinements import refinement_for
from pellucid.models.tables import build_network
from pellucid.networks import Guided, SFNet, UNet
from pellucid.priors import RandomVectors
from pellucid.refinement import PTGRM, Boosted
from pellucid.training.objective import build_objective
from pellucid.training.settings import read_recipe


def recipe(loss, **changes):
    tree = {
        "name": "test",
        "data": {"folder": "photographs", "degradations": ["noise sigma=25"], "crop": 16},
        "train": {"steps": 1, "loss": loss},
    }
    for section, values in changes.items():
        tree[section] = tree.get(section, {}) | values
    return read_recipe(tree, "test")


@pytest.fixture
def batch():
    degraded, clean = torch.rand(2, 3, 16, 16) * 0.3, torch.rand(2, 3, 16, 16)
    known = Guidance(grid=torch.tensor([[0, 0, 1, 1.0]] * 2), view=torch.rand(2, 3, 8, 8))
    return Batch(degraded, clean, known)


def boosted(network, **options):
    """A refinement that does something: its last layer is not zero."""
    module = Boosted(network, RandomVectors(8), PTGRM(8, width=4, blocks=1), **options)
    nn.init.normal_(module.refinement.decoder.out.weight, std=0.1)
    return module


def test_a_text_is_a_weighted_sum(batch):
    network = UNet.tiny()
    restored = network(batch.degraded)
    expected = charbonnier(restored, batch.clean) + 0.1 * dissimilarity(restored, batch.clean)
    found = build_objective(recipe("charbonnier + 0.1 ssim"))(network, batch)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_network_that_glances_is_told_what_it_finds_in_the_whole(batch):
    """Its curves come of the small whole, and their place of the grid; a network that does not glance sees the crop."""
    network = build_network("light_curves", {"widths": [4], "cells": 2, "side": 8, "tail": []})
    placed = replace(batch, guidance=batch.guidance.knowing(grid=torch.tensor([[0, 0, 0.5, 0.5]] * 2)))
    restored = network(batch.degraded, network.look(placed.guidance.view, Guidance(grid=placed.guidance.grid)))
    found = build_objective(recipe("charbonnier"))(network, placed)
    assert found.item() == pytest.approx(charbonnier(restored, batch.clean).item(), rel=1e-6)
    assert found.item() != pytest.approx(charbonnier(network(batch.degraded), batch.clean).item(), rel=1e-5)
    assert torch.autograd.grad(found, network.rises.weight)[0].abs().max() > 0
    plain = build_network("iat", {"width": 4, "blocks": 1, "global_width": 8, "heads": 2})
    expected = charbonnier(plain(batch.degraded), batch.clean).item()
    assert build_objective(recipe("charbonnier"))(plain, placed).item() == pytest.approx(expected, rel=1e-6)


def test_losses_have_options(batch):
    network = build_network("zero_dce", {"width": 4, "iterations": 2})
    restored, curves = network(batch.degraded), network.curves(batch.degraded)
    found = build_objective(recipe("2 zero-dce level=0.4 + 0.5 charbonnier epsilon=0.1"))(network, batch)
    expected = 2 * zero_dce(restored, batch.degraded, curves, 0.4) + 0.5 * charbonnier(restored, batch.clean, 0.1)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert found.item() != pytest.approx(
        build_objective(recipe("2 zero-dce + 0.5 charbonnier"))(network, batch).item(), rel=1e-3
    )


def test_equation_eight(batch):
    module = boosted(UNet.tiny())
    refined, restored = module(batch.degraded, batch.guidance, both=True)
    assert not torch.allclose(refined, restored)
    first, second = ((image - batch.clean).abs().mean().item() for image in (restored, refined))
    weighted = build_objective(recipe("absolute", train={"refined_weight": 0.25}))
    assert weighted(module, batch).item() == pytest.approx(first + 0.25 * second, rel=1e-5)


def test_a_frozen_network_is_left_out(batch):
    module = boosted(UNet.tiny(), freeze_network=True)
    refined = module(batch.degraded, batch.guidance)
    settings = {"prior": {"name": "random:8"}, "refinement": {}, "train": {"freeze_network": True}}
    loss = build_objective(recipe("absolute", **settings))(module, batch)
    assert loss.item() == pytest.approx((refined - batch.clean).abs().mean().item(), rel=1e-5)


def test_zero_dce_s_own_loss_on_both_images(batch):
    network = build_network("zero_dce", {"width": 4, "iterations": 2})
    module = boosted(network)
    refined, restored = module(batch.degraded, batch.guidance, both=True)
    curves = network.curves(batch.degraded)
    expected = [zero_dce(image, batch.degraded, curves) for image in (restored, refined)]
    objective = build_objective(recipe("zero-dce"))
    assert objective(network, batch).item() == pytest.approx(expected[0].item(), rel=1e-5)
    loss = objective(module, batch)
    assert loss.item() == pytest.approx(sum(expected).item(), rel=1e-5)
    loss.backward()
    assert all(value.grad is not None for value in network.parameters())
    assert "curves" not in vars(network)  # what was watched is as it was


def test_a_network_refined_inside_has_curves_for_each_image(batch):
    network = build_network("zero_dce", {"width": 4, "iterations": 2})
    prior = RandomVectors(8)
    inside = refinement_for(network, prior, "ptgrm-features", {"width": 4, "blocks": 1, "layer": "encoder.1"})
    for value in inside.parameters():
        nn.init.normal_(value, std=0.1)
    module = Boosted(network, prior, inside)
    curves = []
    hook = network.decoder[-1].register_forward_hook(lambda _, inputs, output: curves.append(-output.tanh()))
    refined, restored = module(batch.degraded, batch.guidance, both=True)
    hook.remove()
    assert not torch.allclose(*curves)
    expected = zero_dce(refined, batch.degraded, curves[0]) + zero_dce(restored, batch.degraded, curves[1])
    assert build_objective(recipe("zero-dce"))(module, batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_sci_s_own_loss_on_all_stages_and_on_the_light_that_the_refined_image_implies(batch):
    network = build_network("sci", {"calibration_width": 4}).eval()
    module = boosted(network).eval()
    refined = module(batch.degraded, batch.guidance)
    of_stages = sci([(stage.input, stage.illumination) for stage in network.stages(batch.degraded)])
    light = (batch.degraded / refined.clamp_min(1e-4)).clamp(1e-4, 1)
    objective = build_objective(recipe("sci"))
    assert objective(network, batch).item() == pytest.approx(of_stages.item(), rel=1e-5)
    expected = of_stages + sci([(batch.degraded, light)])
    loss = objective(module, batch)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert all(value.grad is not None for value in network.parameters())


@pytest.mark.parametrize("guided", [False, True])
def test_sfnet_learns_by_its_three_images(guided):
    torch.manual_seed(0)
    network = SFNet.tiny()
    clean, degraded = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    batch = Batch(degraded, clean, Guidance(reference=torch.rand(2, 3, 32, 32) if guided else None))
    trained = Guided(network, blocks=1, encoder_blocks=1) if guided else network
    objective = build_objective(recipe("absolute + sfnet"))
    objective.check(trained)
    loss = objective(trained, batch)
    # What is compared with: pixels of half size are means of four, of a quarter those of the middle four of sixteen.
    half = clean.reshape(2, 3, 16, 2, 16, 2).mean((3, 5))
    quarter = clean.reshape(2, 3, 8, 4, 8, 4)[:, :, :, 1:3, :, 1:3].mean((3, 5))
    images = [network(degraded), *network.traced(degraded, NOTHING)[1]]
    expected = sum((image - wanted).abs().mean() for image, wanted in zip(images, (clean, half, quarter), strict=True))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert all(tail.weight.grad.any() for tail in network.tails)


def test_networks_without_what_a_loss_looks_at_are_refused():
    with pytest.raises(SettingsError, match=r"train\.loss.* the curves of ZeroDCE; UNet has none such"):
        build_objective(recipe("zero-dce")).check(UNet.tiny())
    with pytest.raises(SettingsError, match=r"train\.loss.* the stages of SCI; RUAS has none such"):
        build_objective(recipe("sci")).check(build_network("ruas"))  # it has stages, but of another kind


def test_withheld_priors_are_zeros_and_the_others_stay(batch):
    module = boosted(UNet.tiny())
    features = module.prior.encode(batch.guidance.view)
    seen = []
    hook = module.refinement.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[2]))
    withheld = Batch(**(vars(batch) | {"withheld": torch.tensor([True, False])}))
    objective = build_objective(recipe("absolute"))
    losses = [objective(module, one).item() for one in (batch, withheld)]
    hook.remove()
    assert torch.equal(seen[0], features)
    assert torch.equal(seen[1], torch.stack([torch.zeros(8), features[1]]))
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("charbonnier + 0.1 sim", "unknown loss 'sim'; did you mean 'ssim'"),
        ("charbonnier +", "no weighted sum"),
        ("-1 absolute", "no weighted sum"),
        ("nan absolute", "no weighted sum"),
        ("a b absolute", "no weighted sum"),
        ("", "no weighted sum"),
        ("absolute 0.1", "no weighted sum"),
        ("zero-dce level=", "no weighted sum"),
        ("zero-dce =1", "unknown option ''"),
        ("zero-dce levle=0.4", "'zero-dce': unknown option 'levle'; did you mean 'level'"),
        ("perceptual", r"needs train\.perceptual_weights"),
    ],
)
def test_wrong_texts_are_explained(loss, message):
    with pytest.raises(SettingsError, match=message):
        build_objective(recipe(loss))


def test_losses_that_the_data_cannot_feed_are_refused():
    dark = {"folder": None, "degradations": None, "pairs": {"degraded": "dark"}}
    build_objective(recipe("zero-dce", data=dark))
    with pytest.raises(SettingsError, match=r"'absolute' compares with clean.*data\.pairs\.clean"):
        build_objective(recipe("zero-dce + absolute", data=dark))
    with pytest.raises(SettingsError, match=r"data\.crop: 'ssim' needs crops of 11 pixels, got 8"):
        build_objective(recipe("ssim", data={"crop": 8}))
