"""`pellucid words`, and `pellucid restore --guided`, as people call them."""

import json

import pytest
import torch

import pellucid
from pellucid import images
from pellucid.diffusion.guidance_image import GuidanceMaker, save_guidance_maker
from pellucid.models.save import save
from pellucid.networks import Guided
from support.pipelines import save_pipeline, save_vision


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    """A guided model, words, and two photographs."""
    folder = tmp_path_factory.mktemp("things")
    torch.manual_seed(0)
    network = Guided.tiny()
    for name, value in network.named_parameters():
        if "scale_" in name:
            torch.nn.init.normal_(value, std=0.5)
    save(network, folder / "guided.safetensors")
    save_pipeline(folder / "pipeline")
    save_vision(folder / "vision")
    maker = GuidanceMaker(str(folder / "pipeline"), str(folder / "vision"), count=3, hidden=8, cleaned=True)
    save_guidance_maker(maker, folder / "words.safetensors")
    for name in ("a", "b"):
        images.write(images.Photograph(torch.rand(1, 3, 40, 56)), folder / f"{name}.png")
    return folder


def test_words_are_said_and_guidance_is_written_and_restored_by(run, things, tmp_path):
    words = ("--words", things / "words.safetensors", "--steps", 2)
    status, out, err = run("words", things / "a.png", things / "b.png", *words, "-o", tmp_path / "guidance", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)["photographs"]
    assert [len(one["said"]["words"]) for one in found] == [3, 3]
    assert [len(one["said"]["cleaned"]) for one in found] == [3, 3]
    assert [one["cached"] for one in found] == [False, False]
    assert images.read(tmp_path / "guidance" / "a.png").pixels.shape == (1, 3, 64, 64)
    status, out, _ = run("words", things / "a.png", *words)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["words", "cleaned"]

    model = ("--model", things / "guided.safetensors")
    for what, name in ((tmp_path / "guidance", "folder"), (tmp_path / "guidance" / "a.png", "picture")):
        status, _, err = run("restore", things / "a.png", "-o", tmp_path / f"{name}.png", *model, "--guided", what)
        assert (status, err.count("\n")) == (0, err.count("\n")), err
    pictures = [images.read(tmp_path / f"{name}.png").pixels for name in ("folder", "picture")]
    assert torch.equal(*pictures)
    assert run("restore", things / "a.png", "-o", tmp_path / "alone.png", *model)[0] == 0
    assert not torch.equal(images.read(tmp_path / "alone.png").pixels, pictures[0])
    again = pellucid.load(str(things / "guided.safetensors"), guided=str(tmp_path / "guidance"))
    result = again(images.read(things / "a.png")).pixels
    torch.testing.assert_close((result * 255).round() / 255, pictures[0])


def test_words_make_the_guidance_where_it_is_not_there(run, things, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "pellucid.restoration.guides.SETTINGS", {"steps": 2, "guidance": 5.0, "seed": 42, "clean": True}
    )
    status, _, _ = run(
        "restore", things / "b.png", "-o", tmp_path / "b.png", "--model", things / "guided.safetensors", "--guided",
        things / "words.safetensors",
    )  # fmt: skip
    assert status == 0


def test_what_is_wrong_is_said_in_one_line(run, things, tmp_path):
    model = ("--model", things / "guided.safetensors")
    words = ("--words", things / "words.safetensors", "--steps", 2)
    assert run("words", things / "a.png", *words, "-o", tmp_path / "guidance")[0] == 0
    for what, message in (
        (tmp_path / "guidance" / "a.png", "is the guidance of another picture"),
        (tmp_path / "guidance", "no guidance of this picture is there"),
    ):
        status, _, err = run("restore", things / "b.png", "-o", tmp_path / "b.png", *model, "--guided", what)
        assert status == 1
        assert message in err
    status, _, err = run("restore", things / "b.png", "-o", tmp_path / "b.png", *model, "--guided", tmp_path / "none")
    assert (status, "is not there" in err) == (2, True)
    status, _, err = run("restore", things / "b.png", "-o", tmp_path / "b.png", "--guided", tmp_path / "guidance")
    assert (status, "guided is for guided models" in err) == (2, True)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    status, out, err = run("words", tmp_path / "broken.png", things / "a.png", *words, "--json")
    assert status == 1
    assert ["error" in one for one in json.loads(out)["photographs"]] == [True, False]
    assert "broken.png" in err
    status, _, err = run("words", things / "a.png", "--words", things / "guided.safetensors")
    assert (status, "not a file of words" in err, err.count("\n")) == (1, True, 1)
    save_pipeline(tmp_path / "wide", width=24)
    status, _, err = run("words", things / "a.png", *words, "--pipeline", tmp_path / "wide")
    assert (status, "was learnt for a text encoder of width 16" in err) == (1, True)
