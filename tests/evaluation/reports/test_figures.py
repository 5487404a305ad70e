"""Crops and error maps of pictures whose right answer is known, and files whose names never meet."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from pellucid import images
from pellucid.errors import ImageError
from pellucid.evaluation.reports.figures import (
    CLEAN,
    COLOURS,
    LARGEST,
    SIDE,
    FigurePlace,
    Figures,
    error_map,
    zoom,
    zoom_region,
)

PLACE = FigurePlace("set12", "noise sigma=25", "gaussian-grey", "01.png")


def noisy(clean, sigma=0.1):
    return clean + sigma * torch.randn(clean.shape)


def flat_with_texture(height, width, top, left, side=SIDE):
    clean = torch.full((1, 3, height, width), 0.6)
    clean[..., top : top + side, left : left + side] = torch.rand(1, 3, side, side)
    return clean


@pytest.mark.parametrize("corner", [(0, 0), (64, 128), (160, 224)])
def test_the_crop_is_where_the_detail_is_when_noise_is_everywhere(corner):
    clean = flat_with_texture(256, 320, *corner)
    assert zoom_region(noisy(clean), clean) == (*corner, SIDE, SIDE)


@pytest.mark.parametrize("corner", [(0, 0), (64, 128), (160, 224)])
def test_the_crop_is_where_the_damage_is_when_detail_is_everywhere(corner):
    clean = torch.rand(1, 3, 256, 320)
    degraded = clean.clone()
    part = (..., slice(corner[0], corner[0] + SIDE), slice(corner[1], corner[1] + SIDE))
    degraded[part] = 1 - degraded[part]
    assert zoom_region(degraded, clean) == (*corner, SIDE, SIDE)


def test_texture_beats_one_hard_edge_before_a_flat_sky():
    clean = torch.full((1, 3, 200, 400), 0.5)
    clean[..., :100, 100:108:2] = 1.0  # masts against the sky
    clean[..., 104:200, 304:400] = 0.5 + 0.04 * torch.rand(1, 3, 96, 96)
    sky, texture = clean[..., :96, 50:146], clean[..., 104:200, 304:400]
    changes = [sum(part.diff(dim=way).abs().sum() for way in (-1, -2)) for part in (sky, texture)]
    assert changes[0] > 1.2 * changes[1]  # so the sum of all changes would choose the masts
    top, left, *_ = zoom_region(noisy(clean), clean)
    assert (top, left) == (104, 304)


def test_unclipped_noise_counts_as_it_is_seen():
    clean = torch.rand(1, 3, 96, 192).round()  # black and white: half of the noise is clipped away
    degraded = clean.clone()
    degraded[..., :96] += torch.where(clean[..., :96] > 0.5, 9.0, -9.0)  # invisible
    degraded[..., 96:] -= torch.where(clean[..., 96:] > 0.5, 0.1, -0.1)
    assert zoom_region(degraded, clean).left == 96


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (37, 53), (96, 96), (97, 95), (100, 101)])
@pytest.mark.parametrize("side", [1, 50, 96])
def test_the_crop_lies_inside_pictures_of_any_size(size, side):
    clean = torch.rand(1, 3, *size)
    region = zoom_region(noisy(clean), clean, side)
    assert region[2:] == (min(side, size[0]), min(side, size[1]))
    assert zoom(clean, region).shape == (1, 3, *region[2:])
    assert region.top >= 0
    assert region.left >= 0


def test_nothing_to_see_gives_the_middle():
    flat = torch.full((1, 3, 196, 296), 0.5)
    assert zoom_region(flat, flat) == (50, 100, 96, 96)


def test_detail_alone_decides_where_nothing_is_degraded():
    clean = flat_with_texture(256, 320, 64, 128)
    assert zoom_region(clean, clean) == (64, 128, SIDE, SIDE)


def test_a_smaller_degraded_picture_is_enlarged_by_a_whole_factor_or_refused():
    clean = flat_with_texture(256, 320, 64, 128)
    assert zoom_region(clean[..., ::2, ::2], clean) == (64, 128, SIDE, SIDE)
    for wrong in (clean[..., :100, :], clean[..., :90, :107], clean[:, :1], clean[0]):
        with pytest.raises(ValueError, match="one shape"):
            zoom_region(wrong, clean)


def test_a_crop_is_clipped_and_otherwise_untouched():
    image = torch.randn(1, 3, 20, 30)
    assert torch.equal(zoom(image, (3, 5, 7, 11)), image[:, :, 3:10, 5:16].clamp(0, 1))


def steps(error):
    """The colour that the scale has for an error, by numpy's interpolation."""
    table = np.array(COLOURS) / 255
    return [np.interp(error / LARGEST * (len(table) - 1), range(len(table)), table[:, band]) for band in range(3)]


@pytest.mark.parametrize("error", [0.0, 0.02, 0.033, 0.1, 0.5])
def test_colours_of_the_map(error):
    clean = torch.full((1, 3, 4, 6), 0.5)
    coloured = error_map(clean - error, clean)
    assert coloured.shape == (1, 3, 4, 6)
    np.testing.assert_allclose(coloured[0, :, 2, 3], steps(min(error, LARGEST)), atol=1e-5)


def test_lightness_follows_the_error():
    errors = torch.linspace(0, LARGEST, 240).expand(1, 3, 1, 240)
    lightness = rgb2lab(error_map(errors, torch.zeros_like(errors))[0].permute(1, 2, 0).numpy())[0, :, 0]
    assert lightness[0] == pytest.approx(0, abs=0.1)
    assert lightness[-1] > 95
    assert (np.diff(lightness) > 0).all()
    np.testing.assert_allclose(lightness, np.linspace(0, lightness[-1], 240), atol=2.5)


