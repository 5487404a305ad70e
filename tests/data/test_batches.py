"""Batches: each depends on its number alone; what the prior is shown, and what is drawn."""

import pytest
import torch

from pellucid import images
from pellucid.data import sources
from pellucid.data.batches import Batches
from pellucid.data.folders import Photographs, list_photographs
from pellucid.data.sources import Mixture, Pairs, Synthetic
from pellucid.degradations import GaussianNoise, parse_drawn


def batches(folder, degradations=("noise sigma=0",), grey=0.0, **changes):
    source = Synthetic(Photographs(list_photographs(folder)), [parse_drawn(text) for text in degradations], grey)
    return Batches(source, **({"crop": 8, "size": 5, "seed": 3} | changes))


def test_a_batch_is_a_function_of_seed_number_and_rank(folder):
    noisy = batches(folder, degradations=["noise sigma=5..9"])
    first = noisy.at(7)
    noisy.at(8)
    again = noisy.at(7)
    assert torch.equal(first.degraded, again.degraded)
    assert torch.equal(first.clean, again.clean)
    for other in (noisy.at(8), noisy.at(7, rank=1), batches(folder, seed=4).at(7)):
        assert not torch.equal(first.clean, other.clean)


def test_crops_of_small_photographs_are_padded_and_unnoised_ones_are_clean(folder):
    batch = batches(folder, crop=40, size=12).at(0)
    assert batch.clean.shape == (12, 3, 40, 40)
    assert torch.equal(batch.clean, batch.degraded)
    assert batch.guidance.view is None


def test_the_grid_says_where_the_crop_lies_and_the_view_is_the_whole(folder):
    """With a view that returns the whole photograph, the crop must be found where the grid says."""
    seen = []

    def view(image, clean):
        seen.append(image[0])
        return image.mean((2, 3), keepdim=True)

    batch = batches(folder, degradations=["noise sigma=20"], view=view).at(1)
    assert batch.guidance.view.shape == (5, 3, 1, 1)
    for degraded, grid, whole in zip(batch.degraded, batch.guidance.grid, seen, strict=True):
        height, width = whole.shape[1:]
        top, left, bottom, right = (grid * torch.tensor([height, width, height, width])).round().int().tolist()
        assert torch.equal(whole[:, top:bottom, left:right], degraded)


@pytest.mark.parametrize("view", [None, lambda image, clean: image.mean((2, 3), keepdim=True)])
def test_grey_crops_have_the_same_noise_in_all_channels(folder, view):
    batch = batches(folder, degradations=["noise sigma=30"], grey=0.5, size=60, view=view).at(0)
    grey = [bool((crop == crop[:1]).all()) for crop in batch.clean]
    assert 15 < sum(grey) < 45
    for is_grey, degraded in zip(grey, batch.degraded, strict=True):
        assert bool((degraded == degraded[:1]).all()) == is_grey


@pytest.mark.parametrize("window", [None, 24])
def test_enlarged_crops_are_softer_and_as_large(tmp_path, window):
    pixels = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    images.write(images.Photograph(pixels), tmp_path / "a.png")
    photographs = Photographs(list_photographs(tmp_path))

    def crops(enlarged):
        source = Synthetic(photographs, [parse_drawn("clean")], window=window, enlarged=enlarged)
        return [source.sample(0, 16, torch.Generator().manual_seed(seed), None).clean for seed in range(40)]

    def sharpness(crop):
        return float((crop[..., 1:] - crop[..., :-1]).square().mean() / crop.var())

    usual, half, all_of_them = (torch.tensor([sharpness(crop) for crop in crops(part)]) for part in (0.0, 0.5, 1.0))
    assert {crop.shape for crop in crops(1.0)} == {(3, 16, 16)}
    # Of white noise the differences have twice the variance; enlarged, neighbours are alike.
    assert usual.min() > 1.7
    assert all_of_them.max() < 1.7  # hardly enlarged, they are hardly softer
    assert all_of_them.mean() < 1.2
    assert 8 < int((half < 1.7).sum()) < 32
    assert all(float(crop.min()) >= 0 and float(crop.max()) <= 1 for crop in crops(1.0))


