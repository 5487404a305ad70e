"""A black box that is known by a folder of its results: R is trained on them, applied to them, and to later ones."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import pellucid
from pellucid import images
from pellucid.errors import DataError, SettingsError
from pellucid.metrics import psnr
from pellucid.networks import Results
from pellucid.training.black_box import black_box_recipe, check_results

NAMES = [f"{number}" for number in range(4)]


@pytest.fixture
def box(tmp_path):
    """Inputs, what a black box made of them, a little too dark and too red, and what should have come out."""
    generator = np.random.default_rng(0)
    for folder in ("inputs", "restored", "clean"):
        (tmp_path / folder).mkdir()
    rows, columns = np.mgrid[0:40, 0:56]
    for number, name in enumerate(NAMES):
        waves = [np.sin(rows / (3 + number + k)) * np.cos(columns / (4 + k)) for k in range(3)]
        clean = 0.45 + 0.35 * np.stack(waves, 2)
        noisy = clean + generator.normal(0, 0.08, clean.shape)
        restored = clean * [0.9, 0.7, 0.7]
        for folder, picture in (("inputs", noisy), ("restored", restored), ("clean", clean)):
            pixels = (picture.clip(0, 1) * 255).round().astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png", dpi=(72, 72))
    return tmp_path


def pixels(path):
    return images.read(path).pixels


def command(run, box, *more, out="out"):
    folders = ("--inputs", box / "inputs", "--restored", box / "restored")
    return run("boost", *folders, "-o", box / out, "--prior", "statistics", *more)


def test_r_is_trained_on_results_and_applied_to_them_and_to_later_ones(run, box):
    learn = ("--clean", box / "clean", "--steps", 60, "--crop", 32, "--batch", 2, "--precision", "float32")
    status, out, error = command(run, box, *learn, "--json")
    assert status == 0, error
    document = json.loads(out)
    assert [picture["error"] for picture in document["pictures"]] == [None] * 4
    for name in NAMES:
        refined, restored, clean = (pixels(box / f"{folder}/{name}.png") for folder in ("out", "restored", "clean"))
        assert psnr(refined, clean) > psnr(restored, clean) + 1
    # The same R, by its file, on the same results: the same pictures.
    again = ("--refiner", document["refiner"], "--precision", "float32")
    assert command(run, box, *again, out="later")[0] == 0
    for name in NAMES:
        assert torch.equal(pixels(box / f"later/{name}.png"), pixels(box / f"out/{name}.png"))
    status, _, error = run("restore", box / "inputs", "-o", box / "no", "--model", document["refiner"])
    assert status == 1
    assert "pellucid boost" in error
    # What is there is not replaced unasked.
    status, _, error = command(run, box, *again, out="later")
    assert status == 1
    assert command(run, box, *again, "--overwrite", out="later")[0] == 0


def test_pictures_that_are_missing_or_of_another_size_are_named(run, box):
    (box / "restored/1.png").unlink()
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(box / "restored/2.png")
    (box / "clean/3.png").write_bytes(b"no picture")
    with pytest.raises(DataError) as caught:
        check_results(box / "inputs", box / "restored", box / "clean")
    said = str(caught.value)
    assert f"1.png is missing in {box / 'restored'}" in said
    assert f"{box / 'restored/2.png'} is 50 x 40, its input 56 x 40" in said
    assert "3.png" in said
    assert "0.png" not in said
    status, _, error = command(run, box, "--clean", box / "clean", "--steps", 2)
    assert (status, error.count("\n")) == (1, 1)
    assert not (box / "out").exists()


def test_a_picture_that_cannot_be_refined_is_named_and_the_others_go_on(run, box):
    learn = ("--clean", box / "clean", "--steps", 1, "--crop", 16)
    assert command(run, box, *learn)[0] == 0
    (box / "restored/1.png").unlink()
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(box / "restored/2.png")
    status, out, error = command(run, box, "--refiner", box / "out/run/model.safetensors", "--json", out="later")
    assert status == 1
    errors = {picture["input"][-5:]: picture["error"] for picture in json.loads(out)["pictures"]}
    assert errors["0.png"] is errors["3.png"] is None
    assert "has no result" in errors["1.png"]
    assert "of another size than its input (50 x 40 and 56 x 40)" in errors["2.png"]
    assert error.count("\n") == 2
    assert sorted(path.name for path in (box / "later").iterdir()) == ["0.png", "3.png"]


def test_wrong_usage_is_refused(run, box):
    assert command(run, box)[0] == 2
    assert command(run, box, "--clean", box / "clean", "--refiner", box / "a.safetensors")[0] == 2
    assert command(run, box, "--refiner", box / "a.safetensors")[0] == 1
    assert "restores by itself" in command(run, box, "--refiner", "src/pellucid/models/weights/fast.safetensors")[2]
    assert run("boost", "--inputs", box / "a", "--restored", box / "restored", "--clean", box / "clean",
               "-o", box / "out")[0] == 1  # fmt: skip
    with pytest.raises(SettingsError, match="nonsense"):
        black_box_recipe(box / "inputs", box / "restored", box / "clean", train={"nonsense": 1})


def test_the_same_in_python(box):
    boosted = pellucid.boost(Results(), "statistics", freeze_network=True, width=4, blocks=1)
    folders = {"degraded": box / "inputs", "restored": box / "restored"}
    few = {"steps": 2, "batch": 1, "crop": 16, "precision": "float32"}
    pellucid.fit(boosted, box / "clean", **folders, **few)
    assert boosted.refinement.decoder.out.weight.abs().max() > 0
    with pytest.raises(SettingsError, match="freeze_network"):
        pellucid.fit(pellucid.boost(Results(), "statistics"), box / "clean", **folders, **few)
    with pytest.raises(SettingsError, match="degraded"):
        pellucid.fit(boosted, box / "clean", degradations=["noise sigma=5"], restored=box / "restored", **few)


def test_a_frozen_network_restores_once_in_python_too(box):
    counted = torch.nn.Conv2d(3, 3, 1)
    calls = []
    counted.register_forward_hook(lambda *given: calls.append(given[1][0].shape))
    boosted = pellucid.boost(counted, "statistics", freeze_network=True, width=4, blocks=1)
    few = {"steps": 6, "batch": 2, "crop": 16, "precision": "float32", "cache": box / "kept"}
    pellucid.fit(boosted, box / "clean", degraded=box / "inputs", **few)
    assert len([shape for shape in calls if tuple(shape[2:]) == (40, 56)]) <= 4
    assert not [shape for shape in calls if tuple(shape) == (2, 3, 16, 16)]
    assert len(list((box / "kept").glob("*.npy"))) <= 4
