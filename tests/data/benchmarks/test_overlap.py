"""Fingerprints, and finding test pictures among photographs for training."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from pellucid import images
from pellucid.data.benchmarks import benchmarks
from pellucid.data.benchmarks.fingerprint import (
    BITS,
    SAME,
    difference,
    fingerprint,
    from_text,
    positions,
    to_text,
)
from pellucid.data.benchmarks.overlap import known_pictures, overlaps, scan
from pellucid.errors import DataError, ImageError, SettingsError


def picture(seed, height=60, width=90):
    """A smooth picture with the falling spectrum of a photograph."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        F.interpolate(torch.rand(1, 3, side, side, generator=generator) / side, (height, width), mode="bicubic")
        for side in (3, 5, 9, 17, 33)
    ]
    mixed = torch.stack(layers).sum(0)
    return (mixed - mixed.min()) / (mixed.max() - mixed.min())


def bits_apart(first, second):
    return int(difference(fingerprint(first)[None], fingerprint(second)[None]))


def test_a_fingerprint_is_the_sign_of_the_cosine_transform():
    """Against the transform of scipy, whose definition is independent of ours."""
    fft = pytest.importorskip("scipy.fft")
    pixels = picture(0, 64, 64)
    grey = (pixels[0] * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0)
    cells = grey.reshape(32, 2, 32, 2).mean((1, 3)).double().numpy()
    expected = torch.from_numpy(fft.dctn(cells, type=2)[:12, :12] > 0).flatten()[1:]
    assert torch.equal(fingerprint(pixels), expected)


def test_the_eight_positions_hold_every_turned_and_mirrored_picture():
    pixels = picture(1)
    known = positions(pixels)
    for mirrored in (False, True):
        for turns in range(4):
            turned = torch.rot90(pixels.flip(3) if mirrored else pixels, turns, (2, 3))
            # A mean over cells that do not divide the sides differs in the last bits, so a sign near 0 may too.
            assert difference(fingerprint(turned)[None], known).min() <= 1


@pytest.mark.parametrize("seed", range(4))
def test_changes_that_keep_the_picture_keep_the_fingerprint(seed):
    pixels = picture(seed, 120, 180)
    noisy = (pixels + 0.1 * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(9))).clamp(0, 1)
    for changed in (
        F.interpolate(pixels, (40, 60), mode="area"),
        F.interpolate(pixels, (239, 361), mode="bicubic"),
        noisy,
        (pixels * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True).expand_as(pixels),
        0.2 + 0.6 * pixels,
        pixels[..., 2:-2, 3:-3],
    ):
        assert bits_apart(pixels, changed) <= SAME
    for other in range(4):
        if other != seed:
            assert difference(fingerprint(picture(other, 120, 180))[None], positions(pixels)).min() > SAME


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 2)])
def test_flat_and_tiny_pictures(size):
    assert fingerprint(torch.full((1, 3, *size), 0.5)) is None
    assert positions(torch.zeros(1, 3, *size)) is None
    ramp = torch.linspace(0, 1, size[1]).expand(1, 3, *size)
    assert (fingerprint(ramp) is None) == (size == (1, 1))


@given(st.lists(st.booleans(), min_size=BITS, max_size=BITS))
def test_texts_come_back(bits):
    text = to_text(torch.tensor(bits))
    assert len(text) == 36
    assert from_text(text).tolist() == bits


def test_texts_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="not a fingerprint"):
        from_text("f" * 36)


@pytest.fixture(scope="module")
def known():
    return known_pictures()


def test_the_registry_knows_the_clean_pictures_that_were_at_hand(known):
    assert known.coverage["set12"] == (12, 12)
    assert known.coverage["cbsd68"] == (68, 68)
    assert known.coverage["sots_indoor"] == (10, 50)
    assert not any(benchmarks()[name].part_of for name in known.coverage)
    assert len(known.names) == len(known.bits) == sum(part for part, _ in known.coverage.values())


