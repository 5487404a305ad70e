"""What the command line says of files: what is lost, what is passed over, and when that is an error."""

import json

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from safetensors.torch import save_file

from pellucid import images
from pellucid.models.save import save_model
from pellucid.networks import UNet


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(UNet.tiny(), path, recipe={"name": "tiny"}, card={"licence": "Apache-2.0", "summary": "for tests"})
    return path


@pytest.fixture
def scan(tmp_path):
    """An RGB scan with an infrared channel."""
    array = np.random.default_rng(0).integers(0, 65535, (20, 30, 4), np.uint16)
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/scan.tif", array, photometric="rgb", extrasamples=[0])
    return tmp_path / "in/scan.tif"


def test_what_is_lost_is_said_in_one_line_and_in_json(run, model, scan, tmp_path):
    status, out, err = run("restore", scan, "-o", tmp_path / "a.png", "--model", model, "--json")
    assert (status, err) == (
        0,
        f"pellucid: {scan}: {tmp_path / 'a.png'} does not keep a channel beside colour and alpha\n",
    )
    assert json.loads(out)["photographs"][0]["lost"] == ["a channel beside colour and alpha"]
    status, out, err = run("restore", scan, "-o", tmp_path / "a.tif", "--model", model, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["photographs"][0]["lost"] == []


def test_strict_makes_an_error_of_it_and_writes_nothing(run, model, scan, tmp_path):
    status, _, err = run("restore", scan, "-o", tmp_path / "a.png", "--model", model, "--strict")
    assert (status, err.count("\n")) == (1, 1)
    assert "not written, for it would not keep a channel beside colour and alpha" in err
    assert not (tmp_path / "a.png").exists()
    assert run("restore", scan, "-o", tmp_path / "a.tif", "--model", model, "--strict")[0] == 0


def test_what_is_passed_over_is_counted_and_named(run, model, scan, tmp_path):
    for name in ("._scan.tif", "Thumbs.db", "notes.txt"):
        (scan.parent / name).touch()
    (scan.parent / "@eaDir").mkdir()
    images.write(images.Photograph(torch.rand(1, 3, 8, 8)), scan.parent / "@eaDir/thumb.jpg")
    Image.new("L", (9, 8)).save(scan.parent / "a.gif")
    status, out, err = run("restore", scan.parent, "-r", "-o", tmp_path / "out", "--model", model, "--json")
    assert status == 0
    assert "4 passed over, no photographs by their names: ._scan.tif, @eaDir, Thumbs.db, notes.txt" in err
    document = json.loads(out)
    assert len(document["passed_over"]) == 4
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["a.gif.png", "scan.tif"]


def test_quality(run, model, tmp_path):
    images.write(images.Photograph(torch.rand(1, 3, 60, 80)), tmp_path / "a.jpg", quality=96)
    sizes = []
    for options in ([], ["--quality", "30"]):
        assert (
            run("restore", tmp_path / "a.jpg", "-o", tmp_path / "b.jpg", "--model", model, "--overwrite", *options)[0]
            == 0
        )
        with Image.open(tmp_path / "a.jpg") as before, Image.open(tmp_path / "b.jpg") as after:
            assert (before.quantization == after.quantization) == (not options)
        sizes.append((tmp_path / "b.jpg").stat().st_size)
    assert sizes[1] < sizes[0]


def test_a_model_that_is_none_says_what_it_is(run, tmp_path):
    images.write(images.Photograph(torch.rand(1, 3, 8, 8)), tmp_path / "a.png")
    (tmp_path / "m.PTH").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    status, _, err = run("restore", tmp_path / "a.png", "-o", tmp_path / "b.png", "--model", tmp_path / "m.PTH")
    assert (status, err.count("\n")) == (1, 1)
    assert "pointer of Git LFS" in err
    save_file({"what": torch.zeros(1)}, tmp_path / "s.pth")
    _, _, err = run("restore", tmp_path / "a.png", "-o", tmp_path / "b.png", "--model", tmp_path / "s.pth")
    assert "its first tensors: what" in err


def test_all_pages_and_frames_are_restored(run, model, tmp_path):
    arrays = [np.full((20, 30, 3), value, np.uint8) for value in (40, 120, 200)]
    first, *others = map(Image.fromarray, arrays)
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    first.save(tmp_path / "a.gif", save_all=True, append_images=others, duration=[100, 200, 300], loop=0)
    command = ("restore", tmp_path, "-o", tmp_path / "out", "--model", model, "--pages", "all", "--strict", "--json")
    status, out, _ = run(*command)
    assert status == 0
    assert [told["lost"] for told in json.loads(out)["photographs"]] == [[], []]
    for name, durations in (("a.tif", None), ("a.gif.png", [100, 200, 300])):
        with Image.open(tmp_path / "out" / name) as picture:
            assert picture.n_frames == 3
            for number in range(3):
                picture.seek(number)
                shown = np.asarray(picture.convert("RGB"))
                assert not np.array_equal(shown, arrays[number])
                assert abs(shown.mean() - arrays[number].mean()) < 30
                assert durations is None or picture.info["duration"] == durations[number]
    assert run(*command[:-4], "first", "--strict", "--overwrite")[0] == 1