def test_noise_does_not_cancel_in_a_map_that_is_smaller_than_the_picture():
    clean = torch.full((1, 3, 480, 960), 0.5)
    signs = (torch.arange(480)[:, None] + torch.arange(960)) % 2 * 2 - 1
    coloured = error_map(clean + 0.06 * signs, clean)
    assert coloured.shape == (1, 3, 120, 240)
    expected = torch.tensor(steps(0.06), dtype=torch.float32).view(1, 3, 1, 1)
    torch.testing.assert_close(coloured, expected.expand_as(coloured), atol=1e-4, rtol=0)


def test_a_pixel_of_the_map_is_the_root_mean_square_of_those_that_it_stands_for():
    clean = torch.zeros(1, 3, 960, 960)
    restored = clean.clone()
    restored[..., ::4, ::4] = 0.24  # one of 16 in each square of 4 x 4: sqrt(0.24 ** 2 / 16) = 0.06
    expected = torch.tensor(steps(0.06), dtype=torch.float32).view(1, 3, 1, 1)
    torch.testing.assert_close(error_map(restored, clean), expected.expand(1, 3, 240, 240), atol=1e-4, rtol=0)


def test_channels_are_averaged_as_squares():
    clean = torch.zeros(1, 3, 4, 4)
    restored = clean.clone()
    restored[:, 0] = 0.06 * 3**0.5
    np.testing.assert_allclose(error_map(restored, clean)[0, :, 0, 0], steps(0.06), atol=1e-4)


@pytest.mark.parametrize(
    ("size", "expected"), [((1, 1), (1, 1)), ((37, 53), (37, 53)), ((241, 100), (121, 50)), ((7, 1000), (2, 200))]
)
def test_size_of_the_map(size, expected):
    clean = torch.rand(1, 3, *size)
    assert error_map(clean, clean).shape == (1, 3, *expected)


def test_wrong_calls_of_the_map():
    with pytest.raises(ValueError, match="one shape"):
        error_map(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 5))
    for largest in (0, -1, math.nan):
        with pytest.raises(ValueError, match="positive"):
            error_map(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4), largest)


def test_what_is_saved_is_what_was_made(tmp_path):
    clean = flat_with_texture(120, 140, 24, 40)
    degraded, first, second = noisy(clean), noisy(clean, 0.05), noisy(clean, 0.02)
    figures = Figures(tmp_path / "new" / "figures")
    for model, restored in {"degraded": degraded, "first": first, "second": second}.items():
        figures.save(PLACE, model, restored, degraded=degraded, clean=clean)
    # All models are cut at the same place, whatever they made of the picture.
    for model, restored in {"degraded": degraded, "first": first, "second": second, CLEAN: clean}.items():
        pixels = images.read(figures.path(PLACE, model, "zoom")).pixels
        assert (pixels - restored[..., 24:120, 40:136].clamp(0, 1)).abs().max() < 0.51 / 255
    pixels = images.read(figures.path(PLACE, "first", "error")).pixels
    assert (pixels - error_map(first, clean)).abs().max() < 0.51 / 255
    assert len(list(figures.folder.rglob("*.png"))) == 7


def test_grey_pictures_are_stored_grey(tmp_path):
    clean = torch.rand(1, 1, 50, 60).expand(1, 3, 50, 60)
    Figures(tmp_path).save(PLACE, "model", clean, degraded=clean, clean=clean)
    assert images.read(Figures(tmp_path).path(PLACE, "model", "zoom")).grey


def test_an_interrupted_evaluation_finds_its_figures(tmp_path):
    clean = torch.rand(1, 3, 30, 30)
    figures = Figures(tmp_path)
    assert not figures.has(PLACE, "model")
    figures.save(PLACE, "model", clean, degraded=clean, clean=clean)
    assert Figures(tmp_path).has(PLACE, "model")
    assert not figures.has(PLACE, "other")
    assert not figures.has(PLACE._replace(protocol="gaussian-grey-8bit"), "model")
    figures.path(PLACE, "model", "error").unlink()
    assert not figures.has(PLACE, "model")


def test_names_are_plain_and_never_meet(tmp_path):
    figures = Figures(tmp_path)
    names = [
        "a",
        "A",
        "é",
        "e\u0301",
        "夜",
        "",
        "a/b",
        "a_b",
        "a-b",
        "../..",
        "a\\b",
        "x" * 300,
        "x" * 301,
        "CON",
        "a\n",
        "clean",
    ]
    places = [FigurePlace(*(["a"] * index + [name] + ["a"] * (3 - index))) for index in range(4) for name in names]
    keys = {*product(places, ["a"]), *product([PLACE], [*names, CLEAN])}
    paths = [figures.path(place, model, kind) for (place, model), kind in product(keys, ["zoom", "error"])]
    assert len({str(path).lower() for path in paths}) == len(paths)
    for path in paths:
        relative = path.relative_to(tmp_path)
        assert ".." not in relative.parts
        assert len(relative.parts) == 2
        assert str(relative).isascii()
        assert all(len(part) < 160 for part in relative.parts)
        assert set(str(relative)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-./")


def test_names_stay_the_same_from_version_to_version(tmp_path):
    # sha256 of '["set12", "noise sigma=25", "gaussian-grey", "01.png", "my model", 96, 0.1]', by sha256sum
    expected = "set12/01-png-noise-sigma-25-my-model-3364f84304f535ec-zoom.png"
    assert str(Figures(tmp_path).path(PLACE, "my model", "zoom").relative_to(tmp_path)) == expected


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    clean = torch.rand(1, 3, 8, 8)
    with pytest.raises(ImageError, match="file"):
        Figures(tmp_path / "file").save(PLACE, "model", clean, degraded=clean, clean=clean)