def test_the_fingerprints_are_those_of_the_pictures(shared, known):
    by_name = dict(zip(known.names, known.bits, strict=True))
    for name, path in [("kodak24", "kodim07.png"), ("lol_eval15", "high/22.png"), ("rain100h", "clean/60.png")]:
        pixels = images.read(shared / "data/eval" / name / path).pixels
        assert difference(fingerprint(pixels)[None], by_name[name, path][None]).item() <= 1


def test_known_overlaps_between_test_sets_are_found(known):
    """BSD68 is CBSD68 in grey, picture by picture; Set12 and Classic5 share two."""
    rows = {name: [i for i, (one, _) in enumerate(known.names) if one == name] for name, _ in known.names}
    apart = difference(known.bits[rows["bsd68"]], known.bits[rows["cbsd68"]])
    assert (apart.amin(1) <= SAME).all()
    assert len(set(apart.argmin(1).tolist())) == 68
    shared_pictures = difference(known.bits[rows["set12"]], known.bits[rows["classic5"]]) <= SAME
    assert shared_pictures.sum() >= 2


def test_a_changed_copy_of_a_test_picture_is_found(shared, known, tmp_path):
    source = images.read(shared / "data/eval/cbsd68/101085.png").pixels
    smaller = F.interpolate(source, scale_factor=0.4, mode="area")
    images.write(
        images.Photograph(smaller.rot90(1, (2, 3))), tmp_path / "日本/holiday.jpg".replace("/", "-"), quality=25
    )
    images.write(images.Photograph(picture(5)), tmp_path / "own.png")
    found = overlaps(tmp_path)
    assert {(one.file.name, one.benchmark) for one in found} == {
        ("日本-holiday.jpg", "cbsd68"),
        ("日本-holiday.jpg", "bsd68"),
    }
    assert next(one for one in found if one.benchmark == "cbsd68").image == "101085.png"
    assert overlaps(tmp_path, ["kodak24"]) == []


def test_the_training_photographs_hold_no_test_picture(shared, known):
    paths = [
        path
        for folder in ("clean", "haze/gt", "lowlight/high")
        for path in sorted((shared / "data/train" / folder).iterdir())[::4]
    ]
    scanned = list(scan(paths, known))
    assert [one.file for one in scanned] == paths
    assert not [one for one in scanned if one.overlaps or one.error]


def test_a_set_without_fingerprints_is_read_from_its_copy(tmp_path, monkeypatch):
    monkeypatch.setenv("PELLUCID_DATA", str(tmp_path / "data"))
    benchmark = benchmarks()["mcmaster"]
    assert known_pictures(["mcmaster"]).coverage == {"mcmaster": (0, 18)}
    (tmp_path / "data/mcmaster").mkdir(parents=True)
    images.write(images.Photograph(picture(3)), tmp_path / "data/mcmaster" / benchmark.files[0].path)
    (tmp_path / "data/mcmaster" / benchmark.files[1].path).write_bytes(b"damaged")
    assert known_pictures(["mcmaster"]).coverage == {"mcmaster": (1, 18)}
    (tmp_path / "train").mkdir()
    images.write(images.Photograph(picture(3).flip(3)), tmp_path / "train/a.png")
    images.write(images.Photograph(torch.zeros(1, 3, 8, 8)), tmp_path / "train/black.png")
    assert [(one.file.name, one.image) for one in overlaps(tmp_path / "train", ["mcmaster"])] == [("a.png", "1.tif")]


def test_unreadable_photographs_and_wrong_folders(tmp_path, known):
    (tmp_path / "a.jpg").write_bytes(b"not a picture")
    images.write(images.Photograph(picture(3)), tmp_path / "b.png")
    bad, good = scan(sorted(tmp_path.iterdir()), known)
    assert "a.jpg" in bad.error
    assert good.error is None
    with pytest.raises(ImageError, match=r"a\.jpg"):
        overlaps(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        overlaps(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="unknown data set"):
        overlaps(tmp_path, ["set13x"])
