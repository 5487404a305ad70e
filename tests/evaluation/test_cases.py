"""Evaluation under any degradation: what is scored, what it is called, what is drawn, and what stays as it was."""

import csv
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from pellucid import images
from pellucid.batch.degrade import degrade_files, plan_degraded
from pellucid.batch.plan import plan
from pellucid.data.folders import list_photographs
from pellucid.degradations import parse
from pellucid.errors import SettingsError
from pellucid.evaluation.candidates import DEGRADED, INPUT, Candidate
from pellucid.evaluation.cases import condition_of, degraded_cases
from pellucid.evaluation.job import EvaluationJob
from pellucid.evaluation.reports.document import as_markdown
from pellucid.evaluation.reports.tables import tables_of
from pellucid.evaluation.score import Evaluation
from pellucid.evaluation.sets import find_set
from pellucid.metrics import find_protocol

RGB, GREY = find_protocol("synthetic-rgb"), find_protocol("synthetic-grey")
HALF = Candidate("half", lambda degraded: degraded * 0.5, "half")
FAMILY = "noise sigma=5..50, jpeg quality=20..80"


def finished(job):
    list(job.run())
    return job.finish({})


def cases(folder, *texts, protocol=RGB, seed=0, paths=None):
    return degraded_cases(str(folder), paths or list_photographs(folder), texts, protocol, seed)


def test_jpeg_is_scored_as_the_codec_makes_it(clean):
    rows = list(Evaluation([INPUT], RGB).run(cases(clean, "jpeg quality=10", "jpeg quality=50")))
    assert [row.condition for row in rows] == ["jpeg quality=10"] * 3 + ["jpeg quality=50"] * 3
    for row in rows:
        with Image.open(clean / row.photograph) as truth:
            file = io.BytesIO()
            truth.save(file, "JPEG", quality=int(row.condition.rpartition("=")[2]), subsampling="4:2:0")
            with Image.open(file) as degraded:
                psnr = peak_signal_noise_ratio(np.asarray(truth), np.asarray(degraded))
        assert row.psnr == pytest.approx(psnr, abs=1e-6)
        assert (row.model, row.protocol, row.degradation) == (DEGRADED, "synthetic-rgb", row.condition)


def test_grey_photographs_are_degraded_as_grey_ones(tmp_path, monkeypatch):
    values = np.random.default_rng(0).integers(60, 190, (24, 30), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "a.bmp")
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG", quality=30)
    psnr = peak_signal_noise_ratio(values, np.asarray(Image.open(file)))
    (row,) = Evaluation([INPUT], GREY).run(cases(tmp_path, "jpeg quality=30", protocol=GREY))
    assert row.psnr == pytest.approx(psnr, abs=1e-6)
    (case,) = cases(tmp_path, "noise sigma=20", protocol=GREY)
    degraded, _ = case.load()
    assert torch.equal(degraded[:, 0], degraded[:, 1])


def test_degraded_pictures_are_of_eight_bits(clean):
    for case in cases(clean, "noise sigma=90", "blur sigma=1.3"):
        levels = case.load()[0] * 255
        assert (levels - levels.round()).abs().max() < 1e-4
        assert levels.min() >= 0
        assert levels.max() <= 255


def test_what_is_drawn_depends_on_the_seed_and_the_photograph_alone(clean):
    def loaded(*texts, **options):
        return {(case.photograph, case.condition): case.load()[0] for case in cases(clean, *texts, **options)}

    whole = loaded(FAMILY, "noise sigma=25")
    backwards = list_photographs(clean)[::-1]
    for other in (
        loaded(FAMILY),
        loaded("noise sigma=25", FAMILY, paths=backwards),
        loaded(FAMILY, paths=backwards[:1]),
    ):
        assert other
        assert all(torch.equal(picture, whole[key]) for key, picture in other.items())
    assert not any(torch.equal(picture, whole[key]) for key, picture in loaded(FAMILY, seed=1).items())
    assert len({case.degradation for case in cases(clean, FAMILY)}) == 3
    for case in cases(clean, FAMILY):
        assert case.condition == FAMILY
        assert torch.equal(cases(clean, case.degradation, paths=[clean / case.photograph])[0].load()[0], case.load()[0])


def test_files_that_degrade_writes_are_what_evaluate_scores(clean, tmp_path):
    (clean / "deep").mkdir()
    for path in list(clean.glob("*.png")):
        path.rename(clean / "deep" / path.name)  # all in one folder below: the name is still that below `clean`
    planned = plan_degraded(plan([clean], tmp_path / "degraded", recursive=True), [FAMILY], seed=7)
    told = {result.source.name: result.degradation for result in degrade_files(planned, overwrite=False)}
    job, pairs = EvaluationJob(seed=7), EvaluationJob()
    job.add(find_set(str(clean)), [INPUT, HALF], degradations=[FAMILY])
    pairs.add(find_set(str(clean), degraded=tmp_path / "degraded"), [INPUT, HALF])
    ours, theirs = finished(job).rows, finished(pairs).rows
    assert [(row.psnr, row.ssim) for row in ours] == [(row.psnr, row.ssim) for row in theirs]
    assert {row.photograph: row.degradation for row in ours} == told
    assert {row.degradation for row in theirs} == {None}


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("noise  sigma=25.0", "noise sigma=25"),
        ("jpeg quality=10 subsampling=4:2:0", "jpeg quality=10"),
        ("defocus radius=3,jpeg quality=40", "defocus radius=3, jpeg quality=40"),
        (" noise sigma=5..50,  jpeg  quality=20..80 ", FAMILY),
        ("real-world  most=2", "real-world most=2"),
        ("clean", "clean"),
    ],
)
def test_a_column_is_called_by_its_degradation(text, condition):
    assert condition_of(text) == condition
    with pytest.raises(SettingsError, match="unknown degradation"):
        condition_of("nose sigma=2")


