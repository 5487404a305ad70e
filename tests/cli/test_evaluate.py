"""`pellucid evaluate` and `pellucid compare` as people call them."""

import json
import re

import pytest
import torch

from pellucid import images
from pellucid.models.save import save_model
from pellucid.networks import UNet


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(UNet.tiny(), path, recipe={"name": "tests"}, card={"summary": "for tests"})
    return path


@pytest.fixture
def clean(tmp_path):
    for index in range(3):
        path = tmp_path / f"clean/{index}.png"
        path.parent.mkdir(exist_ok=True)
        images.write(images.Photograph(torch.rand(1, 3, 20, 23)), path)
    return tmp_path / "clean"


def test_evaluate(run, model, clean, tmp_path):
    arguments = ["evaluate", "--model", model, "--data", clean, "--sigma", 15, "--sigma", 50]
    status, out, err = run(*arguments, "--out", tmp_path / "results", "--json", "--save-images")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert list(document["protocols"]) == ["gaussian-colour"]
    assert len(document["rows"]) == 3 * 2 * 2
    assert document == json.loads((tmp_path / "results/results.json").read_text())
    assert len(list((tmp_path / "results/images").rglob("*.tif"))) == 3 * 2 * 3
    rows = (tmp_path / "results/rows.jsonl").read_bytes()
    status, out, _ = run(*arguments, "--out", tmp_path / "results")
    assert "Protocol gaussian-colour" in out
    assert (tmp_path / "results/rows.jsonl").read_bytes() == rows


