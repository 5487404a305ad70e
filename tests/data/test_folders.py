"""Folders: what is found, what is paired, and what is read."""

import pytest
import torch

from pellucid import images
from pellucid.data.folders import Photographs, list_pairs, list_photographs, partner_name
from pellucid.errors import DataError


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
