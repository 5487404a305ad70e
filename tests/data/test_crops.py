"""Crops are found in the photographs that they were cut from."""

import json
import re

import pytest
import torch

from pellucid import images
from pellucid.data.crops import find_crop, turned_box


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
