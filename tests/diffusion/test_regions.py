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
