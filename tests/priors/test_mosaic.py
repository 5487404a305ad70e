"""Mosaics: their own pixels, on JPEG's grid, of any size, and back."""

import pytest
import torch
from torch.nn import functional as F

from pellucid.priors import whole_view
from pellucid.priors.composite import TILES, join_tiles, native_patches, split_tiles
from pellucid.priors.composite import composite_view as mosaic


def test_a_mosaic_is_the_whole_and_its_own_pixels_on_multiples_of_8():
    image = torch.rand(2, 3, 100, 224)
    whole, tiles = split_tiles(mosaic(image, 64))
    torch.testing.assert_close(whole, whole_view(image, (32, 32)))
    # Three rows and four columns of 16 x 16, spread over what is left of each side, moved down to multiples of 8.
    places = [(top, left) for top in (0, 40, 80) for left in (0, 64, 136, 208)]
    assert len(places) == TILES
    for number, (top, left) in enumerate(places):
        assert torch.equal(tiles[:, number], image[:, :, top : top + 16, left : left + 16])


def test_tiles_lie_row_by_row_beside_and_below_the_whole():
    side = 4
    tiles = torch.arange(float(TILES)).view(1, TILES, 1, 1, 1).expand(1, TILES, 3, side, side)
    made = join_tiles(torch.full((1, 3, 2 * side, 2 * side), -1.0), tiles)[0, 0]
    corners = made[::side, ::side].tolist()
    assert corners == [[-1, -1, 0, 1], [-1, -1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_cutting_and_joining_are_inverse():
    picture = torch.rand(3, 3, 32, 32)
    assert torch.equal(join_tiles(*split_tiles(picture)), picture)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (37, 53), (5, 300)])
def test_any_size_and_a_batch_is_its_images(size):
    images = torch.rand(3, 3, *size)
    views = mosaic(images, 64)
    assert views.shape == (3, 3, 64, 64)
    assert views.min() >= 0
    assert views.max() <= 1
    torch.testing.assert_close(views, torch.cat([mosaic(image[None], 64) for image in images]))


def test_a_small_image_is_reflected_into_every_patch():
    image = torch.rand(1, 3, 5, 3)
    patches = native_patches(image, 2, 3, 8)
    # F.pad reflects by less than one side at a time.
    reflected = F.pad(F.pad(image, (0, 2, 0, 3), mode="reflect"), (0, 3, 0, 0), mode="reflect")
    for row in range(2):
        for column in range(3):
            assert torch.equal(patches[..., 8 * row : 8 * row + 8, 8 * column : 8 * column + 8], reflected)


def test_blocks_of_8_lie_the_same_way_in_every_tile():
    rows = torch.arange(203) // 8 % 2
    columns = torch.arange(331) // 8 % 2
    board = (rows[:, None] ^ columns).float().expand(1, 3, -1, -1)
    _, tiles = split_tiles(mosaic(board, 64))
    edges = tiles.diff(dim=4).abs().sum((0, 1, 2, 3))
    assert edges.nonzero().flatten().tolist() == [7]


def test_what_is_no_rgb_image_is_refused():
    with pytest.raises(ValueError, match="expected an RGB image"):
        mosaic(torch.rand(1, 1, 9, 9), 64)