def test_evaluate_under_any_degradation(run, model, clean, tmp_path):
    arguments = [
        "evaluate",
        "--model",
        model,
        "--data",
        clean,
        "--with",
        "jpeg quality=10",
        "--with",
        "defocus radius=3",
    ]
    status, out, err = run(*arguments, "--out", tmp_path / "results", "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert list(document["protocols"]) == ["synthetic-rgb"]
    assert len(document["rows"]) == 3 * 2 * 2
    rows = (tmp_path / "results/rows.jsonl").read_bytes()
    status, out, _ = run(*arguments, "--sigma", 25, "--out", tmp_path / "results")
    assert status == 0
    assert "jpeg quality=10" in out
    assert "Protocol gaussian-colour" in out
    assert (tmp_path / "results/rows.jsonl").read_bytes().startswith(rows)
    assert (tmp_path / "results/rows.jsonl").read_text().count("\n") == 3 * 2 * 3


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--data", "CLEAN"], 2, "give --model"),
        (["--model", "MODEL"], 2, "give --data"),
        (["--model", "MODEL", "--data", "CLEAN"], 2, "give --sigma"),
        (["--model", "MODEL", "--data", "nowhere", "--sigma", 5], 1, "no such folder"),
        (["--model", "MODEL", "--data", "CLEAN", "--sigma", 5, "--protocol", "gausian-colour"], 2, "did you mean"),
        (["--model", "MODEL", "--data", "CLEAN", "--sigma", 5, "--baseline", "other"], 2, "unknown baseline"),
        (["--model", "MODEL", "--data", "CLEAN", "--sigma", 5, "--share", "3/2"], 2, "from 1 to N"),
        (["--model", "MODEL", "--data", "CLEAN", "--sigma", 5, "--share", "1/2"], 2, "give --out"),
        (["--model", "MODEL", "--data", "CLEAN", "--data", "CLEAN", "--degraded", "CLEAN"], 2, "goes with one --data"),
        (["--model", "MODEL", "--data", "CLEAN", "--degraded", "CLEAN", "--sigma", 5], 2, "holds pairs already"),
        (["--model", "MODEL", "--table", "ptgrm-8", "--sigma", 5], 2, "go with --data"),
        (["--model", "MODEL", "--table", "ptgrm-8", "--with", "noise sigma=5"], 2, "go with --data"),
        (
            ["--model", "MODEL", "--data", "CLEAN", "--degraded", "CLEAN", "--with", "jpeg quality=5"],
            2,
            "holds pairs already",
        ),
        (
            ["--model", "MODEL", "--data", "CLEAN", "--with", "jpeg quality=5", "--protocol", "pairs-rgb"],
            2,
            "synthetic-rgb and",
        ),
        (["--model", "MODEL", "--data", "CLEAN", "--data", "CLEAN", "--sigma", 5], 2, "asked for twice"),
        (["--model", "MODEL", "--table", "ptgrm-88"], 2, "did you mean 'ptgrm-8'"),
        (["--model", "absent", "--data", "CLEAN", "--sigma", 5], 1, "unknown model"),
        (["--model", "MODEL", "--data", "CLEAN", "--sigma", 5, "--save-images"], 2, "give --out"),
        (["--model", "MODEL", "--data", "CLEAN", "--sigma", 5, "--out", "MODEL"], 1, "cannot be written"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_one_line(run, model, clean, arguments, status, message):
    known = {"CLEAN": clean, "MODEL": model}
    ended, out, err = run("evaluate", *(known.get(argument, argument) for argument in arguments))
    assert (ended, out) == (status, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_mistake_in_a_degradation_is_pointed_at(run, model, clean):
    status, out, err = run("evaluate", "--model", model, "--data", clean, "--with", "jpeg qualty=5")
    assert (status, out) == (2, "")
    assert err.endswith("\n  jpeg qualty=5\n       ^^^^^^^^\n")


def test_a_photograph_that_cannot_be_read_is_named_and_the_status_says_so(run, model, clean):
    (clean / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    status, out, err = run("evaluate", "--model", model, "--data", clean, "--sigma", 15, "--json")
    assert status == 1
    assert "1.png" in err
    assert "1 photographs could not be scored" in err
    assert {summary["photographs"] for summary in json.loads(out)["summaries"]} == {2}


def test_published_sets_by_name(run, model, shared, monkeypatch):
    monkeypatch.setenv("PELLUCID_DATA", str(shared / "data/eval"))
    status, out, err = run(
        "evaluate", "--model", model, "--data", "set12", "--data", "classic5", "--sigma", 25, "--json"
    )
    assert status == 2  # classic5 holds clean pictures whose protocol wants JPEG, not noise
    assert "draws no noise" in err
    status, out, err = run("evaluate", "--model", model, "--data", "set12", "--sigma", 25, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert len(document["rows"]) == 12 * 2
    assert list(document["protocols"]) == ["gaussian-grey"]
    status, _, err = run("evaluate", "--model", model, "--data", "lol_eval15", "--sigma", 25)
    assert status == 2
    assert "holds pairs already" in err
    status, _, err = run("evaluate", "--model", model, "--data", "gopro", "--sigma", 25)
    assert status == 1
    assert "gopro" in err.lower()


def test_a_table_is_quoted_where_it_cannot_be_run(run, monkeypatch, tmp_path):
    monkeypatch.setenv("PELLUCID_DATA", str(tmp_path))
    status, out, _ = run("evaluate", "--table", "ptgrm-8")
    assert status == 0
    assert "33.25" in out
    assert "set12: quoted only" in out


def test_compare(run, clean, tmp_path):
    for name, factor in (("A", 0.9), ("B", 0.5)):
        (tmp_path / name).mkdir()
        for path in clean.iterdir():
            images.write(images.Photograph(images.read(path).pixels * factor), tmp_path / name / path.name)
    arguments = ["compare", tmp_path / "A", tmp_path / "B", "--clean", clean, "--inputs", tmp_path / "B"]
    status, out, err = run(*arguments, "--out", tmp_path / "results", "--json")
    assert (status, err) == (0, "")
    summaries = {summary["model"]: summary for summary in json.loads(out)["summaries"]}
    assert summaries.keys() == {"degraded", "A", "B"}
    assert summaries["B"]["gain"] < -5
    assert summaries["A"]["seconds"] is None
    assert re.search(r"Protocol pairs-rgb", run(*arguments)[1])
    (tmp_path / "A/0.png").unlink()
    status, _, err = run(*arguments)
    assert status == 1
    assert "0.png" in err


def test_names_that_look_like_markup(run, model, tmp_path):
    folder = tmp_path / "odd/[/b]x [red]hot"
    folder.mkdir(parents=True)
    images.write(images.Photograph(torch.rand(1, 3, 20, 20)), folder / "[bold].png")
    status, out, err = run("evaluate", "--model", model, "--data", folder, "--sigma", 25)
    assert (status, err) == (0, "")
    assert "[red]hot" in out