def test_some_crops_pass_through_a_camera_and_count_as_clean(folder, monkeypatch):
    monkeypatch.setattr(sources, "photographed", lambda clean, generator: torch.full_like(clean, 0.25))
    source = Synthetic(Photographs(list_photographs(folder)), [parse_drawn("noise sigma=5")], photographed=0.5)
    samples = [source.sample(0, 16, torch.Generator().manual_seed(seed), None) for seed in range(60)]
    passed = [bool((sample.clean == 0.25).all()) for sample in samples]
    assert 15 < sum(passed) < 45
    for one, sample in zip(passed, samples, strict=True):
        assert (float((sample.degraded - 0.25).abs().mean()) < 0.05) == one


def test_turning_and_mirroring_reach_all_eight_positions(tmp_path):
    pixels = torch.arange(16.0).reshape(1, 1, 4, 4).expand(1, 3, 4, 4) / 255
    images.write(images.Photograph(pixels.clone()), tmp_path / "a.png")
    found = {
        tuple(crop[0].flatten().tolist()) for n in range(12) for crop in batches(tmp_path, crop=4, size=8).at(n).clean
    }
    assert len(found) == 8


def test_what_the_prior_is_shown_changes_neither_place_nor_strength(folder):
    """Controls with and without a prior are compared on the same crops; only the noise itself is drawn elsewhere."""
    flat = torch.full((1, 3, 64, 64), 0.5) + torch.arange(64) / 1000
    images.write(images.Photograph(flat), folder / "flat.png")
    view = {"view": lambda image, clean: image.mean((2, 3), keepdim=True)}
    first, *others = (
        batches(folder, degradations=["noise sigma=0..50"], crop=32, size=8, **options).at(2)
        for options in ({}, view, view | {"prior_input": "crop"})
    )
    for other in others:
        assert torch.equal(first.clean, other.clean)
        assert torch.equal(first.guidance.grid, other.guidance.grid)
        noise, again = ((batch.degraded - batch.clean).std((1, 2, 3)) for batch in (first, other))
        torch.testing.assert_close(noise, again, rtol=0.1, atol=1e-3)


def test_an_example_is_always_the_middle_of_its_photograph(tmp_path):
    images.write(images.Photograph(torch.rand(1, 3, 300, 280) * 0.5 + 0.25), tmp_path / "a.png")
    source = batches(tmp_path, degradations=["noise sigma=20", "noise sigma=90"]).source
    first, again = source.example(0), source.example(0)
    assert torch.equal(first.degraded, again.degraded)
    photograph = images.read(tmp_path / "a.png").pixels[0]
    torch.testing.assert_close(first.clean, photograph[:, 22:278, 12:268])
    assert first.grid.tolist() == pytest.approx([22 / 300, 12 / 280, 278 / 300, 268 / 280])
    assert torch.equal(first.seen[:, 22:278, 12:268], first.degraded)
    assert float((first.seen - photograph).std() * 255) == pytest.approx(20, rel=0.02)


def test_the_prior_can_be_shown_the_crop_alone(folder):
    batch = batches(folder, degradations=["noise sigma=9"], view=lambda image, clean: image, prior_input="crop").at(0)
    assert torch.equal(batch.guidance.view, batch.degraded)


def test_a_share_of_the_priors_is_withheld_and_nothing_else_changes(folder):
    some, none = batches(folder, size=50, dropout=0.3), batches(folder, size=50)
    withheld = torch.cat([some.at(number).withheld for number in range(8)])
    assert 0.2 < float(withheld.float().mean()) < 0.4
    assert torch.equal(some.at(3).withheld, some.at(3).withheld)
    assert not torch.equal(some.at(3).withheld, some.at(4).withheld)
    assert torch.equal(some.at(3).degraded, none.at(3).degraded)
    assert none.at(3).withheld is None


def flat_folder(path, value, count=3, side=40):
    path.mkdir()
    for index in range(count):
        images.write(images.Photograph(torch.full((1, 3, side, side), value / 255)), path / f"{index}.png")
    return Photographs(list_photographs(path))