def test_columns_of_one_set_stand_in_one_table_apart_from_the_noise_of_the_tables(clean, tmp_path):
    job = EvaluationJob(tmp_path / "out")
    texts = ["jpeg quality=30", "jpeg quality=4", "defocus radius=3", "defocus radius=3.0", "rain amount=40"]
    job.add(find_set(str(clean)), [INPUT, HALF], sigmas=[25], degradations=texts)
    assert job.total == (1 + 4) * 3 * 2
    document = finished(job).document
    noise, synthetic = tables_of(document)
    assert (noise.protocol, synthetic.protocol) == ("gaussian-colour", "synthetic-rgb")
    assert [column.condition for column in noise.columns] == ["noise sigma=25"]
    assert [column.condition for column in synthetic.columns] == [
        "defocus radius=3", "jpeg quality=4", "jpeg quality=30", "rain amount=40",
    ]  # fmt: skip
    markdown = as_markdown(document)
    assert "| jpeg quality=4 | half |" in markdown
    assert "by pellucid itself" in markdown
    assert json.loads(json.dumps(document)) == json.loads((tmp_path / "out/results.json").read_text())
    assert all(row["degradation"] == row["condition"] for row in document["rows"] if row["protocol"] == "synthetic-rgb")
    assert not any("degradation" in row for row in document["rows"] if row["protocol"] == "gaussian-colour")
    with pytest.raises(SettingsError, match="asked for twice"):
        job.add(find_set(str(clean)), [HALF], degradations=["jpeg  quality=30"])


def test_what_was_drawn_for_each_photograph_stands_in_the_files(clean, tmp_path):
    job = EvaluationJob(tmp_path / "out")
    job.add(find_set(str(clean)), [INPUT, HALF], degradations=[FAMILY])
    rows = finished(job).rows
    drawn = {row.photograph: row.degradation for row in rows}
    assert len(set(drawn.values())) == 3
    assert all(parse(text) for text in drawn.values())
    with (tmp_path / "out/results.csv").open() as file:
        assert {row["photograph"]: row["degradation"] for row in csv.DictReader(file)} == drawn
    page = (tmp_path / "out/report.html").read_text()
    assert all(f'<td title="{text}">{FAMILY}</td>' in page for text in drawn.values())


def test_an_evaluation_that_was_stopped_goes_on(clean, tmp_path):
    calls = 0

    def restore(degraded):
        nonlocal calls
        calls += 1
        return degraded * 0.9

    counted = Candidate("counted", restore, "counted 1")

    def run(*texts, seed=0):
        nonlocal calls
        calls = 0
        job = EvaluationJob(tmp_path / "out", seed=seed, pictures=False)
        job.add(find_set(str(clean)), [counted], degradations=texts)
        rows = finished(job).rows
        return calls, rows

    first = run("noise sigma=25", FAMILY)
    assert first[0] == 6
    assert run("noise sigma=25", FAMILY) == (0, first[1])
    assert run(FAMILY, "noise sigma=25.0", "jpeg quality=9")[0] == 3
    assert run(FAMILY, seed=1)[0] == 3
    # Photographs that stay as they are have the same pixels whatever the text, but rows of their own.
    assert run("blur sigma=0")[0] == 3
    assert run("rain amount=0")[0] == 3


def test_what_cannot_be_is_refused(clean, tmp_path):
    photographs = find_set(str(clean))
    with pytest.raises(SettingsError, match="synthetic-rgb and synthetic-grey are"):
        EvaluationJob().add(photographs, [INPUT], degradations=["jpeg quality=10"], protocol="jpeg-rgb")
    with pytest.raises(SettingsError, match=r'give --with "noise sigma=25"'):
        EvaluationJob().add(photographs, [INPUT], sigmas=[25], protocol="synthetic-rgb")
    with pytest.raises(SettingsError, match="unknown degradation"):
        EvaluationJob().add(photographs, [INPUT], degradations=["jpg quality=10"])
    with pytest.raises(SettingsError, match="--with"):
        EvaluationJob().add(photographs, [INPUT])
    with pytest.raises(SettingsError, match="different protocols"):
        photographs.cases(RGB, [25], 0, ["jpeg quality=10"])


def test_pairs_are_scored_as_they_are(clean, tmp_path):
    (tmp_path / "degraded").mkdir()
    for path in clean.iterdir():
        images.write(images.Photograph(images.read(path).pixels * 0.5), tmp_path / "degraded" / path.name)
    job = EvaluationJob()
    pairs = find_set(str(clean), degraded=tmp_path / "degraded")
    job.add(pairs, [INPUT], sigmas=[25], degradations=["jpeg quality=10"])
    document = finished(job).document
    assert [summary["condition"] for summary in document["summaries"]] == ["pairs"]
    job = EvaluationJob()
    job.add(pairs, [INPUT], protocol="synthetic-rgb")
    assert "degraded pictures given" in finished(job).document["protocols"]["synthetic-rgb"]
