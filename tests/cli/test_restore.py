"""`pellucid restore` as people call it: what it writes, what it says, and how it ends."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid import images


def picture(path, size=(20, 30), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))
    images.write(images.Photograph(pixels), path)
    return path


def opened(path):
    with Image.open(path) as picture:
        picture.load()
        return picture


def test_one_file_into_one_file(run, model, tmp_path):
    source = picture(tmp_path / "night.png")
    status, out, err = run("restore", source, "-o", tmp_path / "day.png", "--model", model)
    assert (status, err) == (0, "")
    assert "1 restored" in out
    assert images.read(tmp_path / "day.png").pixels.shape == (1, 3, 20, 30)


def test_strength_zero_gives_the_file_back(run, model, tmp_path):
    source = picture(tmp_path / "a.png")
    assert run("restore", source, "-o", tmp_path / "b.png", "--model", model, "--strength", 0)[0] == 0
    assert torch.equal(images.read(source).pixels, images.read(tmp_path / "b.png").pixels)


def test_a_folder_with_a_bad_file_restores_the_rest(run, model, tmp_path):
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/deep/日本語 [1].jpg", seed=1)
    (tmp_path / "in/broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (tmp_path / "in/empty.png").write_bytes(b"")
    (tmp_path / "in/notes.txt").write_text("ignored")
    status, out, err = run("restore", tmp_path / "in", "-o", tmp_path / "out", "-r", "--model", model, "--json")
    assert status == 1
    results = {name["source"].rpartition("/")[2]: name for name in json.loads(out)["photographs"]}
    assert {name: result["status"] for name, result in results.items()} == {
        "a.png": "restored",
        "日本語 [1].jpg": "restored",
        "broken.jpg": "failed",
        "empty.png": "failed",
    }
    assert "broken.jpg" in err
    assert "empty.png: the file is empty" in err
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()) == [
        "a.png",
        "deep/日本語 [1].jpg",
    ]
    status, out, _ = run("restore", tmp_path / "in/a.png", "-o", tmp_path / "out", "--model", model)
    assert status == 0
    assert "1 skipped" in out


def test_an_output_folder_inside_the_input_is_not_restored_again(run, model, tmp_path):
    picture(tmp_path / "in/a.png")
    for _ in range(2):
        assert run("restore", tmp_path / "in", "-o", tmp_path / "in/out", "-r", "--model", model)[0] == 0
    assert [p.name for p in (tmp_path / "in/out").rglob("*")] == ["a.png"]


def test_format_and_compare(run, model, tmp_path):
    source = picture(tmp_path / "a.png", size=(20, 60))
    assert run("restore", source, "-o", tmp_path / "out", "--model", model, "--format", "jpeg", "--compare")[0] == 0
    assert opened(tmp_path / "out/a.jpg").format == "JPEG"
    assert opened(tmp_path / "out/a-compared.png").size == (60, 20 + 8 + 20)


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16"])
def test_modes_are_kept(run, model, tmp_path, mode):
    high = 65535 if mode == "I;16" else 255
    array = np.random.default_rng(0).integers(0, high, (12, 9, 4) if mode == "RGBA" else (12, 9))
    Image.fromarray(array.astype(np.uint16 if mode == "I;16" else np.uint8)).save(tmp_path / "a.png")
    assert run("restore", tmp_path / "a.png", "-o", tmp_path / "b.png", "--model", model)[0] == 0
    assert opened(tmp_path / "b.png").mode == opened(tmp_path / "a.png").mode


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["{dir}/missing.jpg", "-o", "{dir}/out.jpg"], 1, "missing.jpg: cannot be read"),
        (["{dir}/empty", "-o", "{dir}/out"], 1, "no photographs"),
        (["{dir}/a.png", "-o", "{dir}/a.png"], 1, "is the input itself"),
        (["{dir}/a.png", "-o", "{dir}/out.xyz/a.xyz", "--format", "xyz"], 2, "unknown format 'xyz'"),
        (["{dir}/a.png", "-o", "{dir}/out.png", "--model", "defualt"], 1, "did you mean 'default'"),
        (["{dir}/a.png", "-o", "{dir}/out.png", "--model", "{dir}/none.safetensors"], 1, "no such model file"),
        (["{dir}/a.png", "-o", "{dir}/out.png", "--model", "{dir}/bad.safetensors"], 1, "not a readable .safetensors"),
        (["{dir}/a.png", "-o", "{dir}/out.png", "--memory", "lots"], 2, "expected a number and a unit"),
        (["{dir}/a.png", "-o", "{dir}/out.png", "--device", "warp"], 2, "cannot be used here"),
        (["{dir}/a.png", "-o", "{dir}/out.png", "--strength", "2"], 2, "strength"),
        (["{dir}/a.png", "{dir}/twin/a.png", "-o", "{dir}/out"], 1, "would be written twice"),
        (["{dir}/a.png"], 2, "--out"),
        (["{dir}/a.png", "-o", "{dir}/out.png", "--nothing"], 2, "--nothing"),
        (["{dir}/a.png", "-o", "{dir}/out.png", "--quality", "0"], 2, "--quality"),
        (["{dir}/a.png", "-o", "{dir}/out.png", "--only", " "], 2, "kinds of degradations"),
        (["{dir}/missing", "-o", "{dir}/out"], 1, "missing: cannot be read: No such file"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(run, model, tmp_path, arguments, status, message):
    (tmp_path / "empty").mkdir()
    picture(tmp_path / "a.png")
    picture(tmp_path / "twin/a.png")
    (tmp_path / "bad.safetensors").write_bytes(b"rubbish")
    before = sorted(tmp_path.rglob("*"))
    arguments = [argument.format(dir=tmp_path) for argument in arguments]
    if "--model" not in arguments:
        arguments += ["--model", str(model)]
    ended, out, err = run("restore", *arguments)
    assert ended == status
    assert message in err
    assert len(err.splitlines()) == 1
    assert out in ("", "0 restored, 1 failed\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_names_that_no_disk_takes_fail_alone(run, model, tmp_path):
    picture(tmp_path / "a.png")
    long = tmp_path / f"{'x' * 300}.png"
    status, out, err = run("restore", tmp_path / "a.png", long, "-o", tmp_path / "out", "--model", model)
    assert (status, (tmp_path / "out/a.png").is_file()) == (1, True)
    assert err == f"pellucid: {long}: cannot be read: File name too long\n"
    for out in (long, long / "a.png", long / "folder"):
        status, _, err = run("restore", tmp_path / "a.png", "-o", out, "--model", model)
        assert status == 1
        assert err.endswith(("File name too long\n", "(File name too long)\n"))
        assert len(err.splitlines()) == 1


def test_every_photograph_has_a_line_that_says_what_was_done(run, model, tmp_path):
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/b.png")
    status, out, err = run("restore", tmp_path / "in", "-o", tmp_path / "out", "--model", model)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == [f"{tmp_path / 'in' / name}: restored by {model}" for name in ("a.png", "b.png")]
    status, out, _ = run("restore", tmp_path / "in", "-o", tmp_path / "json", "--model", model, "--json")
    decisions = [one["decision"] for one in json.loads(out)["photographs"]]
    assert [(one["model"], one["unchanged"], one["done"]) for one in decisions] == [(str(model), False, [])] * 2


def test_a_model_that_diagnoses_says_what_it_found_and_left(run, tmp_path):
    """The embedded `fast`, on pixels in which nothing can be told, and on noise."""
    picture(tmp_path / "tiny.png", size=(7, 5))
    status, out, _ = run("restore", tmp_path / "tiny.png", "-o", tmp_path / "a.png", "--model", "fast")
    assert status == 0
    assert "5 x 7 pixels" in out
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "tiny.png").read_bytes()
    shades = torch.linspace(0.2, 0.8, 96).expand(1, 3, 96, 96)
    noisy = (shades + 0.1 * torch.randn(1, 3, 96, 96)).clamp(0, 1)
    images.write(images.Photograph(noisy), tmp_path / "noisy.png")
    status, out, _ = run("restore", tmp_path / "noisy.png", "-o", tmp_path / "b.png", "--model", "fast", "--json")
    (told,) = json.loads(out)["photographs"]
    assert "noise" in [found["kind"] for found in told["decision"]["found"]]
    assert ["noise" in kinds for action in told["decision"]["done"] for kinds in action["kinds"]].count(True) == 1
    kinds = ",".join(found["kind"] for found in told["decision"]["found"])
    skipping = run("restore", tmp_path / "noisy.png", "-o", tmp_path / "c.png", "--model", "fast", "--skip", kinds)
    assert skipping[0] == 0
    assert "it is to be skipped" in skipping[1]
    assert (tmp_path / "c.png").read_bytes() == (tmp_path / "noisy.png").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "fast", "--only", "nose"], "only: unknown kind 'nose'; did you mean 'noise'"),
        (["--model", "fast", "--only", "noise", "--skip", "noise,jpeg"], "only and skip both name noise"),
        (["--only", "noise"], "only and skip are for models of experts"),
    ],
)
def test_kinds_that_cannot_be_are_one_line(run, model, tmp_path, options, message):
    picture(tmp_path / "a.png")
    if "--model" not in options:
        options = [*options, "--model", model]
    status, out, err = run("restore", tmp_path / "a.png", "-o", tmp_path / "b.png", *options)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_photographs_are_enlarged(run, tmp_path):
    source = picture(tmp_path / "in/small.png", size=(37, 53))
    out = tmp_path / "out"
    status, told, _ = run("restore", source, "-o", out, "--scale", 2.5, "--compare", "--json")
    assert status == 0
    assert opened(out / "small.png").size == (133, 93)
    assert any(path.name != "small.png" and opened(path).size[1] >= 93 for path in out.iterdir())  # side by side
    (photograph,) = json.loads(told)["photographs"]
    assert photograph["decision"]["scale"] == 2.5
    assert json.loads(told)["model"] == "upscale"


def test_a_model_that_keeps_the_size_restores_before_it_is_enlarged(run, model, tmp_path):
    source = picture(tmp_path / "a.png")
    status, told, _ = run("restore", source, "-o", tmp_path / "b.png", "--model", model, "--scale", 2)
    assert status == 0
    assert "enlarged 2 times" in told
    assert opened(tmp_path / "b.png").size == (60, 40)


def test_a_wish_for_size_alone_is_the_option(run, tmp_path):
    """The model that enlarges, as with --scale, and nothing is restored before."""
    source = picture(tmp_path / "a.png")
    by_words, by_option = tmp_path / "words.png", tmp_path / "option.png"
    assert run("restore", source, "-o", by_words, "--text", "make it twice as large")[0] == 0
    assert run("restore", source, "-o", by_option, "--scale", 2)[0] == 0
    assert np.array_equal(np.asarray(Image.open(by_words)), np.asarray(Image.open(by_option)))
    status, _, err = run("restore", source, "-o", tmp_path / "c.png", "--text", "enlarge it 20 times")
    assert (status, err.count("\n")) == (2, 1)
    assert "above 1 and up to 8" in err


@pytest.mark.parametrize("scale", [0, 1, 100, -4])
def test_scales_that_cannot_be_are_refused(run, tmp_path, scale):
    status, _, err = run("restore", picture(tmp_path / "a.png"), "-o", tmp_path / "b.png", "--scale", scale)
    assert status == 2
    assert "above 1 and up to 8" in err
    assert not (tmp_path / "b.png").exists()


def test_wishes_in_words(run, model, tmp_path):
    picture(tmp_path / "a.png")
    words = ["--text", "Restore this at half strength, please."]
    status, out, _ = run("restore", tmp_path / "a.png", "-o", tmp_path / "b.png", "--model", model, *words)
    assert status == 0
    assert out.splitlines()[0] == "understood: restore whatever is found; at strength 0.5"
    status, out, _ = run("restore", tmp_path / "a.png", "-o", tmp_path / "c.png", "--model", model, *words, "--json")
    assert json.loads(out)["understood"]["strength"] == 0.5
    run("restore", tmp_path / "a.png", "-o", tmp_path / "d.png", "--model", model, "--strength", "0.5")
    assert (tmp_path / "c.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "d.png")), np.asarray(Image.open(tmp_path / "b.png")))
    status, out, _ = run("restore", tmp_path / "a.png", "-o", tmp_path / "e.png", *words, "--dry-run", "--json")
    told = json.loads(out)
    assert (status, told["dry_run"], told["understood"]["strength"]) == (0, True, 0.5)
    assert told["understood"]["words"] == "restore whatever is found; at strength 0.5"
    _, out, _ = run("restore", tmp_path / "a.png", "-o", tmp_path / "e.png", "--dry-run", "--json")
    assert "understood" not in json.loads(out)
    for words, message in (
        ([""], "it is empty"),
        (["ein schönes Bild mit blauem Himmel"], "is German"),
        (["remove the noise"], "are for models of experts"),
        (["at half strength", "--strength", "0.3"], "the text says strength as well"),
    ):
        status, out, err = run(
            "restore", tmp_path / "a.png", "-o", tmp_path / "e.png", "--model", model, "--text", *words
        )
        assert (status, out.startswith("understood") or out == "") == (2, True)
        assert message in err
        assert err.count("\n") == 1
        assert not (tmp_path / "e.png").exists()
