"""Real pairs: cropped and turned alike, and placed in the photographs that they were cut from."""

import re

import pytest
import torch

from pellucid import images
from pellucid.data.batches import Batches
from pellucid.data.folders import list_photographs
from pellucid.data.sources import Pairs
from pellucid.errors import DataError, ImageError


@pytest.fixture
def pairs(tmp_path):
    """Four pairs of files: the clean ones number their pixels, the degraded ones are half as bright."""
    for index in range(4):
        pixels = torch.arange(24 * 20).reshape(1, 1, 24, 20) + torch.tensor([0, 7, 40 * index]).reshape(1, 3, 1, 1)
        for side, brightness in (("clean", 1), ("degraded", 0.5)):
            (tmp_path / side).mkdir(exist_ok=True)
            images.write(images.Photograph(pixels / 700 * brightness, bits=16), tmp_path / side / f"{index}.png")
    return [list_photographs(tmp_path / side) for side in ("degraded", "clean")]


def whole_views(source, crop, size):
    """A batch, and what its prior was shown."""
    seen = []

    def view(image, clean):
        seen.append(image[0])
        return image[:, :, :1, :1]

    return Batches(source, crop, size, seed=1, view=view).at(0), seen


def test_both_of_a_pair_and_the_view_are_cropped_and_turned_alike(pairs):
    batch, seen = whole_views(Pairs(*pairs), 8, 40)
    torch.testing.assert_close(batch.degraded * 2, batch.clean, rtol=0, atol=4e-5)
    steps = {(float(crop[1, 0, 7] - crop[1, 0, 0]), float(crop[1, 7, 0] - crop[1, 0, 0])) for crop in batch.clean}
    assert len({tuple(round(700 * step) for step in pair) for pair in steps}) == 8
    for degraded, grid, whole in zip(batch.degraded, batch.guidance.grid, seen, strict=True):
        height, width = whole.shape[1:]
        top, left, bottom, right = (grid * torch.tensor([height, width, height, width])).round().int().tolist()
        assert torch.equal(whole[:, top:bottom, left:right], degraded)


def test_a_pair_of_different_sizes_is_named(pairs, tmp_path):
    images.write(images.Photograph(torch.rand(1, 3, 9, 9)), tmp_path / "clean/0.png")
    with pytest.raises(DataError, match=r"0\.png: of another size than its partner .* \(20 x 24 and 9 x 9\)"):
        Pairs(*pairs).example(0)


def test_ugly_pairs_make_batches(tmp_path):
    """A single pixel, a small photograph with transparency, and a grey one of 16 bits, under names of any script."""
    kinds = {
        "点": images.Photograph(torch.rand(1, 3, 1, 1)),
        "ä b": images.Photograph(torch.rand(1, 3, 9, 5), alpha=torch.rand(1, 1, 9, 5)),
        "grey": images.Photograph(torch.rand(1, 1, 37, 53).expand(1, 3, 37, 53), grey=True, bits=16),
    }
    (tmp_path / "a").mkdir()
    for name, photograph in kinds.items():
        images.write(photograph, tmp_path / f"a/{name}.png")
    paths = list_photographs(tmp_path / "a")
    batch, seen = whole_views(Pairs(paths, paths, paths), 16, 20)
    assert {tuple(sorted(whole.shape[1:])) for whole in seen} == {(1, 1), (5, 9), (37, 53)}
    assert torch.equal(batch.degraded, batch.clean)
    assert batch.degraded.shape == (20, 3, 16, 16)
    assert batch.guidance.grid.isfinite().all()
    paths[0].write_bytes(paths[0].read_bytes()[:-30])
    with pytest.raises(ImageError, match=re.escape(paths[0].name)):
        Pairs(paths, paths).example(0)


def test_photographs_without_clean_partners(pairs):
    batch = Batches(Pairs(pairs[0]), 8, 3).at(0)
    assert batch.clean is None
    assert batch.degraded.shape == (3, 3, 8, 8)


