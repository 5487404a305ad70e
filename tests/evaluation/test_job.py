"""A whole evaluation: its files, its notes, published tables, and bad input."""

import csv
import json
import os

import pytest
import torch

from pellucid import images
from pellucid.errors import DataError, SettingsError
from pellucid.evaluation.candidates import DEGRADED, INPUT, Candidate
from pellucid.evaluation.folders import folder_candidates
from pellucid.evaluation.job import EvaluationJob
from pellucid.evaluation.reports.document import as_markdown
from pellucid.evaluation.score import Failure
from pellucid.evaluation.sets import find_set
from pellucid.metrics import PROTOCOLS

HALF = Candidate("half", lambda degraded: degraded * 0.5, "half")


def finished(job, **options):
    list(job.run())
    return job.finish({}, **options)


def test_several_sets_are_several_columns_each_by_its_protocol(clean, tmp_path):
    for name in ("rain", "other"):
        (tmp_path / name).mkdir()
    for path in clean.iterdir():
        images.write(images.Photograph(images.read(path).pixels * 0.9), tmp_path / "rain" / path.name)
        images.write(images.read(path), tmp_path / "other" / path.name)
    job = EvaluationJob(tmp_path / "out")
    job.add(find_set(str(clean)), [INPUT, HALF], sigmas=[15, 25])
    job.add(find_set(str(tmp_path / "other"), degraded=tmp_path / "rain", task="deraining"), [INPUT, HALF])
    assert job.total == 2 * 3 * 3
    outcome = finished(job)
    assert list(outcome.document["protocols"]) == ["gaussian-colour", "derain-y"]
    assert len(outcome.document["summaries"]) == 2 * 3
    markdown = as_markdown(outcome.document)
    assert all(PROTOCOLS[name].describe() in markdown for name in ("gaussian-colour", "derain-y"))
    # One table never holds two protocols: between the two headers stand six lines, of the two levels and two models.
    first, second = (block.count("|\n") for block in markdown.split("| data |")[1:])
    assert (first, second) == (2 + 4, 2 + 2)


