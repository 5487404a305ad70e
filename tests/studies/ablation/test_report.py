"""An ablation scored and written down; its verb."""

import json

import torch
import yaml

from pellucid import images
from pellucid.studies.ablation.arms import BASE, CONTROLS, NETWORK


def test_what_cannot_be_scored_is_known_before_training(run, tree, tmp_path):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(tree))
    status, _, err = run("ablate", tmp_path / "r.yaml", "-o", tmp_path / "out", "--data", tmp_path / "clean")
    assert status == 2
    assert "--sigma" in err
    assert not list((tmp_path / "out").rglob("*.safetensors"))


def test_the_verb(run, tree, tmp_path):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(tree))
    arguments = ["ablate", tmp_path / "r.yaml", "-o", tmp_path / "out", "--data", tmp_path / "clean"]
    arguments += ["--with", "jpeg quality=10", "--set", "train.steps=1"]
    status, out, err = run(*arguments, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert {result["arm"] for result in document["results"]} == {BASE, NETWORK, *CONTROLS}
    assert {result["condition"] for result in document["results"]} == {"jpeg quality=10"}
    assert document["verdict"]
    status, out, err = run(*arguments)
    assert (status, err) == (0, "")
    assert "| arm | parameters added |" in out
    status, _, err = run(*arguments[:-1], "train.steps=1", "--set", "train.batch=2")
    assert status == 2  # the folder holds runs of another recipe
    assert "a model of another recipe" in err


def test_the_probe_stands_beside_the_verdict(run, tree, tmp_path):
    """Statistics know how bright a noisy picture is, random numbers do not; of few photographs nothing is said."""
    many = tmp_path / "many pictures"
    many.mkdir()
    torch.manual_seed(0)
    for index in range(24):
        picture = torch.rand(1, 3, 24, 24) * 0.2 + torch.rand(1, 3, 1, 1) * 0.7
        images.write(images.Photograph(picture), many / f"{index}.png")
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(tree))
    arguments = ["ablate", tmp_path / "r.yaml", "--no-controls", "--prior", "statistics", "--prior", "oracle:noise"]
    arguments += ["--sigma", "10", "--set", "train.steps=1", "--data"]
    status, out, err = run(*arguments, many, "-o", tmp_path / "many", "--json")
    assert (status, err) == (0, "")
    found = {one["prior"]: one for one in json.loads(out)["probe"]}
    assert found.keys() == {"random:12:7", "statistics"}
    assert found["statistics"]["photographs"] == 24
    assert found["statistics"]["readable"]["exposure"] > 0.8
    assert found["random:12:7"]["readable"]["exposure"] < 0.3
    text = (tmp_path / "many" / "ablation.md").read_text()
    assert f"- statistics on {found['statistics']['data']}, noise sigma=10, 24 photographs: exposure 0." in text
    status, out, _ = run(*arguments, tmp_path / "clean", "-o", tmp_path / "few", "--json")
    assert status == 0
    assert json.loads(out)["probe"] == []
