"""Folders and batches: what is found, what is paired, and that a batch depends on its number alone."""

import pytest
import torch

from pellucid import images
from pellucid.data.batches import Batches
from pellucid.data.folders import Photographs, list_pairs, list_photographs
from pellucid.degradations import parse_drawn
from pellucid.errors import DataError


@pytest.fixture
def folder(tmp_path):
    for index, size in enumerate([(30, 20), (12, 50), (1, 1)]):
        pixels = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(index))
        images.write(images.Photograph(pixels), tmp_path / f"日本 {index}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def test_only_pictures_are_listed_in_order(folder):
    assert [path.name for path in list_photographs(folder)] == ["日本 0.png", "日本 1.png", "日本 2.png"]


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        list_photographs(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no photographs"):
        list_photographs(tmp_path)


def test_photographs_are_what_the_files_hold_with_or_without_cache(folder):
    paths = list_photographs(folder)
    cached, uncached = Photographs(paths), Photographs(paths, memory=0)
    for index, path in enumerate(paths):
        for source in (cached, cached, uncached):
            torch.testing.assert_close(source[index], images.read(path).pixels[0])


def test_pairs_match_by_name_whatever_the_format(tmp_path):
    for side, suffix in (("degraded", ".jpg"), ("clean", ".png")):
        (tmp_path / side).mkdir()
        for name in ("b", "a"):
            images.write(images.Photograph(torch.rand(1, 3, 4, 4)), tmp_path / side / f"{name}{suffix}")
    pairs = list_pairs(tmp_path / "degraded", tmp_path / "clean")
    assert [(first.name, second.name) for first, second in pairs] == [("a.jpg", "a.png"), ("b.jpg", "b.png")]
    images.write(images.Photograph(torch.rand(1, 3, 4, 4)), tmp_path / "clean/c.png")
    with pytest.raises(DataError, match=r"1 files without a partner of the same name: .*c\.png"):
        list_pairs(tmp_path / "degraded", tmp_path / "clean")
    images.write(images.Photograph(torch.rand(1, 3, 4, 4)), tmp_path / "degraded/a.png")
    with pytest.raises(DataError, match="second file named 'a'"):
        list_pairs(tmp_path / "degraded", tmp_path / "clean")


def batches(folder, **changes):
    options = {"degradations": [parse_drawn("noise sigma=0")], "crop": 8, "size": 5, "seed": 3} | changes
    return Batches(Photographs(list_photographs(folder)), **options)


def test_a_batch_is_a_function_of_seed_number_and_rank(folder):
    noisy = batches(folder, degradations=[parse_drawn("noise sigma=5..9")])
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
    assert batch.view is None


def test_the_grid_says_where_the_crop_lies_and_the_view_is_the_whole(folder):
    """With a view that returns the whole photograph, the crop must be found where the grid says."""
    seen = []

    def view(image):
        seen.append(image[0])
        return image.mean((2, 3), keepdim=True)

    batch = batches(folder, degradations=[parse_drawn("noise sigma=20")], view=view).at(1)
    assert batch.view.shape == (5, 3, 1, 1)
    for degraded, grid, whole in zip(batch.degraded, batch.grid, seen, strict=True):
        height, width = whole.shape[1:]
        top, left, bottom, right = (grid * torch.tensor([height, width, height, width])).round().int().tolist()
        assert torch.equal(whole[:, top:bottom, left:right], degraded)


@pytest.mark.parametrize("view", [None, lambda image: image.mean((2, 3), keepdim=True)])
def test_grey_crops_have_the_same_noise_in_all_channels(folder, view):
    batch = batches(folder, degradations=[parse_drawn("noise sigma=30")], grey=0.5, size=60, view=view).at(0)
    grey = [bool((crop == crop[:1]).all()) for crop in batch.clean]
    assert 15 < sum(grey) < 45
    for is_grey, degraded in zip(grey, batch.degraded, strict=True):
        assert bool((degraded == degraded[:1]).all()) == is_grey


def test_turning_and_mirroring_reach_all_eight_positions(tmp_path):
    pixels = torch.arange(16.0).reshape(1, 1, 4, 4).expand(1, 3, 4, 4) / 255
    images.write(images.Photograph(pixels.clone()), tmp_path / "a.png")
    found = {
        tuple(crop[0].flatten().tolist()) for n in range(12) for crop in batches(tmp_path, crop=4, size=8).at(n).clean
    }
    assert len(found) == 8
