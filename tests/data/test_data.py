"""Folders and batches: what is found, what is paired, and that a batch depends on its number alone."""

import json
import re

import pytest
import torch

from pellucid import images
from pellucid.data.batches import Batches
from pellucid.data.crops import find_crop, turned_box
from pellucid.data.folders import Photographs, list_pairs, list_photographs, partner_name
from pellucid.data.sources import Pairs, Synthetic
from pellucid.degradations import parse_drawn
from pellucid.errors import DataError, ImageError


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


def test_sixteen_bits_stay_sixteen_bits(tmp_path):
    pixels = torch.arange(48.0).reshape(1, 3, 4, 4) / 65535
    images.write(images.Photograph(pixels, bits=16), tmp_path / "deep.png")
    photographs = Photographs([tmp_path / "deep.png"])
    for _ in range(2):
        torch.testing.assert_close(photographs[0], pixels[0], rtol=0, atol=1e-7)


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


def test_several_degraded_photographs_may_share_a_clean_one(tmp_path):
    for name in ("hazy/1400_2", "hazy/1400_5", "hazy/1401_1_0.8", "clean/1400", "clean/1401"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        images.write(images.Photograph(torch.rand(1, 3, 4, 4)), path)
    pairs = list_pairs(tmp_path / "hazy", tmp_path / "clean")
    expected = [("1400_2.png", "1400.png"), ("1400_5.png", "1400.png"), ("1401_1_0.8.png", "1401.png")]
    assert [(first.name, second.name) for first, second in pairs] == expected


@pytest.mark.parametrize(
    ("name", "others", "expected"),
    [
        ("a_1", {"a", "a_1"}, "a_1"),
        ("a_1_2", {"a", "a_1"}, "a_1"),
        ("x_1/a", {"x/a", "x_1"}, None),
        ("日_本/山_1", {"日_本/山"}, "日_本/山"),
        ("b", {"a"}, None),
    ],
)
def test_a_partner_has_the_same_name_or_its_beginning(name, others, expected):
    assert partner_name(name, others) == expected


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
    assert batch.view is None


def test_the_grid_says_where_the_crop_lies_and_the_view_is_the_whole(folder):
    """With a view that returns the whole photograph, the crop must be found where the grid says."""
    seen = []

    def view(image):
        seen.append(image[0])
        return image.mean((2, 3), keepdim=True)

    batch = batches(folder, degradations=["noise sigma=20"], view=view).at(1)
    assert batch.view.shape == (5, 3, 1, 1)
    for degraded, grid, whole in zip(batch.degraded, batch.grid, seen, strict=True):
        height, width = whole.shape[1:]
        top, left, bottom, right = (grid * torch.tensor([height, width, height, width])).round().int().tolist()
        assert torch.equal(whole[:, top:bottom, left:right], degraded)


@pytest.mark.parametrize("view", [None, lambda image: image.mean((2, 3), keepdim=True)])
def test_grey_crops_have_the_same_noise_in_all_channels(folder, view):
    batch = batches(folder, degradations=["noise sigma=30"], grey=0.5, size=60, view=view).at(0)
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


def test_what_the_prior_is_shown_changes_neither_place_nor_strength(folder):
    """Controls with and without a prior are compared on the same crops; only the noise itself is drawn elsewhere."""
    flat = torch.full((1, 3, 64, 64), 0.5) + torch.arange(64) / 1000
    images.write(images.Photograph(flat), folder / "flat.png")
    view = {"view": lambda image: image.mean((2, 3), keepdim=True)}
    first, *others = (
        batches(folder, degradations=["noise sigma=0..50"], crop=32, size=8, **options).at(2)
        for options in ({}, view, view | {"sight": "crop"})
    )
    for other in others:
        assert torch.equal(first.clean, other.clean)
        assert torch.equal(first.grid, other.grid)
        noise, again = ((batch.degraded - batch.clean).std((1, 2, 3)) for batch in (first, other))
        torch.testing.assert_close(noise, again, rtol=0.1, atol=1e-3)


def test_an_example_is_always_the_middle_under_the_first_degradation(tmp_path):
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
    batch = batches(folder, degradations=["noise sigma=9"], view=lambda image: image, sight="crop").at(0)
    assert torch.equal(batch.view, batch.degraded)


def test_a_share_of_the_priors_is_withheld_and_nothing_else_changes(folder):
    some, none = batches(folder, size=50, dropout=0.3), batches(folder, size=50)
    withheld = torch.cat([some.at(number).withheld for number in range(8)])
    assert 0.2 < float(withheld.float().mean()) < 0.4
    assert torch.equal(some.at(3).withheld, some.at(3).withheld)
    assert not torch.equal(some.at(3).withheld, some.at(4).withheld)
    assert torch.equal(some.at(3).degraded, none.at(3).degraded)
    assert none.at(3).withheld is None


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

    def view(image):
        seen.append(image[0])
        return image[:, :, :1, :1]

    return Batches(source, crop, size, seed=1, view=view).at(0), seen


def test_both_of_a_pair_and_the_view_are_cropped_and_turned_alike(pairs):
    batch, seen = whole_views(Pairs(*pairs), 8, 40)
    torch.testing.assert_close(batch.degraded * 2, batch.clean, rtol=0, atol=4e-5)
    steps = {(float(crop[1, 0, 7] - crop[1, 0, 0]), float(crop[1, 7, 0] - crop[1, 0, 0])) for crop in batch.clean}
    assert len({tuple(round(700 * step) for step in pair) for pair in steps}) == 8
    for degraded, grid, whole in zip(batch.degraded, batch.grid, seen, strict=True):
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
    assert batch.grid.isfinite().all()
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


@pytest.fixture
def cut(tmp_path):
    """A crop of 40 x 48 pixels, from row 13 and column 30, of a textured photograph that is stored averaged down by two."""
    photograph = torch.rand(1, 3, 120, 160, generator=torch.Generator().manual_seed(5))
    stored = {"crop": photograph[..., 13:53, 30:78], "whole": torch.nn.functional.avg_pool2d(photograph, 2)}
    for name, pixels in stored.items():
        images.write(images.Photograph(pixels), tmp_path / f"{name}.png")
    return [tmp_path / f"{name}.png" for name in stored]


def test_a_crop_is_found_in_its_whole_photograph(cut):
    crop, whole = (images.read(path).pixels[0] for path in cut)
    assert find_crop(crop, whole) == pytest.approx((13 / 120, 30 / 160, 53 / 120, 78 / 160))
    assert find_crop(whole[:, 3:30, 5:40], whole) == pytest.approx((3 / 60, 5 / 80, 30 / 60, 40 / 80))
    assert find_crop(crop, torch.rand(3, 60, 80)) is None
    assert find_crop(torch.full((3, 40, 40), 0.2), torch.full((3, 60, 80), 0.2)) is None  # it could be anywhere
    assert find_crop(torch.rand(3, 1, 1), whole) is None


def test_real_crops_are_found_where_they_were_cut(shared):
    """The manifest says where: left, top, right, bottom, in photographs of 600 x 400."""
    folder = shared / "data/train/lowlight"
    if not folder.is_dir():
        pytest.skip("no low-light crops in the shared folder")
    manifest = json.loads((shared / "data/manifest.json").read_text())
    for name in ("5", "10", "128", "601"):
        crop, whole = (images.read(folder / side / f"{name}.webp").pixels[0] for side in ("low", "low_whole"))
        text = re.search(r"crop \((.*)\)", manifest[f"train/lowlight/low/{name}.webp"]["from"])[1]
        left, top, right, bottom = map(int, text.split(","))
        assert find_crop(crop, whole) == pytest.approx((top / 400, left / 600, bottom / 400, right / 600)), name


def test_boxes_turn_with_their_picture():
    picture = torch.zeros(1, 10, 20)
    picture[:, 1:4, 12:17] = 1
    for turns in range(4):
        for mirrored in (False, True):
            turned = torch.rot90(picture, turns, (1, 2))
            turned = turned.flip(2) if mirrored else turned
            rows, columns = turned[0].any(1).nonzero(), turned[0].any(0).nonzero()
            height, width = turned.shape[1:]
            expected = (rows[0] / height, columns[0] / width, (rows[-1] + 1) / height, (columns[-1] + 1) / width)
            found = turned_box((1 / 10, 12 / 20, 4 / 10, 17 / 20), turns, mirrored)
            assert found == pytest.approx([float(value) for value in expected])


def test_crops_of_a_crop_are_placed_in_the_whole_photograph_which_the_prior_sees(cut):
    """Averaged down like the stored whole, the training crop must be what lies there where the grid says."""
    batch, seen = whole_views(Pairs([cut[0]], None, [cut[1]]), 16, 12)
    for degraded, grid, whole in zip(batch.degraded, batch.grid, seen, strict=True):
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
