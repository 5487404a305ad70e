"""The verbs of engines, as far as they need no graph; those are in tests/engines."""

import json

import pytest

from pellucid import devices
from pellucid.cli import bench as verb
from pellucid.evaluation import bench
from pellucid.evaluation.bench import Case, Machine, Measured


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--engine", "tensorrt"), "engine must be auto or torch or openvino or onnx"),
        (("--engine", "torch", "--precision", "int8"), "--engine openvino"),
        (("--precision", "float8"), "precision must be auto or float32 or bfloat16 or int8"),
    ],
)
def test_what_an_engine_cannot_do_is_misuse(run, small_pictures, tmp_path, options, said):
    status, _, err = run("restore", small_pictures(1), "-o", tmp_path / "out", *options)
    assert status == 2
    assert said in err


def test_export_writes_a_folder_and_no_file(run, tmp_path):
    (tmp_path / "taken").write_text("")
    status, _, err = run("export", "denoise", "-o", tmp_path / "taken")
    assert status == 2
    assert "taken: is a file" in err


def test_calibrate_needs_photographs(run, tmp_path):
    status, _, err = run("calibrate", "denoise", tmp_path, "-o", tmp_path / "int8.safetensors")
    assert status == 1
    assert "four photographs of 128 pixels" in err or "pellucid[openvino,onnx]" in err
    assert not (tmp_path / "int8.safetensors").exists()


def test_check_with_torch_says_that_there_is_nothing_to_compare(run, small_pictures, tmp_path):
    status, _, err = run("restore", small_pictures(1), "-o", tmp_path / "out", "--engine", "torch", "--check")
    assert status == 0
    assert "nothing to compare" in err


def test_a_measurement_is_of_what_was_asked():
    found = bench._measured(Case("fast", 0.02, engine="torch", precision="float32", repeats=2))
    assert (found.engine, found.precision, found.error) == ("torch", "float32", "")
    assert 0 < found.cpu_seconds < 1000
    assert found.peak_bytes >= found.start_bytes > 50 << 20
    clean, noisy = bench._picture(123, 164)
    before = float(-10 * (noisy - clean).square().mean().log10())
    assert found.psnr > before + 5  # it did restore
    assert found.as_dict()["asked_engine"] == "torch"


def test_the_machine_is_measured(monkeypatch):
    monkeypatch.setattr(bench, "COPIED", 1 << 20)
    monkeypatch.setattr(devices, "PEAK", (16, 32))
    best = bench.machine()
    assert min(best.copy, best.float32, best.bfloat16) > 0
    assert best.threads >= 1


def test_bench_shows_every_case_and_fails_with_the_first(run, monkeypatch):
    case = Case("fast", 1.0, "torch", "auto")
    rows = [Measured(case, "torch", "float32", 2.0, 3.0, 2 << 30, 1 << 30, 31.0), Measured(case, error="no memory")]
    monkeypatch.setattr(bench, "machine", lambda _: Machine("a processor", 2, 10.0, 0.3, 0.5))
    monkeypatch.setattr(bench, "measure", lambda cases: iter(rows[: len(cases)]))
    status, out, _ = run("bench", "--model", "fast", "-m", "1")
    assert status == 0
    assert "a processor" in out
    assert "31.00" in out
    status, out, _ = run("bench", "--model", "fast", "-m", "1", "--alone", "--json")
    assert status == 1
    document = json.loads(out)
    assert document["measured"][1]["error"] == "no memory"
    assert document["machine"]["float32"] == 0.3
    assert verb.bench.__doc__
