"""A network of the user's own through every verb: trained, ablated, scored, restored with, explained and distilled."""

import json
import sys
import warnings

import pytest
import yaml

SOURCE = """
import torch
from torch import nn


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.again = nn.Conv2d(3, 3, 3, padding=1)
        self.again.weight = self.first.weight

    def forward(self, image):
        assert image.shape[2] % 4 == 0, "sides divide by 4"
        residual = self.again(self.first(image)) / 10
        return image + residual, residual
"""


@pytest.fixture(autouse=True)
def _networks(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_networks", None)


@pytest.fixture
def recipe(tmp_path, small_pictures):
    """Writes a recipe with some keys of some sections changed, and returns its file."""
    folder = small_pictures(4)

    def written(name="own", train=None, **sections):
        settings = {"target": "own_networks:Plain", "output": 0, "multiple": 4}
        tree = {
            "name": name,
            "network": {"name": "external", "settings": settings},
            "prior": {"name": "random:12:7"},
            "refinement": {"name": "ptgrm", "settings": {"width": 4, "blocks": 1}},
            "data": {
                "folder": str(folder),
                "degradations": ["noise sigma=25"],
                "crop": 16,
                "validation": 1,
            },
            "train": {"steps": 2, "batch": 1, "precision": "float32", "seed": 5, **(train or {})},
            "distill": {"steps": 1, "batch": 1, "settings": {"size": 32, "channels": [4], "texture": [4]}},
        }
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(tree | sections))
        return tmp_path / f"{name}.yaml"

    return written


def test_every_verb(run, recipe, tmp_path):
    def ends_well(*arguments):
        status, out, err = run(*arguments)
        assert (status, err) == (0, ""), arguments
        return out

    clean, boosted = tmp_path / "clean", tmp_path / "boosted/model.safetensors"
    ends_well("train", recipe(), "-o", tmp_path / "boosted")
    ends_well("train", recipe("alone", prior=None, refinement=None), "-o", tmp_path / "alone")
    ends_well("distill", boosted, "-o", tmp_path / "student", "--import-network")
    alone, student = (tmp_path / f"{name}/model.safetensors" for name in ("alone", "student"))

    models = [word for model in (boosted, alone, student) for word in ("--model", model)]
    scoring = ["evaluate", *models, "--data", clean, "--sigma", 25, "--alone", "--json"]
    document = json.loads(ends_well(*scoring, "--import-network"))
    assert len({row["model"] for row in document["rows"]}) == 6  # the input, and the networks of two
    assert document["made"]["models"][str(alone)]["parameters"] == 81 + 2 * 3  # 9 x 3 x 3 once, for it is shared

    ends_well("restore", clean / "0.png", "-o", tmp_path / "restored.png", "--model", boosted, "--import-network")
    ends_well(
        "explain", boosted, "--data", clean, "--sigma", 25, "-o", tmp_path / "why", "--student", student,
        "--import-network",
    )  # fmt: skip

    # Without being asked, nothing imports it.
    del sys.modules["own_networks"]
    for arguments in (
        scoring,
        ["restore", clean / "0.png", "-o", tmp_path / "again.png", "--model", alone],
        ["explain", boosted, "--data", clean, "--sigma", 25, "-o", tmp_path / "why"],
        ["distill", boosted, "-o", tmp_path / "again"],
    ):
        status, out, err = run(*arguments)
        assert (status, out) == (1, ""), arguments
        assert "network of your own; --import-network imports it" in err
    assert "own_networks" not in sys.modules


@pytest.mark.parametrize("frozen", [False, True])
def test_an_ablation_has_it_from_its_own_recipe(run, recipe, tmp_path, frozen):
    settings = {"target": "own_networks:Plain", "output": 0, "multiple": 4}
    first = recipe("first", prior=None, refinement=None)
    assert run("train", first, "-o", tmp_path / "first")[0] == 0
    network = {"name": "external", "settings": settings, "weights": str(tmp_path / "first/model.safetensors")}
    ablated = recipe(train={"freeze_network": frozen}, network=network)
    verb = ["ablate", ablated, "-o", tmp_path / "out", "--data", tmp_path / "clean", "--sigma", 25, "--seed", 0]
    verb += ["--student"]
    status, out, err = run(*verb, "--json")
    assert (status, err) == (0, "")
    results = {result["arm"]: result for result in json.loads(out)["results"]}
    assert len(results) == 7
    assert results["network alone"]["parameters_added"] == 0
    assert results["boosted"]["parameters_added"] > 0
    status, again, err = run(*verb, "--json")  # nothing is left to do
    assert (status, err) == (0, "")
    assert json.loads(again)["results"] == json.loads(out)["results"]
    # What it trained is scored by the other verbs, too.
    student = next((tmp_path / "out").rglob("*student*/seed-0/model.safetensors"))
    verb = ["evaluate", "--model", student, "--data", tmp_path / "clean", "--sigma", 25, "--import-network", "--json"]
    status, out, err = run(*verb)
    assert (status, err) == (0, "")
    scores = [row["psnr"] for row in json.loads(out)["rows"] if row["model"] == str(student)]
    assert results["boosted, student"]["psnr"] == pytest.approx(sum(scores) / len(scores), abs=1e-3)


def test_a_network_that_fails_is_no_bug(run, recipe, tmp_path):
    network = {"name": "external", "settings": {"target": "own_networks:Plain", "output": 0}}
    path = recipe(network=network, prior=None, refinement=None)
    status, _, err = run("train", path, "-o", tmp_path / "run", "--set", "data.crop=18")
    assert status == 1
    assert "own_networks:Plain: fails on an image of shape (1, 3, 18, 18) (sides divide by 4)" in err
    assert "multiple=" in err
    assert "bug" not in err


def test_replacing_the_section_of_another_network(run, recipe, tmp_path):
    path = recipe(network={"name": "unet", "settings": {"widths": [8, 8], "blocks": [1, 1]}})
    target = ["--set", "network.name=external", "--set", "network.settings.target=own_networks:Plain"]
    status, _, err = run("train", path, "-o", tmp_path / "run", *target)
    assert status == 2
    said = err.partition("--set '")[2].partition("'")[0]
    assert said == "network={name: external, settings: {target: own_networks:Plain}}"
    status, _, err = run("train", path, "-o", tmp_path / "run", "--set", said)
    assert (status, err) == (0, "")


def test_freezing_one_without_weights_is_warned_of(run, recipe, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        status, _, err = run("train", recipe(train={"freeze_network": True}), "-o", tmp_path / "run")
    assert status == 0
    assert "own_networks:Plain is frozen and no weights are given" in err
