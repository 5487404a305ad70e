"""Inside R: what the hooks see is what equation (1) is made of, and what an R has not is said."""

import pytest
import torch

from pellucid import boost
from pellucid.images.padding import pad_to_multiple
from pellucid.priors.snr import snr_map
from pellucid.refinement import ABLATIONS
from pellucid.studies.explanation.feeding import BOOSTED, Subject
from pellucid.studies.explanation.internals import LARGEST, central_region, look_inside


def look(model, image, region=None):
    subject = Subject(model)
    feature = subject.feature(image)
    inside = look_inside(subject, image, feature, region or central_region(*image.shape[2:]))
    return inside, subject.results(image, {BOOSTED: feature})[BOOSTED]


def test_the_masks_make_up_the_result(boosted):
    image = torch.rand(1, 3, 37, 53)
    inside, refined = look(boosted(), image)
    assert inside.missing == ()
    assert (inside.image_mask - 1).abs().max() > 0.01
    assert inside.residual.abs().max() > 0.01
    # Equation (1), with what was seen.
    expected = image + (inside.restored - image) * inside.image_mask + inside.residual
    torch.testing.assert_close(inside.refined, expected)
    torch.testing.assert_close(inside.refined.clamp(0, 1), refined)


def test_maps_lie_in_their_range_and_have_the_size_of_the_picture(boosted):
    model = boosted()
    inside, _ = look(model, torch.rand(1, 3, 37, 53))
    for values in (inside.range_map, inside.spatial_mask):
        assert values.shape == (1, 1, 37, 53)
        assert 0 < values.min() < values.max() < 1
        # A place of the latent is four pixels wide.
        assert torch.equal(values[:, :, 0:36:4, 0:52:4], values[:, :, 3:36:4, 3:52:4])
    assert inside.channel_weights.shape == (4,)
    assert inside.weighted == "near context"
    # Where the last layers are nothing, a sigmoid is one half.
    for part in (model.refinement.range_map, model.refinement.channel_attention, model.refinement.spatial_attention):
        torch.nn.init.zeros_(part.out.weight)
    inside, _ = look(model, torch.rand(1, 3, 37, 53))
    for values in (inside.range_map, inside.spatial_mask, inside.channel_weights):
        assert (values == 0.5).all()


def test_looking_leaves_no_hook_behind(boosted):
    model = boosted()
    look(model, torch.rand(1, 3, 16, 16))
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("without-range-map", {"range_map"}),
        ("without-channel-attention", {"channel_weights"}),
        ("without-spatial-attention", {"spatial_mask"}),
        ("large", {"range_map", "channel_weights", "spatial_mask"}),
        ("without-position", set()),
        ("concatenated-vector", set()),
    ],
)
def test_what_an_ablation_has_not_is_said(boosted, name, absent):
    settings = ABLATIONS[name] | {"width": 4}
    inside, _ = look(boosted(**settings), torch.rand(1, 3, 16, 20))
    parts = ("range_map", "channel_weights", "spatial_mask", "image_mask", "residual")
    assert {part for part in parts if getattr(inside, part) is None} == absent
    assert len(inside.missing) == len(absent)


def test_the_snr_mask_is_shown_as_the_range_map(boosted):
    image = torch.rand(1, 3, 21, 30)
    inside, _ = look(boosted(**ABLATIONS["snr-mask"]), image)
    ratio = snr_map(pad_to_multiple(image, 4))[0, 0]
    places = ratio.reshape(6, 4, 8, 4).mean((1, 3))
    expected = (places / places.max()).repeat_interleave(4, 0).repeat_interleave(4, 1)[:21, :30]
    torch.testing.assert_close(inside.range_map[0, 0], expected)
    assert "signal-to-noise" in inside.missing[0]


def test_the_reference_form_has_a_residual_and_no_mask(boosted):
    inside, _ = look(boosted(form="reference"), torch.rand(1, 3, 17, 20))
    assert inside.image_mask is None
    assert inside.weighted == "far context"
    torch.testing.assert_close(inside.refined, inside.restored.clamp(0, 1) + inside.residual)
    assert "residual alone" in inside.missing[0]


def test_inside_a_network_there_are_no_masks_of_pixels(boosted):
    model = boost(boosted().network, "random:12", refinement="ptgrm-features", width=4)
    torch.nn.init.normal_(model.refinement.decoder.weight)
    inside, refined = look(model, torch.rand(1, 3, 37, 53))
    assert inside.image_mask is None
    assert inside.residual is None
    assert inside.range_map.shape == inside.spatial_mask.shape == (1, 1, 37, 53)
    assert not torch.equal(inside.refined, inside.restored)
    torch.testing.assert_close(inside.refined.clamp(0, 1), refined)
    assert f"layer {model.refinement.layer}," in inside.missing[0]


def test_a_part_knows_where_in_the_whole_it_lies(boosted):
    model = boosted()
    torch.nn.init.normal_(model.refinement.range_position[2].weight, std=3)
    image = torch.full((1, 3, 64, 64), 0.5)  # without content, the place alone makes a difference
    maps = [look(model, image, (top, left, 32, 32))[0].range_map for top, left in ((0, 0), (32, 32))]
    assert (maps[0] - maps[1]).abs().max() > 0.01


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (37, 53), (1024, 1024), (2000, 3000), (1, 3_000_000), (3_000_000, 1), (1025, 1024)]
)
def test_of_a_large_picture_the_middle_is_taken(height, width):
    top, left, rows, columns = central_region(height, width)
    assert rows * columns <= LARGEST
    assert 0 <= top <= height - rows
    assert 0 <= left <= width - columns
    if height * width <= LARGEST:
        assert (rows, columns) == (height, width)
    else:
        assert rows * columns > 0.9 * LARGEST or 1 in (rows, columns)
        assert abs((top + rows / 2) - height / 2) <= 32
        assert abs((left + columns / 2) - width / 2) <= 32
