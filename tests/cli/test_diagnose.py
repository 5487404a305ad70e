"""`pellucid diagnose` as people call it."""

import json

import pytest
import torch

from pellucid import images
from pellucid.degradations import KINDS
from pellucid.diagnosis import Diagnoser, Heads, diagnose, features_width
from pellucid.priors.degradation_encoder import DegradationEncoder
from support.diagnosers import SMALL, write_diagnoser


@pytest.fixture
def model(tmp_path):
    encoder = DegradationEncoder(SMALL)
    return write_diagnoser(Diagnoser(encoder, Heads(features_width(encoder), 8)), tmp_path / "model")


@pytest.fixture
def album(tmp_path):
    for index, name in enumerate(["a.png", "b.jpg", "deep/日本語 [1].png"]):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(images.Photograph(torch.rand(1, 3, 20, 30 + index)), path)
    return tmp_path / "album"


def test_one_line_for_each_photograph(run, model, album):
    status, out, err = run("diagnose", album, "--model", model)
    assert (status, err) == (0, "")
    expected = [diagnose(images.read(album / name).pixels, model=model).words() for name in ("a.png", "b.jpg")]
    assert out.splitlines() == [f"{album / 'a.png'}: {expected[0]}", f"{album / 'b.jpg'}: {expected[1]}"]
    assert len(run("diagnose", album, "-r", "--model", model)[1].splitlines()) == 3
    assert len(run("diagnose", album / "a.png", album / "b.jpg", "--model", model)[1].splitlines()) == 2


def test_bad_files_are_named_and_stop_nothing(run, model, album):
    (album / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (album / "empty.png").write_bytes(b"")
    status, out, err = run("diagnose", album, album / "missing.png", "--model", model, "--json")
    assert status == 1
    found = {entry["source"].rpartition("/")[2]: entry for entry in json.loads(out)["photographs"]}
    assert list(found) == ["a.png", "b.jpg", "broken.jpg", "empty.png", "missing.png"]
    assert list(found["a.png"]["kinds"]) == list(KINDS)
    assert found["a.png"] == {
        "source": str(album / "a.png"),
        **diagnose(images.read(album / "a.png").pixels, model=model).as_dict(),
    }
    assert "the file is empty" in found["empty.png"]["error"]
    assert len(err.splitlines()) == 3
    assert all(name in err for name in ("broken.jpg", "empty.png: the file is empty", "missing.png"))
    status, out, _ = run("diagnose", album, "--model", model)
    assert status == 1
    assert len(out.splitlines()) == 2


def test_the_score(run, model, album):
    status, out, err = run(
        "diagnose", album / "a.png", album / "b.jpg", "--score", "--seed", 3, "--model", model, "--json"
    )
    assert (status, err) == (0, "")
    score = json.loads(out)
    assert (score["photographs"], score["seed"], score["trials"]) == (2, 3, 2 * (len(KINDS) + 1))
    assert all(sum(row.values()) == 2 for row in score["confusion"].values())
    status, out, _ = run("diagnose", album / "a.png", album / "b.jpg", "--score", "--seed", 3, "--model", model)
    assert f"accuracy {score['accuracy']:.1%}" in out
    assert len(out.splitlines()) == 2 + len(KINDS) + 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["{dir}/empty", "--model", "{model}"], 1, "no photographs in this folder"),
        (["{dir}/album", "--model", "{dir}/nowhere"], 1, "not the folder of a degradation encoder"),
        (["{dir}/album/gone.png", "--score", "--model", "{model}"], 1, "gone.png"),
        (["{dir}/album", "--score", "--seed", "-1", "--model", "{model}"], 2, "seed"),
        ([], 2, "INPUT"),
    ],
)
def test_wrong_usage_is_said(run, model, album, tmp_path, arguments, status, message):
    (tmp_path / "empty").mkdir()
    ended, out, err = run("diagnose", *[one.format(dir=tmp_path, model=model) for one in arguments])
    assert ended == status
    assert message in err
    assert out == ""
