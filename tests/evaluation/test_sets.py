"""What models are scored on, by a name or a folder."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from pellucid.data.folders import list_photographs
from pellucid.errors import DataError, SettingsError
from pellucid.evaluation.candidates import INPUT
from pellucid.evaluation.job import EvaluationJob
from pellucid.evaluation.sets import TASK_PROTOCOLS, find_set
from pellucid.metrics import PROTOCOLS, find_protocol

RGB, GREY = find_protocol("synthetic-rgb"), find_protocol("synthetic-grey")


def finished(job, **options):
    list(job.run())
    return job.finish({}, **options)


def test_every_task_of_the_registry_has_a_protocol():
    from pellucid.data.benchmarks import benchmarks

    assert {record.task for record in benchmarks().values()} == TASK_PROTOCOLS.keys()
    assert set(TASK_PROTOCOLS.values()) <= PROTOCOLS.keys()


def test_a_folder_of_a_sets_name_is_not_taken_for_the_set(clean, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PELLUCID_DATA", str(tmp_path / "nothing"))
    clean.rename(tmp_path / "set12")
    with pytest.raises(DataError, match="set12: not in"):
        find_set("set12")
    assert find_set("./set12").task is None


def test_grey_sets_have_the_grey_protocol(shared, monkeypatch):
    monkeypatch.setenv("PELLUCID_DATA", str(shared / "data/eval"))
    assert find_set("classic5").protocol(synthetic=True) is GREY
    assert find_set("set12").protocol(synthetic=True) is GREY
    assert find_set("kodak24").protocol(synthetic=True) is RGB
    job = EvaluationJob()
    job.add(find_set("classic5"), [INPUT], degradations=["jpeg quality=10"])
    (summary,) = finished(job).document["summaries"]
    scores = []
    for path in list_photographs(shared / "data/eval/classic5"):
        with Image.open(path) as truth:
            file = io.BytesIO()
            truth.convert("L").save(file, "JPEG", quality=10)
            with Image.open(file) as degraded:
                scores.append(peak_signal_noise_ratio(np.asarray(truth.convert("L")), np.asarray(degraded)))
    assert summary["psnr"] == pytest.approx(np.mean(scores), abs=1e-6)


def test_sets_of_super_resolution_are_found_by_scale(monkeypatch, tmp_path):
    monkeypatch.setattr("pellucid.evaluation.sets.pairs", lambda name: [(tmp_path / "low.png", tmp_path / "high.png")])
    found = find_set("set5", scale=4)
    assert (found.name, found.scale) == ("set5_x4", 4)
    assert found.protocol().name == "super-resolution-y-x4"
    assert found.protocol().crop_border == 4
    assert find_set("set14_x2", scale=2).protocol().name == "super-resolution-y-x2"
    assert find_set("set14_x2").scale == 2
    with pytest.raises(SettingsError, match=r"set5 of scale 3: no such published set; there are .*set5_x2"):
        find_set("set5", scale=3)