def test_results_are_files_that_agree(clean, tmp_path):
    job = EvaluationJob(tmp_path / "out")
    job.add(find_set(str(clean)), [INPUT, HALF], sigmas=[15])
    outcome = finished(job)
    document = json.loads((tmp_path / "out/results.json").read_text())
    assert document == json.loads(json.dumps(outcome.document))
    with (tmp_path / "out/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["psnr"]) for row in rows] == [row["psnr"] for row in document["rows"]]
    mean = sum(float(row["psnr"]) for row in rows if row["model"] == "half") / 3
    assert f"{mean:.2f} [" in (tmp_path / "out/results.md").read_text()
    assert f"{mean:.2f}" in (tmp_path / "out/results.tex").read_text()
    assert f"{mean:.2f}" in (tmp_path / "out/report.html").read_text()


def test_a_picture_that_one_candidate_lacks_is_in_nobodys_mean(clean, tmp_path):
    folders = [tmp_path / "A/out", tmp_path / "B/out"]
    for folder in folders:
        folder.mkdir(parents=True)
        for path in clean.iterdir():
            images.write(images.Photograph(images.read(path).pixels * 0.9), folder / path.name)
    images.write(images.Photograph(torch.rand(1, 3, 7, 9)), folders[1] / "1.png")
    job = EvaluationJob()
    for candidate, pictures in folder_candidates(folders, clean):
        job.add(pictures, [candidate])
    outcome = finished(job)
    assert [failure.photograph for failure in outcome.failures] == ["1.png"]
    assert [(summary["model"], summary["photographs"]) for summary in outcome.document["summaries"]] == [
        ("A/out", 2),
        ("B/out", 2),
    ]
    assert outcome.document["summaries"][1]["gain"] == 0


def test_a_published_table_runs_what_is_here_and_quotes_the_rest(shared, monkeypatch):
    monkeypatch.setenv("PELLUCID_DATA", str(shared / "data/eval"))
    job = EvaluationJob()
    job.add_table("ptgrm-8", [INPUT])
    outcome = finished(job)
    run = {(summary["data"], summary["condition"]) for summary in outcome.document["summaries"]}
    assert run == {(data, f"noise sigma={sigma}") for data in ("set12", "bsd68") for sigma in (15, 25, 50)}
    assert any(note.startswith("urban100 noise sigma=15 made grey: quoted only") for note in outcome.notes)
    drunet = [row["psnr"] for row in outcome.document["quoted"] if row["model"].startswith("DRUNet (")]
    assert drunet[:3] == [33.25, 30.94, 27.90]
    assert "quoted: " in as_markdown(outcome.document)


def test_a_table_whose_columns_cannot_be_run_is_quoted_whole():
    job = EvaluationJob()
    job.add_table("ptgrm-9", [INPUT])
    assert job.finish({}).document["quoted"]


def test_what_cannot_be_is_refused(clean, tmp_path):
    with pytest.raises(SettingsError, match="give --out"):
        EvaluationJob(save_images=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        EvaluationJob(tmp_path / "file")
    job = EvaluationJob()
    with pytest.raises(SettingsError, match="give --sigma"):
        job.add(find_set(str(clean)), [INPUT])
    with pytest.raises(SettingsError, match="did you mean 'deraining'"):
        find_set(str(clean), task="derainning")
    job.add(find_set(str(clean)), [INPUT], sigmas=[10])
    with pytest.raises(SettingsError, match="unknown baseline"):
        job.check_baseline("defualt")


def test_a_share_says_what_to_do_next(clean, tmp_path):
    job = EvaluationJob(tmp_path / "out", share=(1, 2))
    job.add(find_set(str(clean)), [INPUT], sigmas=[10])
    outcome = finished(job)
    assert job.total == 2
    assert "without --share" in outcome.notes[-1]
    assert not (tmp_path / "out/results.json").exists()
    whole = EvaluationJob(tmp_path / "out")
    whole.add(find_set(str(clean)), [INPUT], sigmas=[10])
    assert not [result for result in whole.run() if isinstance(result, Failure)]
    whole.finish({})
    assert (tmp_path / "out/results.json").exists()
    assert {row["model"] for row in json.loads((tmp_path / "out/results.json").read_text())["rows"]} == {DEGRADED}


def test_a_column_counts_once(clean):
    job = EvaluationJob()
    job.add(find_set(str(clean)), [INPUT, HALF], sigmas=[25, 25.0])
    assert job.total == 2 * 3
    with pytest.raises(SettingsError, match="asked for twice"):
        job.add(find_set(str(clean)), [HALF], sigmas=[25])


def test_what_was_not_scored_stands_in_every_file(clean, tmp_path):
    (clean / "1.png").write_bytes(b"no picture")
    job = EvaluationJob(tmp_path / "out")
    job.add(find_set(str(clean)), [INPUT, HALF], sigmas=[25, 50])
    outcome = finished(job)
    assert [failure.photograph for failure in outcome.failures] == ["1.png", "1.png"]
    assert [one["photograph"] for one in json.loads((tmp_path / "out/results.json").read_text())["failures"]] == [
        "1.png"
    ] * 2
    for name in ("results.md", "report.html", "results.tex"):
        assert "1.png" in (tmp_path / "out" / name).read_text(), name


def test_a_model_on_another_task_is_noted(clean):
    job = EvaluationJob()
    candidate = Candidate("dncnn", lambda x: x, details={"task": "denoising"})
    job.add(find_set(str(clean), task="deraining"), [candidate], sigmas=[5], protocol="gaussian-colour")
    assert "dncnn was made for denoising" in finished(job).document["notes"][0]


def test_names_with_odd_letters_are_written(tmp_path):
    folder = tmp_path / "clean"
    folder.mkdir()
    name = os.fsdecode(b"a\xff.png")
    images.write(images.Photograph(torch.rand(1, 3, 20, 20)), folder / "a.png")
    (folder / "a.png").rename(folder / name)
    job = EvaluationJob(tmp_path / "out")
    job.add(find_set(str(folder)), [INPUT, Candidate("=1+1", lambda x: x)], sigmas=[25])
    finished(job)
    assert "'=1+1" in (tmp_path / "out/results.csv").read_text()
