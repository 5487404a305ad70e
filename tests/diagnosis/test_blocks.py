"""Where a JPEG's blocks begin, of files that Pillow compressed, cropped afterwards by a known amount."""

import io

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from pellucid import images
from pellucid.diagnosis import block_offset, diagnose
from pellucid.diagnosis.blocks import ENOUGH, from_first_block


def compressed(picture, quality):
    """(1, 3, H, W) of an array (H, W, 3), once through a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return images.to_tensor(np.asarray(Image.open(file)))


@pytest.mark.parametrize("quality", [10, 50, 75])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_a_cropped_jpeg_has_its_blocks_where_the_crop_left_them(name, quality):
    picture = compressed(getattr(skimage.data, name)(), quality)
    for down, across in ((0, 0), (3, 5), (7, 1), (0, 4), (8, 16)):
        crop = picture[:, :, down : down + 203, across : across + 250]
        assert block_offset(crop) == block_offset(crop[0]) == (-down % 8, -across % 8)
        whole = from_first_block(crop)
        assert torch.equal(whole, picture[:, :, down + -down % 8 : down + 203, across + -across % 8 : across + 250])
        # The same file upside down has its last row of blocks first.
        assert block_offset(crop.flip(2))[0] == (203 + down) % 8


def test_where_there_are_no_blocks_nothing_is_cut():
    noise = torch.rand(1, 3, 120, 90)
    plain, ramp = torch.full((1, 3, 64, 64), 0.5), torch.linspace(0, 1, 100).expand(1, 3, 80, 100)
    for picture in (noise, plain, ramp, noise[:, :, :1, :1], noise[:, :, :5, :90], noise[:, :, :37, :53]):
        assert block_offset(picture) == (0, 0)
        assert from_first_block(picture).shape == picture.shape
    assert block_offset(images.to_tensor(skimage.data.coffee())) == (0, 0)


def test_of_a_large_picture_the_middle_is_looked_at():
    jpeg = compressed(skimage.data.astronaut(), 30)
    tiled = jpeg.repeat(1, 1, 3, 3)[:, :, : ENOUGH + 16, : ENOUGH + 16]  # its side of 512 pixels is one of whole blocks
    large = torch.rand(1, 3, 2 * ENOUGH + 3, 2 * ENOUGH + 5)
    large[:, :, ENOUGH // 2 - 6 : 3 * ENOUGH // 2 + 10, ENOUGH // 2 - 6 : 3 * ENOUGH // 2 + 10] = tiled
    assert block_offset(large) == (2, 2)


def test_a_cropped_jpeg_is_diagnosed_as_the_whole_one():
    picture = compressed(skimage.data.coffee(), 15)[:, :, :240, :320]
    found, aligned = diagnose(picture[:, :, 3:, 5:]), diagnose(picture[:, :, 8:, 8:])
    assert found.likeliest.kind == "jpeg"
    assert found["jpeg"].severity == aligned["jpeg"].severity > 60
