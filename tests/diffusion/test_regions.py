"""Named places from files: one by one, in a JSON file, in a folder."""

import json

import pytest
import torch

from pellucid import images
from pellucid.batch.restore import settings_of
from pellucid.diffusion.regions import files_of_regions, read_regions
from pellucid.errors import PellucidError, SettingsError
from pellucid.restoration.options import RestoreOptions


@pytest.fixture
def folder(tmp_path):
    """A folder of two masks, and beside it a JSON file that names one of them, and a box."""
    masks = tmp_path / "masks"
    masks.mkdir()
    for name, side in (("sky", 4), ("face", 8)):
        mask = torch.zeros(1, 3, 12, 16)
        mask[..., :side] = 1
        images.write(images.Photograph(mask), masks / f"{name}.png")
    (masks / "notes.txt").write_text("not a mask")
    (tmp_path / "places.json").write_text(json.dumps({"sky": "masks/sky.png", "hand": [1, 2, 9, 10]}))
    return tmp_path


def test_one_by_one_in_a_file_and_in_a_folder(folder):
    asked = RestoreOptions.of(region=[str(folder / "places.json"), f"face={folder}/masks/face.png", "toe=1,2,3,4"])
    found = read_regions(asked.region).masks
    assert set(found) == {"sky", "hand", "face", "toe"}
    assert found["hand"] == (1, 2, 9, 10)
    assert (float(found["sky"].sum()), float(found["face"].sum())) == (4 * 12, 8 * 12)
    of_folder = read_regions(RestoreOptions.of(region=str(folder / "masks")).region).masks
    assert torch.equal(of_folder["sky"], found["sky"])
    assert set(of_folder) == {"sky", "face"}
    assert read_regions({"a": [0, 1, 2, 3]}).masks == {"a": (0, 1, 2, 3)}


def test_a_manifest_knows_when_a_mask_has_changed(folder, identity):
    asked = RestoreOptions.of(region=[str(folder / "places.json")])
    names = [path.name for path in files_of_regions(asked.region)]
    assert names == ["sky.png", "places.json"]
    before = settings_of(str(identity), asked)
    assert settings_of(str(identity), asked) == before
    images.write(images.Photograph(torch.ones(1, 3, 12, 16)), folder / "masks" / "sky.png", overwrite=True)
    assert settings_of(str(identity), asked) != before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere.json", "cannot be read as JSON"),
        ("face", "expected NAME=PLACE"),
        ("face=", "expected NAME=VALUE"),
        ("face=1,2,x,4", "a box is left,top,right,bottom"),
        ("face=none.png", "none.png"),
    ],
)
def test_bad_places_are_refused(text, message):
    with pytest.raises(PellucidError, match=message):
        read_regions(RestoreOptions.of(region=[text]).region)


def test_bad_collections_are_refused(folder):
    (folder / "list.json").write_text("[1, 2]")
    (folder / "short.json").write_text('{"a": [1, 2]}')
    (folder / "empty").mkdir()
    for name, message in (
        ("list.json", "an object of places"),
        ("short.json", "a box is"),
        ("empty", "without a mask"),
    ):
        with pytest.raises(SettingsError, match=message):
            read_regions({str(folder / name): ""})
    with pytest.raises(SettingsError, match="region 'sky' is given twice"):
        read_regions({str(folder / "places.json"): "", str(folder / "masks"): ""})


def test_a_record_makes_the_same_picture_again(run, folder, tmp_path):
    """By the command line: what `--json` says is enough, whatever the machine's memory would cut now."""
    from pellucid.diffusion.network import Generative
    from pellucid.models.save import save_model

    save_model(Generative(unet={"widths": (16, 16), "blocks": (1, 1), "embedding": 16}), tmp_path / "m.safetensors")
    image = images.Photograph(torch.rand(1, 3, 12, 16))
    images.write(image, tmp_path / "in.png")
    asked = ["--prompt", "denoise 30 @sky", "--seed", "4", "--control", "steps=2", "--region", folder / "places.json"]
    asked += ["--first", "denoise"]
    first = tmp_path / "a.png", tmp_path / "b.png"
    status, out, err = run(
        "restore", tmp_path / "in.png", "-o", first[0], "--model", tmp_path / "m.safetensors", *asked, "--json"
    )
    assert (status, err) == (0, "")
    (tmp_path / "run.json").write_text(out)
    status, _, err = run("restore", tmp_path / "in.png", "-o", first[1], "--like", tmp_path / "run.json", "--tile", "0")
    assert (status, err) == (0, "")
    assert torch.equal(images.read(first[0]).pixels, images.read(first[1]).pixels)
    status, _, _ = run(
        "restore", tmp_path / "in.png", "-o", tmp_path / "c.png", "--like", tmp_path / "run.json", "--seed", "5"
    )
    assert not torch.equal(images.read(first[0]).pixels, images.read(tmp_path / "c.png").pixels)
    (tmp_path / "other.json").write_text('{"photographs": []}')
    for name, message in (("other.json", "restore --json says"), ("none.json", "cannot be read as JSON")):
        status, _, err = run("restore", tmp_path / "in.png", "-o", tmp_path / "d.png", "--like", tmp_path / name)
        assert status == 2
        assert message in err