def test_pairs_are_read_again_beyond_the_memory(pairs):
    kept, read = (Batches(Pairs(*pairs, memory=memory), 8, 6).at(1) for memory in (1 << 20, 0))
    assert torch.equal(kept.degraded, read.degraded)
    assert torch.equal(kept.clean, read.clean)


def test_crops_of_a_crop_are_placed_in_the_whole_photograph_which_the_prior_sees(cut):
    """Averaged down like the stored whole, the training crop must be what lies there where the grid says."""
    batch, seen = whole_views(Pairs([cut[0]], None, [cut[1]]), 16, 12)
    for degraded, grid, whole in zip(batch.degraded, batch.guidance.grid, seen, strict=True):
        height, width = 2 * whole.shape[1], 2 * whole.shape[2]
        assert {height, width} == {120, 160}
        top, left, bottom, right = (grid * torch.tensor([height, width, height, width])).round().int().tolist()
        assert (bottom - top, right - left) == (16, 16)
        small = torch.nn.functional.avg_pool2d(degraded[:, top % 2 :, left % 2 :], 2)
        rows, columns = (top + 1) // 2, (left + 1) // 2
        part = whole[:, rows : rows + small.shape[1], columns : columns + small.shape[2]]
        torch.testing.assert_close(part, small, rtol=0, atol=1.01 / 255)


def test_a_crop_that_is_not_found_counts_as_whole_by_its_place_but_not_by_its_view(cut, tmp_path):
    images.write(images.Photograph(torch.rand(1, 3, 30, 40)), tmp_path / "other.png")
    example = Pairs([cut[0]], None, [tmp_path / "other.png"]).example(0)
    assert example.grid.tolist() == [0, 0, 1, 1]
    assert example.seen.shape == (3, 30, 40)


def right_of(pairs, tmp_path, change=lambda pixels: 1 - pixels):
    """A right view for every degraded file, its negative."""
    (tmp_path / "right").mkdir()
    for path in pairs[0]:
        shown = images.read(path)
        images.write(images.Photograph(change(shown.pixels), bits=16), tmp_path / "right" / path.name)
    return list_photographs(tmp_path / "right")


def test_two_views_of_a_sensor_are_six_channels_turned_alike_and_their_mean_is_seen(pairs, tmp_path):
    source = Pairs(*pairs, right=right_of(pairs, tmp_path))
    batch, seen = whole_views(source, 8, 20)
    assert batch.degraded.shape == (20, 6, 8, 8)
    torch.testing.assert_close(batch.degraded[:, :3] * 2, batch.clean, rtol=0, atol=4e-5)
    torch.testing.assert_close(batch.degraded[:, 3:], 1 - batch.degraded[:, :3], rtol=0, atol=4e-5)
    for whole in seen:
        assert whole.shape[0] == 3
        torch.testing.assert_close(whole, torch.full_like(whole, 0.5), rtol=0, atol=4e-5)
    assert {path.parent.name for path in source.files()} == {"degraded", "clean", "right"}
    smaller = source.without({pairs[0][1].resolve()})
    torch.testing.assert_close(smaller.example(1).degraded, source.example(2).degraded)


def test_a_right_view_of_another_size_is_named(pairs, tmp_path):
    right = right_of(pairs, tmp_path, lambda pixels: pixels[:, :, :9])
    with pytest.raises(DataError, match=r"degraded/0\.png: of another size than its right view .*right/0\.png \(20 x"):
        Pairs(*pairs, right=right).example(0)


@pytest.mark.parametrize("wrong", ["restored", "wholes", "match_exposure"])
def test_two_views_are_not_changed(pairs, tmp_path, wrong):
    given = {"restored": [torch.zeros(3, 24, 20)] * 4, "wholes": pairs[1], "match_exposure": True}
    with pytest.raises(ValueError, match="two views"):
        Pairs(*pairs, right=right_of(pairs, tmp_path), **{wrong: given[wrong]})
