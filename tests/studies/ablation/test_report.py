"""An ablation scored and written down; its verb."""

import json

import yaml

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
