"""Evaluation, against scikit-image and numbers worked out by hand."""

import json

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from pellucid import images
from pellucid.data.folders import list_pairs, list_photographs
from pellucid.errors import DataError, SettingsError
from pellucid.evaluation.evaluate import DEGRADED, Row, evaluate, noisy_cases, paired_cases, summarise
from pellucid.evaluation.report import as_document, as_markdown, write_results
from pellucid.metrics import find_protocol


@pytest.fixture
def clean(tmp_path):
    folder = tmp_path / "clean"
    folder.mkdir()
    for index in range(3):
        pixels = torch.rand(1, 3, 20, 24 + index, generator=torch.Generator().manual_seed(index))
        images.write(images.Photograph(pixels), folder / f"{index}.png")
    return folder


def test_scores_are_those_of_scikit_image_on_noise_that_anyone_can_remake(clean):
    protocol = find_protocol("gaussian-colour")
    rows = list(
        evaluate(
            {"half": lambda y: y * 0.5}, noisy_cases(list_photographs(clean), [25, 50], protocol, seed=0), protocol
        )
    )
    assert [(row.model, row.condition) for row in rows[:2]] == [
        (DEGRADED, "noise sigma=25"),
        ("half", "noise sigma=25"),
    ]
    assert len(rows) == 2 * 2 * 3
    for row in rows:
        truth = images.read(clean / row.photograph).pixels[0].permute(1, 2, 0).double().numpy()
        sigma = float(row.condition.rpartition("=")[2])
        noisy = (truth + np.random.RandomState(0).normal(0, sigma / 255, truth.shape)).astype(np.float32)
        restored = noisy if row.model == DEGRADED else noisy * 0.5
        expected = peak_signal_noise_ratio(truth, restored.clip(0, 1), data_range=1)
        assert row.psnr == pytest.approx(expected, abs=1e-4)


def test_the_same_evaluation_twice_gives_the_same_numbers(clean):
    protocol = find_protocol("gaussian-colour")
    runs = [
        [
            (row.psnr, row.ssim)
            for row in evaluate({}, noisy_cases(list_photographs(clean), [10], protocol, seed=3), protocol)
        ]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_pairs(clean, tmp_path):
    degraded = tmp_path / "degraded"
    degraded.mkdir()
    for path in clean.iterdir():
        images.write(images.Photograph(images.read(path).pixels * 0.5), degraded / path.name)
    protocol = find_protocol("pairs-rgb")
    rows = list(evaluate({"double": lambda y: y * 2}, paired_cases(list_pairs(degraded, clean), protocol), protocol))
    by_model = {row.model: row for row in rows}
    assert by_model["double"].psnr > by_model[DEGRADED].psnr + 20
    images.write(images.Photograph(torch.rand(1, 3, 5, 5)), degraded / "0.png")
    with pytest.raises(DataError, match=r"0\.png: differs in size from .*\(5 x 5 and 24 x 20 pixels\)"):
        list(evaluate({}, paired_cases(list_pairs(degraded, clean), protocol), protocol))


def test_a_photograph_too_small_for_the_protocol_is_named(tmp_path):
    images.write(images.Photograph(torch.rand(1, 3, 4, 4)), tmp_path / "tiny.png")
    protocol = find_protocol("gaussian-colour")
    with pytest.raises(DataError, match=r"tiny\.png"):
        list(evaluate({}, noisy_cases(list_photographs(tmp_path), [10], protocol, 0), protocol))


def test_a_protocol_of_pairs_draws_no_noise(clean):
    with pytest.raises(SettingsError, match="draws no noise"):
        list(noisy_cases(list_photographs(clean), [10], find_protocol("pairs-rgb"), 0))


def rows_of(scores):
    return [
        Row(model, "c", str(index), value, 0.5, 1.0)
        for model, values in scores.items()
        for index, value in enumerate(values)
    ]


def test_gains_are_paired_and_against_the_first_model():
    summaries = summarise(rows_of({DEGRADED: [1, 2, 3], "a": [20, 30, 40], "b": [21, 31, 41]}))
    by_model = {summary.model: summary for summary in summaries}
    assert by_model["a"].gain is None
    assert by_model[DEGRADED].gain is None
    assert by_model["b"].gain == pytest.approx(1)
    # The differences are all one, so the paired interval has no width, however far the photographs lie apart.
    assert by_model["b"].gain_interval == pytest.approx((1, 1))
    low, high = by_model["b"].psnr_interval
    assert low < 31 < high


def test_one_photograph_and_infinite_scores_have_no_interval():
    assert summarise(rows_of({"a": [20.0]}))[0].psnr_interval is None
    assert summarise(rows_of({"a": [20.0, float("inf")]}))[0].psnr_interval is None


def test_results_are_written_with_their_protocol(tmp_path):
    rows = rows_of({DEGRADED: [1.0, 2.0], "a": [20.0, 30.0], "b": [21.0, 31.0]})
    summaries, protocol = summarise(rows), find_protocol("gaussian-colour")
    document = as_document(rows, summaries, protocol, {"seed": 0})
    write_results(document, summaries, protocol, tmp_path / "out")
    assert json.loads((tmp_path / "out/results.json").read_text())["protocol"]["name"] == "gaussian-colour"
    assert len((tmp_path / "out/results.csv").read_text().splitlines()) == 7
    markdown = as_markdown(summaries, protocol)
    assert "| c | b | 26.00 [21.00, 31.00] | 0.5000 | +1.000 [1.000, 1.000] | 1.00 |" in markdown
    assert protocol.describe() in markdown
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_results(document, summaries, protocol, tmp_path / "file")