def test_examples_take_the_degradations_in_turn(tmp_path):
    photographs = flat_folder(tmp_path / "a", 128)
    source = Synthetic(photographs, [parse_drawn("clean"), parse_drawn("noise sigma=30")])
    noisy = [bool(source.example(index).degraded.std() > 0.01) for index in range(3)]
    assert noisy == [False, True, False]
    assert source.example(1).degradation == GaussianNoise(30)


def test_degradations_are_drawn_as_often_as_their_weights_say(tmp_path):
    families = [parse_drawn("clean"), parse_drawn("noise sigma=30")]
    source = Synthetic(flat_folder(tmp_path / "a", 128), families, weights=[1, 3])
    found = [source.sample(0, 8, torch.Generator().manual_seed(seed), None).degradation for seed in range(400)]
    assert 250 < sum(one == GaussianNoise(30) for one in found) < 350


def test_a_window_counts_as_the_whole_photograph(tmp_path):
    """What the prior is shown is a part of the photograph, and the crop lies in it where the grid says."""
    images.write(images.Photograph(torch.rand(1, 3, 90, 120)), tmp_path / "a.png")
    whole = images.read(tmp_path / "a.png").pixels[0]
    source = Synthetic(Photographs([tmp_path / "a.png"]), [parse_drawn("clean")], window=64)
    corners = set()
    for seed in range(12):
        sample = source.sample(0, 16, torch.Generator().manual_seed(seed), "whole")
        assert sample.seen.shape == (3, 64, 64)
        top, left, bottom, right = (sample.grid * 64).round().int().tolist()
        assert torch.equal(sample.seen[:, top:bottom, left:right], sample.degraded)
        unturned = [
            torch.rot90(sample.seen.flip(2) if flip else sample.seen, -turn, (1, 2))
            for flip in (0, 1)
            for turn in range(4)
        ]
        places = {
            (row, column)
            for row in range(27)
            for column in range(57)
            for image in unturned
            if torch.equal(image, whole[:, row : row + 64, column : column + 64])
        }
        assert len(places) == 1
        corners |= places
    assert len(corners) > 6


def test_a_window_may_be_larger_than_the_photograph(tmp_path):
    source = Synthetic(flat_folder(tmp_path / "a", 128, side=20), [parse_drawn("clean")], window=64)
    sample = source.sample(0, 32, torch.Generator().manual_seed(0), "whole")
    assert sample.degraded.shape == sample.seen.shape == (3, 32, 32)


def test_a_mixture_draws_its_sources_as_often_as_their_weights_say(tmp_path):
    dark = Synthetic(flat_folder(tmp_path / "dark", 51), [parse_drawn("clean")])
    bright = Pairs([*flat_folder(tmp_path / "bright", 204, count=2).paths], kind="haze")
    mixture = Mixture([dark, bright, Synthetic(Photographs([]), [parse_drawn("clean")])], [3, 1, 5])
    assert len(mixture) == 5
    samples = [mixture.sample(seed % 5, 8, torch.Generator().manual_seed(seed), None) for seed in range(400)]
    assert 60 < sum(sample.kind == "haze" for sample in samples) < 140
    for sample in samples:
        assert float(sample.degraded.mean()) == pytest.approx(0.8 if sample.kind == "haze" else 0.2)
    means = [round(float(mixture.example(index).degraded.mean()), 1) for index in range(5)]
    assert means == [0.2, 0.2, 0.2, 0.8, 0.8]
    with pytest.raises(IndexError):
        mixture.example(5)


def test_a_mixture_needs_one_weight_for_each_source():
    with pytest.raises(ValueError, match="one weight"):
        Mixture([], [])


def test_a_part_of_a_photograph_is_that_part(tmp_path):
    images.write(images.Photograph(torch.rand(1, 3, 30, 20), bits=16), tmp_path / "a.png")
    photographs = Photographs([tmp_path / "a.png"])
    assert photographs.size(0) == (30, 20)
    assert torch.equal(photographs.part(0, 3, 4, 10, 12), photographs[0][:, 3:13, 4:16])
